//! Futexes of a guest with a single thread: nobody else could wake it, so a wait
//! ends by its limit, and a wake finds nobody.

use std::time::Duration;

use crate::ready::sleep;

/// Was the waiter woken, or was its time over?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The word had changed already.
    Yes,
    /// The time is over.
    No,
}

/// Waits for the word at an address, which is `value` and was expected to be
/// `expected`; for ever without a limit.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
pub(super) async fn wait(value: u32, expected: u32, limit: Option<Duration>) -> Woken {
    // The reference host answers a changed word as woken, and the C library takes any
    // error number for fatal.
    if value != expected {
        return Woken::Yes;
    }
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
    Woken::No
}
