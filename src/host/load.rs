//! Loading a module or a component, and saying what is wrong with it.

#[cfg(feature = "components")]
mod component;
mod error;
mod loader;

use std::borrow::Cow;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use wasmtime::{Config, Engine, Module, WasmBacktrace};

use super::copyable::{self, forks};
use super::epoch::{Epochs, Ticker};
use super::kept::KeptInTurn;
use super::outcome::describe_trap;
use super::shared_memories::growth_in_exports;
use crate::abi::{Detected, Interface, detect, mixture, wants_threads};

#[cfg(feature = "components")]
pub(super) use component::{Program, has_async};
pub use error::LoadError;
pub use loader::{Compile, Loader};

/// A module or a component that is ready to run.
///
/// ```no_run
/// use wasock::{Guest, WasockCtx};
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let guest = Guest::load(&Guest::new_engine(&Guest::engine_config())?, "server.wasm".as_ref())?;
/// let ctx = WasockCtx::builder()
///     .args(["server", "127.0.0.1:8080"])
///     .listen(&"127.0.0.1:8080".parse()?)
///     .build_for(guest.module())?;
/// let ended = guest.run(ctx).await?;
/// println!("the guest ended with code {}", ended.code);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Guest {
    module: Module,
    detected: Detected,
    is_go: bool,
    pub(super) epochs: Epochs,
    /// By how many bytes the shared memories may grow that each instance has for itself.
    pub(super) shared_growth: u64,
    pub(super) has_own_thread: bool,
    /// Why its instances can't be copied, of a module that would.
    pub(super) fork_obstacle: Option<&'static str>,
    /// The programs that it has started, compiled for its engine.
    pub(super) started: Arc<KeptInTurn<Guest>>,
    /// The module as it was, where it is to be started once and copied.
    pub(super) source: Option<Arc<[u8]>>,
    /// What compiles the programs that it starts, too.
    compiler: Arc<dyn Compile>,
    /// What runs in the place of the module, which is empty then.
    #[cfg(feature = "components")]
    pub(super) component: Option<Program>,
}

/// What is left of a thread's stack for the host's own functions, which run below the guest's:
/// as much as Wasmtime leaves by itself.
pub(super) const STACK_OF_HOST: usize = 3 << 19;

const MAGIC: &[u8] = b"\0asm";

/// Its engine.
impl Guest {
    /// The settings that an engine needs for every guest: shared memories, exceptions, and a
    /// way to end code that runs without ever calling the host.
    /// [`new_engine`](Self::new_engine) makes one whose epoch wasock increments while something is
    /// pending for a guest; the epoch of any other engine is the embedder's alone. Without the
    /// feature `threads` it is [`engine_config_without_threads`](Self::engine_config_without_threads).
    pub fn engine_config() -> Config {
        let mut config = Config::new();
        config.epoch_interruption(true);
        #[cfg(feature = "threads")]
        config.wasm_threads(true).shared_memory(true);
        // Today's toolchain of WASIX makes them of `setjmp`, of C++ and of panics in Rust.
        config.wasm_exceptions(true);
        // Only components of WASI 0.3 need it, and it makes every call of the host dearer.
        config.concurrency_support(false);
        config
    }

    /// As [`engine_config`](Self::engine_config), without the threads proposal of WebAssembly: no
    /// shared memory, no atomic instructions.
    ///
    /// Wasmtime supports the proposal in its second tier, which gets no security fixes for older
    /// releases. An embedder without threaded guests is better off without it.
    pub fn engine_config_without_threads() -> Config {
        let mut config = Self::engine_config();
        config.shared_memory(false);
        #[cfg(feature = "threads")]
        config.wasm_threads(false);
        config
    }

    /// Gives the guest's code `bytes` of stack in each thread; 512 KiB unless this is called. A
    /// guest that needs more traps. Set
    /// [`WasockCtxBuilder::max_stack`](super::WasockCtxBuilder::max_stack) too, so that it counts.
    ///
    /// A compiled program would have 8 MiB on Linux: what recurses as deep as its input says, as
    /// interpreters do, may need as much here.
    pub fn set_max_stack(config: &mut Config, bytes: u32) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        config.max_wasm_stack(bytes).async_stack_size(bytes.saturating_add(STACK_OF_HOST));
    }

    /// Makes an engine whose epoch wasock manages: [`Epochs::Managed`].
    ///
    /// [`engine_config`](Self::engine_config) has the settings that guests need.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::new`].
    pub fn new_engine(config: &Config) -> wasmtime::Result<Engine> {
        let engine = Engine::new(config)?;
        Ticker::of(&engine);
        Ok(engine)
    }
}

