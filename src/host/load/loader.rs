//! Loading with a compiler of the embedder's choice.

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "components")]
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::super::copyable::obstacle;
use super::super::own_memory;
use super::super::shared_memories::growth_in_binary;
use super::super::snapshot::{Refusal, exporting};
use super::{Guest, LoadError, binary, is_component, is_valid, read, refuse_mixture};
use crate::abi::{Interface, detect_in, is_go};

/// Makes code of WebAssembly, in place of Wasmtime's own functions: what keeps compiled code looks there first.
///
/// What is to be compiled is not always what was loaded: some modules are changed before, and a guest starts
/// programs that its embedder has not seen. So whatever is kept is to be known by the bytes that come here.
pub trait Compile: Send + Sync {
    /// As [`Module::from_binary`] has it, which is what the default is.
    ///
    /// # Errors
    ///
    /// As there.
    fn module(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Module> {
        Module::from_binary(engine, binary)
    }

    /// As [`Component::from_binary`] has it, which is what the default is.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(feature = "components")]
    fn component(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Component> {
        Component::from_binary(engine, binary)
    }
}

/// Compiles anew, or by the cache that the engine has.
pub(super) struct Wasmtime;

impl Compile for Wasmtime {}

/// Loads guests, with a compiler other than Wasmtime's own functions. [`Guest::load`] is a loader without one.
///
/// ```
/// use std::sync::Arc;
/// use wasmtime::{Engine, Module};
/// use wasock::{Compile, Guest, Loader};
///
/// /// Says what is compiled.
/// struct Talkative;
///
/// impl Compile for Talkative {
///     fn module(&self, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Module> {
///         println!("{} bytes", binary.len());
///         Module::from_binary(engine, binary)
///     }
/// }
///
/// let engine = Guest::new_engine(&Guest::engine_config())?;
/// let loader = Loader::new(&engine).compiler(Arc::new(Talkative));
/// loader.from_bytes("empty".as_ref(), b"\0asm\x01\0\0\0")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    engine: Engine,
    compiler: Arc<dyn Compile>,
}

impl Loader {
    /// A loader for an engine with the settings of [`Guest::engine_config`].
    pub fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), compiler: Arc::new(Wasmtime) }
    }

    /// Has `compiler` compile guests, and the programs that they start.
    #[must_use]
    pub fn compiler(mut self, compiler: Arc<dyn Compile>) -> Self {
        self.compiler = compiler;
        self
    }

    /// As [`Guest::load`] does.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load(&self, path: &Path) -> Result<Guest, LoadError> {
        self.from_bytes(path, &read(path)?)
    }

    /// As [`Guest::load_to_copy`] does.
    ///
    /// # Errors
    ///
    /// See there.
    pub fn load_to_copy(&self, path: &Path) -> Result<Guest, LoadError> {
        let bytes = read(path)?;
        let source = binary(path, &bytes)?;
        if is_component(&source) {
            return Err(LoadError::NotCopied(path.to_owned(), "is a component".to_owned()));
        }
        let exporting = match exporting(&source) {
            Ok(exporting) => exporting,
            Err(Refusal::Because(why)) => return Err(LoadError::NotCopied(path.to_owned(), why)),
            // The engine says what is wrong.
            Err(Refusal::Invalid) => source.to_vec(),
        };
        let guest = self.from_bytes(path, &exporting)?;
        Ok(Guest { source: Some(source.into_owned().into()), ..guest })
    }

    /// As [`Guest::from_bytes`] does.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn from_bytes(&self, name: &Path, bytes: &[u8]) -> Result<Guest, LoadError> {
        let bytes = &*binary(name, bytes)?;
        let guest = self.compiled(name, bytes)?;
        Ok(Guest { compiler: Arc::clone(&self.compiler), ..guest })
    }

    fn compiled(&self, name: &Path, bytes: &[u8]) -> Result<Guest, LoadError> {
        if is_component(bytes) {
            #[cfg(feature = "components")]
            return Guest::from_component(&self.engine, &*self.compiler, name, bytes);
            #[cfg(not(feature = "components"))]
            return Err(LoadError::Component(name.to_owned()));
        }
        let sharing = own_memory::imported(bytes);
        let compiled = sharing.as_ref().map_or(bytes, |(rewritten, _)| rewritten.as_slice());
        let module = self.compiler.module(&self.engine, compiled).map_err(|error| {
            let has_threads = is_valid(bytes, &Guest::engine_config());
            if has_threads && !is_valid(bytes, &Guest::engine_config_without_threads()) {
                return LoadError::NeedsThreads(name.to_owned());
            }
            LoadError::Invalid(name.to_owned(), error)
        })?;
        refuse_mixture(name, &Interface::of(&module))?;
        let mut guest = Guest::from_module(module);
        if let Some((_, interface)) = &sharing {
            guest.detected = detect_in(interface);
        }
        if !cfg!(feature = "threads") {
            guest.refuse_threads(name)?;
        }
        let shared_growth = growth_in_binary(compiled).unwrap_or(guest.shared_growth);
        let fork_obstacle = if guest.fork_obstacle.is_some() { obstacle(compiled) } else { None };
        Ok(Guest { is_go: is_go(bytes), shared_growth, fork_obstacle, ..guest })
    }
}
