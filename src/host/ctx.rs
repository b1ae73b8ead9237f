//! What a store holds of wasock.

use std::sync::Arc;

use super::link::GuestMemoryHandle;
use crate::observe::TraceSink;
use crate::process::Thread;

/// One guest, as the host sees it.
#[derive(Default)]
pub struct WasockCtx {
    /// What calls act on.
    pub(crate) thread: Thread,
    /// The guest's memory, known from its first call on.
    pub(crate) memory: Option<GuestMemoryHandle>,
    /// Where the call trace goes.
    pub(crate) trace: Option<Arc<dyn TraceSink>>,
}
