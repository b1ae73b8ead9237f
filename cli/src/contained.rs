//! `wasock run` in a process that another program has made for it, as a container's is.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasock::Compile;

use crate::args::{Args, Command};
use crate::invocation::Invocation;
use crate::kept::{Asked, KeepCode};
use crate::precompiled::{self, Decoded, Precompiler};
use crate::{manager, report, run};

/// What runs.
#[derive(Clone, Debug)]
pub enum Program {
    /// The file of a module or a component, or of its text.
    File(PathBuf),
    /// Its bytes, which are in no file.
    Image {
        /// What it is called in messages, and by the guest as its first argument.
        name: String,
        /// As a file would have them, or as [`Precompiler::compile`] returned them.
        bytes: Vec<u8>,
    },
}

impl Program {
    /// Does it begin with `bytes`? A file that can't be read does not.
    pub fn starts_with(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Image { bytes: image, .. } => precompiled::program_in(image).starts_with(bytes),
            Self::File(path) => {
                let mut start = vec![0; bytes.len()];
                // The opening of a pipe would wait for a writer.
                let is_read =
                    path.is_file() && File::open(path).and_then(|mut it| it.read_exact(&mut start)).is_ok();
                is_read && start == bytes
            }
        }
    }
}

/// What compiles a program, or has it compiled already.
#[derive(Clone)]
pub(crate) struct Compiler(pub(crate) Arc<dyn Compile>);

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compiler")
    }
}

/// What a run waits for.
#[derive(Clone)]
pub(crate) struct Order(Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Order")
    }
}

/// What the program that makes a run has decided, besides the words of the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// Flags that count where neither the words nor the configuration have them.
    pub(crate) defaults: Vec<String>,
    /// A configuration that is in no file: what it is called, and its text.
    pub(crate) config: Option<(PathBuf, String)>,
    /// The bytes of a module that is in no file.
    pub(crate) image: Option<Arc<[u8]>>,
    /// What compiles it, in place of the command's cache.
    pub(crate) compiler: Option<Compiler>,
    /// What the guest's environment begins with; this process's own is none of its business.
    pub(crate) variables: Vec<(String, String)>,
    /// What it waits for, once it is loaded.
    pub(crate) order: Option<Order>,
}

impl Terms {
    /// Waits until the guest is to begin.
    pub(crate) fn wait_for_order(&self) {
        if let Some(Order(wait)) = &self.order {
            wait();
        }
    }
}

/// `wasock run` in a process that another program has made for it: that one chooses the words, and the process is
/// the run's from [`start`](Self::start) on.
///
/// The process's own environment is neither the guest's nor the host's: no variable of it is read for a service
/// manager.
pub struct ContainedRun {
    flags: Vec<OsString>,
    command: Vec<OsString>,
    image: Option<Decoded>,
    precompiler: Option<Arc<Precompiler>>,
    keeper: Option<Arc<dyn KeepCode>>,
    terms: Terms,
}

impl ContainedRun {
    /// A run of `program` with these arguments, its own name apart.
    pub fn new(program: Program, arguments: impl IntoIterator<Item = String>) -> Self {
        let (name, image) = match program {
            Program::File(path) => (path.into_os_string(), None),
            Program::Image { name, bytes } => (name.into(), Some(Decoded::of(bytes))),
        };
        let command = std::iter::once(name).chain(arguments.into_iter().map(Into::into)).collect();
        Self { flags: Vec::new(), command, image, precompiler: None, keeper: None, terms: Terms::default() }
    }

    /// Has a [`Program::Image`] that comes with its code run by that, if `precompiler` has compiled it.
    #[must_use]
    pub fn precompiler(mut self, precompiler: Arc<Precompiler>) -> Self {
        self.precompiler = Some(precompiler);
        self
    }

    /// Has `keeper` asked for code that does not come with the program, if there is a
    /// [precompiler](Self::precompiler), which proves what comes from there.
    #[must_use]
    pub fn keeper(mut self, keeper: Arc<dyn KeepCode>) -> Self {
        self.keeper = Some(keeper);
        self
    }

    /// Has the file `path` say how it runs, as `--config` does.
    #[must_use]
    pub fn config_file(mut self, path: &Path) -> Self {
        self.flags.extend(["--config".into(), path.into()]);
        self
    }

    /// Has this text say how it runs; `name` stands for a file's in messages.
    #[must_use]
    pub fn config_text(mut self, name: &str, text: String) -> Self {
        self.terms.config = Some((name.into(), text));
        self
    }

    /// Has a denial name the key that would allow it, as one of the configuration at `place`, rather than a flag.
    #[must_use]
    pub fn keys_in(self, place: &str) -> Self {
        report::name_keys_of(place);
        self
    }

    /// Adds a flag of `wasock run` for where the configuration does not have its key, as in `--listen=*:*`. A
    /// configuration that has one of `dir` and `dir-ro` has both.
    #[must_use]
    pub fn default_flag(mut self, flag: impl Into<String>) -> Self {
        self.terms.defaults.push(flag.into());
        self
    }

    /// Sets a variable of the guest's environment. Those of the configuration come after it.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.terms.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has the run load the program at once, and begin when `wait` returns: until then it has done nothing that can be
    /// seen, but for what prevents it.
    #[must_use]
    pub fn begin_after(mut self, wait: impl Fn() + Send + Sync + 'static) -> Self {
        self.terms.order = Some(Order(Arc::new(wait)));
        self
    }

    /// Runs it. The process ends with the guest, with the exit code that the command would have; the signals that
    /// it gets meanwhile mean to the guest what they mean to the command.
    ///
    /// Returns an exit code where the guest did not start: standard error says why.
    pub fn start(self) -> u8 {
        manager::leave_alone();
        let Self { flags, command, image, precompiler, keeper, mut terms } = self;
        let asked = precompiler.map(|precompiler| Asked { precompiler, keeper });
        (terms.image, terms.compiler) = match (image, asked) {
            (Some(image), Some(asked)) => {
                let (program, compiler) = image.compiler(asked);
                (Some(program.into()), Some(compiler))
            }
            (Some(image), None) => (Some(image.program.into()), None),
            (None, asked) => (None, asked.map(|asked| Compiler(Arc::new(asked)))),
        };
        let words = ["wasock", "run"].into_iter().map(OsString::from);
        let words = words.chain(flags).chain(["--".into()]).chain(command);
        let (args, invocation) = match Invocation::read_on(words.collect(), Some(terms)) {
            Ok((Args { command: Command::Run(args) }, invocation)) => (args, invocation),
            Ok(_) => return crate::USAGE,
            Err(mistakes) => {
                crate::refused(mistakes);
                return crate::USAGE;
            }
        };
        if let Err(error) = run::run(*args, invocation) {
            crate::failed(&error);
        }
        crate::FAILURE
    }
}
