//! WASIX: what `wasix_32v1` has beyond preview 1.
//!
//! A file for each noun of the witx, with the trait that wiggle made of it.

pub(crate) mod address;
pub(crate) mod bindings;
mod clock;
mod fd;
mod multicast;
mod option;
mod path;
mod port;
mod process;
mod resolve;
mod signal;
mod socket;
mod thread;
mod tty;
mod wait;

use bindings::types;

crate::abi::errno::error_numbers!(types);
