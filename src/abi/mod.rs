//! The ABI layer: guest bytes to host values and back, one folder a dialect.
//!
//! It decides nothing. Every call checks in one order: descriptor, kind, rights,
//! memory, arguments, state, policy, operating system. A number that a type of
//! the ABI does not know fails with `EINVAL`; a pointer outside the memory traps.

pub(crate) mod call;
#[cfg(feature = "components")]
pub(crate) mod component;
mod detect;
pub(crate) mod dialect;
pub(crate) mod env;
pub(crate) mod errno;
pub(crate) mod flags;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod interface;
#[cfg(test)]
mod layout;
mod limits;
mod look_up;
pub(crate) mod memory;
mod mixed;
pub(crate) mod path;
mod phases;
pub(crate) mod preview1;
mod rights;
mod table;
mod toolchain;
pub(crate) mod trace;
pub(crate) mod transfer;
mod unix_name;
pub(crate) mod wamr;
pub(crate) mod wasi_threads;
pub(crate) mod wasix;
pub(crate) mod wasmedge;

pub use detect::{Detected, Dialect, Import, MemoryKind, detect};
pub(crate) use detect::{Imports, Support, detect_in, imported_memory, wants_threads};
pub(crate) use dialect::linkage;
pub(crate) use interface::{Interface, may_share_own_memory};
pub(crate) use mixed::mixture;
pub use table::{Argument, ArgumentKind, CoreType, FUNCTIONS, Function, LACKING, OTHER_TYPES};
pub(crate) use toolchain::is_go;
pub(crate) use wasix::WIDE_MODULE;
pub use wasix::{WasixGeneration, added_in};
