//! How a process gets a program: what `host` does for it.

use std::any::Any;
use std::sync::Arc;

use super::Process;
use crate::error::Errno;

/// A program that is compiled and linked, as a [`Launcher`] has made it.
pub(crate) type Program = Arc<dyn Any + Send + Sync>;

/// Loads programs and runs them: what `host` gives to a guest that may have more than one process.
pub(crate) trait Launcher: Send + Sync {
    /// Compiles the program of these bytes, which has that whole path for the guest. This may take long, and stops its
    /// thread.
    ///
    /// # Errors
    ///
    /// `ENOEXEC` for what is no program, or none that can be a child.
    fn load(&self, path: &str, bytes: &[u8]) -> Result<Program, Errno>;

    /// Runs `program` as `process`, from its start to its end; calls `begins` when nothing can hinder it any more.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where the host can't start a thread for it.
    fn start(&self, process: Arc<Process>, program: Program, begins: &dyn Fn()) -> Result<(), Errno>;
}

/// What a program is started with.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// The whole path of the program.
    pub(crate) path: String,
    /// The arguments, the program's name first.
    pub(crate) arguments: Vec<String>,
    /// The environment, as `NAME=value`; where there is none it is that of the process that starts the program.
    pub(crate) environment: Option<Vec<String>>,
}
