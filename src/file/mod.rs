//! Files and directories of a guest, on cap-std.
//!
//! A guest reaches only what lies below a [`Dir`] that the operator granted.
//! cap-std resolves every path inside that directory, symbolic links included;
//! this module adds the rules of POSIX that cap-std leaves open, and [`Access`],
//! the operator's decision whether the guest may change anything there.
//!
//! Rules for every call:
//! - Errors are [`Errno`](crate::error::Errno). The order of checks: the path's
//!   form, the arguments, [`Access`], the operating system.
//! - All methods take `&self`, so that one open file serves many descriptors
//!   and threads behind an `Arc`. The operating system keeps the position.
//! - A call may wait for the disk, never for another party: FIFOs and devices
//!   are opened nonblocking, and fail with `EAGAIN`. Call these where waiting for the
//!   disk is acceptable.
//! - An interrupted call is repeated; a guest never sees `EINTR` from here.
//!
//! Key types: [`Dir`], [`File`], [`OpenOptions`], [`Stat`]. Neighbours: `fd`
//! holds what is open here; `error` names the failures.

mod dir;
mod entry;
#[expect(clippy::module_inception, reason = "the module and the noun have one name")]
mod file;
mod moves;
mod open;
mod path;
#[cfg(test)]
mod scratch;
mod socket;
mod stat;
mod times;

pub use dir::{Access, Dir};
pub use entry::{DirEntry, Listing};
pub use file::{Advice, File, FileFlags, Whence};
pub use moves::{EntryName, FileId, Move, Way};
pub use open::{OpenOptions, Opened};
pub use socket::{HostPath, SocketFile, SocketPlace};
pub use stat::{FileType, Stat};
pub use times::{SetTime, Times};
