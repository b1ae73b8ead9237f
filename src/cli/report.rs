//! Events and calls as lines on standard error.
//!
//! Nobody may be reading it any more: that is no reason for a server to stop, so
//! [`say!`] does not fail, where `eprintln!` would panic.

use std::collections::HashSet;
use std::sync::Mutex;

use crate::observe::{Event, TraceLine};

/// Prints a line on standard error, if anybody reads it.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _unread = writeln!(std::io::stderr(), $($line)*);
    }};
}
pub(super) use say;

/// Prints what the operator should know.
pub(super) fn event(event: &Event) {
    match event {
        Event::Listening { fd, local, .. } => say!("wasock: listening on {local} (fd {fd})"),
        Event::Denied { call, what, rule, flag } => {
            say!("wasock: denied {call} of {what}: {rule}; allow it with {flag}")
        }
        Event::Unavailable { call, address, errno } => {
            let hint = hint(*errno, address.port());
            say!("wasock: {call} of {address} failed: {errno}{hint}");
        }
        Event::Stubbed { module, name } => {
            say!("wasock: {module}.{name} is not implemented; it answers ENOSYS");
        }
        Event::Restarted { trap } => say!("wasock: the guest trapped and starts anew: {}", trap.trim_end()),
    }
}

/// What the operator can do.
fn hint(errno: crate::error::Errno, port: u16) -> &'static str {
    use crate::error::Errno;
    match errno {
        Errno::EADDRINUSE => "; another program listens there: stop it, or choose another port",
        Errno::EACCES if port < 1024 => "; ports below 1024 need privileges: choose a higher one",
        Errno::EADDRNOTAVAIL => "; this machine does not have that address",
        _ => "",
    }
}

/// Prints a call.
pub(super) fn call(line: &TraceLine<'_>) {
    say!("{line}");
}

/// Prints each event that repeats itself only once.
pub(super) fn once() -> impl Fn(&Event) + Send + Sync {
    let told: Mutex<HashSet<String>> = Mutex::default();
    move |event: &Event| {
        if let Event::Unavailable { .. } = event {
            let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if told.len() > 1024 || !told.insert(format!("{event:?}")) {
                return;
            }
        }
        self::event(event);
    }
}
