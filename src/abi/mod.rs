//! The front desk: guest bytes to host values and back, one folder a dialect.
//!
//! It decides nothing. Every call checks in one order: descriptor, kind, rights,
//! memory, arguments, state, policy, operating system. A number that a type of
//! the ABI does not know answers `EINVAL`; a pointer outside the memory traps.

mod detect;
#[cfg(test)]
mod layout;
#[allow(dead_code, reason = "the dialects that use all of it come next")]
pub(crate) mod memory;
pub(crate) mod preview1;
mod stand_in;
mod table;
pub(crate) mod trace;
pub(crate) mod wasix;

pub use detect::{Detected, Dialect, Generation, Import, MemoryKind, detect};
pub(crate) use detect::{Support, support};
pub use table::{Argument, CoreType, FUNCTIONS, Function, Kind};
