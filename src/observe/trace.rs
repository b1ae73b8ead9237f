//! The call trace: one readable line for each call of the guest.

use std::fmt;
use std::time::Duration;

/// One finished call.
///
/// Written as `sock_bind(fd=3, addr=127.0.0.1:8080) = EACCES <12.3us>`, results
/// after the outcome: `sock_accept_v2(fd=3, flags=0) = 0 fd=4 addr=127.0.0.1:50312 <88.1us>`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TraceLine<'a> {
    /// The process that made the call, where the guest has or had more than one.
    pub pid: Option<u32>,
    /// The function's name.
    pub name: &'a str,
    /// The arguments, as `name=value` separated by `, `.
    pub arguments: &'a str,
    /// `0`, the name of an error number, or `?` for a call that did not return.
    pub outcome: &'a str,
    /// The results, as `name=value` separated by spaces; of a call that failed, the limit
    /// that was reached: `max-connections=100`. Empty where there are none.
    pub results: &'a str,
    /// How long the call took.
    pub duration: Duration,
}

impl fmt::Display for TraceLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            write!(f, "[{pid}] ")?;
        }
        write!(f, "{}({}) = {}", self.name, self.arguments, self.outcome)?;
        if !self.results.is_empty() {
            write!(f, " {}", self.results)?;
        }
        write!(f, " <{}.{}us>", self.duration.as_micros(), self.duration.subsec_nanos() % 1000 / 100)
    }
}

/// Receives the lines of a call trace, on the thread that runs the guest.
pub(crate) type TraceSink = dyn Fn(&TraceLine<'_>) + Send + Sync;
