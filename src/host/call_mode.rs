//! How the functions of a guest, and its calls of the host, are run.

/// How functions are called: as the store runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallMode {
    Async,
    Blocking,
}
