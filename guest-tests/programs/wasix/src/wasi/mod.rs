//! The calls, by the imports of a guest.

pub(crate) mod descriptor;
pub(crate) mod poll;
pub(crate) mod socket;
