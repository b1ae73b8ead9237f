//! Descriptor numbers, and the rights of each.
//!
//! A descriptor is a small number that stands for an open thing together with
//! what may be done with it. The table knows nothing of the things themselves.
//! A missing descriptor is `EBADF`; a missing right is `ENOTCAPABLE`; the two are
//! checked in this order, with the kind of the thing asked in between (see
//! `abi`).
//!
//! Key types: [`FdTable`], [`Descriptor`], [`Rights`].

mod family_count;
mod rights;
mod table;

pub use rights::Rights;
pub use table::{Counted, Descriptor, FdTable};