impl Guest {
    /// Loads the file `path`.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load(engine: &Engine, path: &Path) -> Result<Self, LoadError> {
        Loader::new(engine).load(path)
    }

    /// Loads the file `path` for a service with [an instance for each
    /// connection](super::ServiceBuilder::per_connection) that gets it by
    /// [events](crate::ConnectionAs::Event): the module is started once, and each connection has a
    /// copy of that instance as it was when its start returned. A generation is ready once that is
    /// done and its snapshot compiled.
    ///
    /// What the start has computed is what each copy has, the state of a random generator too: a
    /// module that draws randomness exports `wasock_on_clone()`, which is called in each copy before
    /// anything else. What the host keeps for an instance is not copied: its start must leave no
    /// descriptor open, and a working directory or a handler of signals that it chose is the first
    /// instance's alone.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]: [`NotCopied`](LoadError::NotCopied) where the module has not exactly one memory
    /// of its own, shares it, or has code that can change its table.
    pub fn load_to_copy(engine: &Engine, path: &Path) -> Result<Self, LoadError> {
        Loader::new(engine).load_to_copy(path)
    }

    /// Loads `bytes`; `name` is for messages.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn from_bytes(engine: &Engine, name: &Path, bytes: &[u8]) -> Result<Self, LoadError> {
        Loader::new(engine).from_bytes(name, bytes)
    }

    /// Refuses a module that imports a shared memory, or a call that starts threads; `name` is
    /// for the message. [`engine_config_without_threads`](Self::engine_config_without_threads) refuses what has a shared memory or
    /// atomic instructions of its own.
    ///
    /// # Errors
    ///
    /// [`LoadError::NeedsThreads`].
    pub fn refuse_threads(&self, name: &Path) -> Result<(), LoadError> {
        if wants_threads(&self.module) { Err(LoadError::NeedsThreads(name.to_owned())) } else { Ok(()) }
    }

    /// Takes a module that was compiled elsewhere, by an engine with the settings of
    /// [`engine_config`](Self::engine_config). Which toolchain made it is not known then (see
    /// [`is_go`](Self::is_go)), nor how far a shared memory may grow that the module makes for
    /// itself and does not export: it counts as small as it is at the start. Threads do not share a memory
    /// that such a module makes for itself.
    pub fn from_module(module: Module) -> Self {
        let detected = detect(&module);
        let is_ours = Ticker::known(module.engine()).is_some();
        let epochs = if is_ours { Epochs::Managed } else { Epochs::EndGuest };
        let shared_growth = growth_in_exports(&module);
        let fork_obstacle = forks(&module).then_some(copyable::UNKNOWN);
        Self {
            module,
            detected,
            is_go: false,
            epochs,
            shared_growth,
            has_own_thread: false,
            fork_obstacle,
            started: Arc::default(),
            source: None,
            compiler: Arc::new(loader::Wasmtime),
            #[cfg(feature = "components")]
            component: None,
        }
    }

    /// Says what an increment of the epoch of this guest's engine means, in
    /// [`run`](Self::run): [`Epochs::Managed`] in an engine of
    /// [`new_engine`](Self::new_engine) and [`Epochs::EndGuest`] in another one, unless this
    /// is called.
    ///
    /// It is one epoch for all guests of the engine, so say the same of all.
    #[must_use]
    pub fn epochs(mut self, epochs: Epochs) -> Self {
        self.epochs = epochs;
        self
    }

    /// Has [`run`](Self::run) run the guest's code on a thread of the host's, which is the guest's alone
    /// until it ends, and the future only wait for it. Calls that may wait are synchronous then: each takes
    /// some 350 instructions and an allocation less, and one that waits wakes that thread and no other. In return
    /// the guest takes a thread, and a change of threads at its start.
    ///
    /// Worth it where few guests run, each for long; the default is `false`. It has no effect on a guest
    /// that starts threads, each of which has a thread of the host's in any case; and none on a
    /// module with [handlers of events](super::deliver_events), or on one that imports a function
    /// of the embedder's, which may be async: these run where the future is polled.
    #[must_use]
    pub fn own_thread(mut self, own_thread: bool) -> Self {
        self.has_own_thread = own_thread;
        self
    }

    /// Do the module's custom sections say that the toolchain of Go made it? A compiled
    /// [`Module`] has none.
    ///
    /// Such a program wants the sockets that it has from its start on in
    /// [nonblocking mode](super::WasockCtxBuilder::preopened_nonblocking), and [`run`](Self::run) gives
    /// it that.
    pub fn is_go(&self) -> bool {
        self.is_go
    }

    /// Is it a component?
    pub fn is_component(&self) -> bool {
        #[cfg(feature = "components")]
        return self.component.is_some();
        #[cfg(not(feature = "components"))]
        return false;
    }

    /// The module. A component has an empty one in its place, so that a context for it is made as for
    /// a module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// What loads other programs as this one was loaded.
    pub(super) fn loader(&self) -> Loader {
        Loader::new(self.module.engine()).compiler(Arc::clone(&self.compiler))
    }

    /// Has the programs that it starts compiled as those of `other` are.
    pub(super) fn started_like(mut self, other: &Self) -> Self {
        self.compiler = Arc::clone(&other.compiler);
        self
    }

    /// What its imports say of it.
    pub fn detected(&self) -> &Detected {
        &self.detected
    }

    /// Is `error`, with which a guest has ended, a trap of its own? Otherwise the host could not run it, or has
    /// [ended](crate::Terminated) it.
    pub fn is_trap(error: &wasmtime::Error) -> bool {
        error.is::<WasmBacktrace>() || error.is::<crate::error::Trap>()
    }

    /// A trap in words, to print: the reason in one line, then the guest's backtrace in more, where
    /// `trap` has one. Text of the guest's is escaped, as by [`Escaped`](crate::observe::Escaped), so that no line of it
    /// looks like one of the host's.
    pub fn describe_trap(trap: &wasmtime::Error) -> String {
        describe_trap(trap)
    }
}

