//! How a guest's code ended, and how an end travels through the engine as an error.

use std::fmt;

use wasmtime::{Trap, WasmBacktrace};

use super::backtrace::Backtrace;
use super::stub::MissingImports;
use crate::error::{Exit, Jump, Replaced, Terminated, ThreadExit};
use crate::observe::Escaped;
#[cfg(feature = "components")]
use crate::observe::Limit;
use crate::process::{Ending, ExitStatus, Signal};

/// How a guest ended by itself. A trap is an error instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code: 0 where the program returned from its start, and nothing was left
    /// to be delivered to it.
    pub code: u32,
}

/// How one instance ended.
pub(super) enum Outcome {
    Ended(Ended),
    /// By this signal.
    Signalled(Signal),
    /// Another program takes its place.
    Replaced,
    /// By a trap in a handler, after a start that went well.
    Trapped(wasmtime::Error),
}

impl Outcome {
    /// How the guest has ended that had this as its last instance.
    ///
    /// # Errors
    ///
    /// The trap.
    pub(super) fn last(self) -> wasmtime::Result<Ended> {
        match self {
            Self::Ended(ended) => Ok(ended),
            Self::Signalled(signal) => Ok(Ended { code: signal.exit_code() }),
            Self::Replaced => Err(Replaced.into()),
            Self::Trapped(trap) => Err(trap),
        }
    }
}

/// What a parent is told of the end of its child.
pub(super) fn status_of(outcome: &wasmtime::Result<Outcome>) -> ExitStatus {
    match outcome {
        Ok(Outcome::Ended(Ended { code })) => ExitStatus::Exited(*code),
        Ok(Outcome::Signalled(signal)) => ExitStatus::Signalled(*signal),
        Ok(Outcome::Replaced | Outcome::Trapped(_)) => ExitStatus::Signalled(Signal::Abrt),
        Err(error) => ExitStatus::Signalled(match error.downcast_ref() {
            Some(Terminated::CpuTime(_)) => Signal::Xcpu,
            Some(Terminated::Order | Terminated::Timeout(_) | Terminated::HostPanic(_)) => Signal::Kill,
            Some(Terminated::Handler(_)) | None => Signal::Abrt,
        }),
    }
}

/// What a parent is told of a child that ended with `error` while it was a thread of its parent's.
pub(super) fn status_of_error(error: &wasmtime::Error) -> ExitStatus {
    if let Some(BySignal(signal)) = error.downcast_ref() {
        return ExitStatus::Signalled(*signal);
    }
    match error.downcast_ref() {
        Some(Exit(code)) => ExitStatus::Exited(*code),
        None if error.is::<ThreadExit>() => ExitStatus::Exited(0),
        None => ExitStatus::Signalled(Signal::Abrt),
    }
}

/// How one instance ended, or why it could not go on.
///
/// # Errors
///
/// What is no end of the guest's own.
pub(super) fn outcome_of(outcome: wasmtime::Result<()>) -> wasmtime::Result<Outcome> {
    let Err(error) = outcome else { return Ok(Outcome::Ended(Ended { code: 0 })) };
    if error.is::<Replaced>() {
        return Ok(Outcome::Replaced);
    }
    match error.downcast_ref() {
        Some(BySignal(signal)) => Ok(Outcome::Signalled(*signal)),
        None => ended(Err(error)).map(Outcome::Ended),
    }
}

/// How the guest ended, or why it could not go on.
pub(super) fn ended(outcome: wasmtime::Result<()>) -> wasmtime::Result<Ended> {
    match outcome {
        Ok(()) => Ok(Ended { code: 0 }),
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(Exit(code)) => Ok(Ended { code: *code }),
            // The only thread there is: "The process shall exit with an exit status of 0
            // after the last thread has been terminated." - pthread_exit(3p)
            None if error.is::<ThreadExit>() => Ok(Ended { code: 0 }),
            None => Err(error),
        },
    }
}

/// Is `error` the guest's own mistake, rather than its end by `proc_exit`, by a
/// request or by a limit?
pub(super) fn is_mistake(error: &wasmtime::Error) -> bool {
    !error.is::<Exit>()
        && !error.is::<ThreadExit>()
        && !error.is::<Replaced>()
        && !error.is::<Jump>()
        && error.downcast_ref().is_none_or(|why| matches!(why, Terminated::Handler(_)))
        && error.downcast_ref() != Some(&Trap::Interrupt)
}

/// Is `error` a trap of the guest's own code?
pub(super) fn is_trap(error: &wasmtime::Error) -> bool {
    is_mistake(error) && error.is::<Trap>()
}

/// Is `error`, a [mistake](is_mistake), one of the guest's own code, which ran? Otherwise the host could not run it.
pub(super) fn is_of_code(error: &wasmtime::Error) -> bool {
    error.is::<Trap>()
        || error.is::<WasmBacktrace>()
        || error.is::<crate::error::Trap>()
        || error.is::<Terminated>()
}

/// The end of a guest by `signal`: an [`Exit`], which says what it was besides.
pub(super) fn by_signal(signal: Signal) -> wasmtime::Error {
    wasmtime::Error::new(Exit(signal.exit_code())).context(BySignal(signal))
}

/// Says of an end that it is a signal's.
#[derive(Debug)]
struct BySignal(Signal);

impl fmt::Display for BySignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest was ended by {}", self.0)
    }
}

/// How the end of a guest travels through the engine.
pub(super) fn error_of(ending: Ending) -> wasmtime::Error {
    match ending {
        Ending::Signal(signal) => by_signal(signal),
        Ending::Terminated(why) => wasmtime::Error::new(why),
    }
}

/// How an instance has ended, in words.
pub(super) fn reason(outcome: &wasmtime::Result<Ended>) -> String {
    match outcome {
        Ok(Ended { code }) => format!("exit code {code}"),
        Err(error) => match error.downcast_ref::<Terminated>() {
            Some(why) => why.to_string(),
            None => describe_trap(error),
        },
    }
}

/// Noted in a trap: the limit of the operator's that has caused it.
#[cfg(feature = "components")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AtLimit(pub(super) Limit);

#[cfg(feature = "components")]
impl fmt::Display for AtLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.0.name())
    }
}

/// See [`Guest::describe_trap`](super::Guest::describe_trap).
pub(super) fn describe_trap(trap: &wasmtime::Error) -> String {
    let root = trap.root_cause();
    let reason = match root.downcast_ref::<MissingImports>() {
        // Its names are escaped; it is to be one line all the same.
        Some(missing) => missing.to_string().replace(":\n  ", ": ").replace("\n  ", ", "),
        None => Escaped(root).to_string(),
    };
    #[cfg(feature = "components")]
    let reason = match trap.downcast_ref::<AtLimit>() {
        Some(limit) => format!("{reason} ({limit})"),
        None => reason,
    };
    match trap.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) if !backtrace.frames().is_empty() => format!("{reason}\n{}", Backtrace(backtrace)),
        Some(_) | None => reason,
    }
}
