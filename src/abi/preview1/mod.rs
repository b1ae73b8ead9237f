//! WASI preview 1: the 46 functions of `wasi_snapshot_preview1`; and snapshot 0, which
//! is preview 1 but for the few functions in `unstable.rs`.
//!
//! A file for each noun of the witx, with the trait that wiggle made of it.

pub(crate) mod bindings;
mod clock;
mod environment;
mod fd;
mod path;
mod poll;
mod process;
mod random;
mod socket;
mod stat;
mod unstable;

use bindings::types;
/// The numbers of errors.
pub(crate) use bindings::types::Errno as Number;

crate::abi::errno::error_numbers!(types);
