//! What a poll works with.

use std::sync::Arc;

use super::OpenFile;
use crate::ready::LookRoom;

/// Room for one poll. A thread keeps it between its calls, so that they allocate nothing.
#[derive(Default)]
pub(crate) struct PollRoom {
    /// What the kernel is asked.
    pub(crate) look: LookRoom,
    /// What stands behind the descriptors, where others may close them meanwhile.
    pub(crate) held: Vec<Arc<OpenFile>>,
    /// The events, as the guest gets them.
    pub(crate) events: Vec<[u8; 32]>,
}
