//! The front desk: guest bytes to host values and back, one folder a dialect.
//!
//! It decides nothing. Every call checks in one order: descriptor, kind, rights,
//! memory, arguments, state, policy, operating system. A number that a type of
//! the ABI does not know answers `EINVAL`; a pointer outside the memory traps.

pub(crate) mod flags;
pub(crate) mod memory;
pub(crate) mod path;
pub(crate) mod preview1;
pub(crate) mod transfer;
pub(crate) mod wasix;
