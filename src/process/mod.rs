//! The running guest.

/// What a call of the guest acts on.
#[derive(Debug, Default)]
pub struct Thread;
