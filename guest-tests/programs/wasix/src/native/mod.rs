//! The calls, by those of Linux: what the kernel itself answers.
//!
//! Error numbers become WASI's by name. There are no rights, and there is no
//! memory whose layout could be wrong.

pub(crate) mod descriptor;
mod errno;
pub(crate) mod poll;
pub(crate) mod socket;

use crate::{Fd, Result};
use libc::c_int;

/// The number that a call answered, or why it failed.
fn outcome(answer: impl Into<i64>) -> Result<usize> {
    usize::try_from(answer.into()).map_err(|_| errno::last())
}

/// The number of a new descriptor, or why there is none.
fn descriptor_of(answer: c_int) -> Result<Fd> {
    outcome(answer).map(|fd| fd as Fd)
}