/// # Errors
///
/// [`LoadError::MixesDialects`].
pub(super) fn refuse_mixture(name: &Path, interface: &Interface) -> Result<(), LoadError> {
    match mixture(interface) {
        Some(mixture) => Err(LoadError::MixesDialects(name.to_owned(), mixture.to_string())),
        None => Ok(()),
    }
}

/// The content of the file `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    content(path).map_err(|error| LoadError::Unreadable(path.to_owned(), error))
}

/// The most bytes that a module may have: as many as browsers take.
const LARGEST: u64 = 1 << 30;

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    // The opening of a pipe would wait for a writer.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file: std::fs::File = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?.into();
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return refused("it is a directory");
    }
    let is_read = kind.is_file() || (kind.is_fifo() && is_own_descriptor(path));
    if !is_read {
        return refused("it is no regular file");
    }
    if kind.is_fifo() {
        // What a shell passes as a file: its writer is there already and to be waited for, or gone, and then
        // that is the end.
        rustix::fs::fcntl_setfl(file.as_fd(), OFlags::empty())?;
    }
    // A pipe has no length. One byte more, so that its end is found without a larger buffer.
    let length = file.metadata()?.len().min(LARGEST) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    (&mut file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return refused("it is larger than 1 GiB");
    }
    Ok(bytes)
}

/// Does the path stand for a descriptor of this process?
fn is_own_descriptor(path: &Path) -> bool {
    ["/dev/fd", "/proc/self/fd", "/dev/stdin"].iter().any(|start| path.starts_with(start))
}

/// The binary of a module or a component: one as it is, or what its text says. Without the feature
/// `components` it is a module's.
pub(super) fn binary<'a>(name: &Path, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, LoadError> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let binary = match first {
        _ if bytes.starts_with(MAGIC) => bytes.into(),
        Some(b'(' | b';') => translated(name, bytes)?,
        _ => return Err(LoadError::NotWasm(name.to_owned())),
    };
    if is_component(&binary) && !cfg!(feature = "components") {
        return Err(LoadError::Component(name.to_owned()));
    }
    Ok(binary)
}

/// Is this binary a component's? The version field holds 1 for a module; a component has its layer
/// there.
pub(super) fn is_component(binary: &[u8]) -> bool {
    binary.starts_with(MAGIC) && binary.get(4..8) != Some(&[1, 0, 0, 0])
}

#[cfg(feature = "wat")]
fn translated<'a>(name: &Path, text: &'a [u8]) -> Result<Cow<'a, [u8]>, LoadError> {
    wat::parse_bytes(text).map_err(|error| LoadError::Invalid(name.to_owned(), wasmtime::Error::new(error)))
}

/// Without the feature `wat` a text is no module.
#[cfg(not(feature = "wat"))]
fn translated<'a>(name: &Path, _text: &'a [u8]) -> Result<Cow<'a, [u8]>, LoadError> {
    Err(LoadError::NotWasm(name.to_owned()))
}

/// Would an engine of this configuration take the module?
fn is_valid(bytes: &[u8], config: &Config) -> bool {
    Engine::new(config).is_ok_and(|engine| Module::validate(&engine, bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(bytes: &[u8]) -> Result<Guest, LoadError> {
        let engine =
            Engine::new(&Guest::engine_config()).map_err(|error| LoadError::Invalid("".into(), error))?;
        Guest::from_bytes(&engine, "a".as_ref(), bytes)
    }

    const THREADED: &str = r#"(module (import "env" "memory" (memory 1 2 shared)))"#;

    #[test]
    fn what_no_feature_is_needed_for_loads() {
        assert!(loaded(b"\0asm\x01\0\0\0").is_ok());
        let component = loaded(b"\0asm\x0d\0\x01\0");
        if cfg!(feature = "components") {
            assert!(matches!(component, Err(LoadError::NotProgram(..))));
        } else {
            assert!(matches!(component, Err(LoadError::Component(_))));
        }
        assert!(matches!(loaded(b"ELF"), Err(LoadError::NotWasm(_))));
    }

    #[test]
    fn a_text_needs_a_feature() {
        let found = loaded(b"(module)");
        if cfg!(feature = "wat") {
            assert!(found.is_ok());
        } else {
            assert!(matches!(found, Err(LoadError::NotWasm(_))));
        }
    }

    #[test]
    fn threads_need_a_feature() -> Result<(), wat::Error> {
        let found = loaded(&wat::parse_str(THREADED)?);
        assert_eq!(found.is_ok(), cfg!(feature = "threads"));
        // A Wasmtime that lacks the feature, too, finds the module invalid.
        if let Err(error) = found {
            assert!(matches!(error, LoadError::NeedsThreads(_) | LoadError::Invalid(..)), "{error}");
        }
        Ok(())
    }
}
