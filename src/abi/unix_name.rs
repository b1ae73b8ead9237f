//! Names of Unix sockets, as every dialect that has them lays them out: bytes up to a NUL.

use wiggle::{GuestMemory, GuestPtr};

use super::memory::read_text;
use crate::address::UnixName;
use crate::error::{Errno, Error};

/// "path bytes, at most 107 and a NUL"
pub(crate) const PATH: u32 = 108;

/// Reads a path up to its NUL, and nothing behind that: old programs have less space.
///
/// # Errors
///
/// `ENAMETOOLONG` without a NUL in its space and `EILSEQ` for what is not UTF-8; a trap outside
/// of the memory.
pub(crate) fn read(memory: &GuestMemory<'_>, start: GuestPtr<u8>) -> Result<UnixName, Error> {
    // "ENAMETOOLONG: The length of a component of a pathname is longer than {NAME_MAX}."
    // - bind(3p); of the whole here.
    let path = read_text(memory, start, PATH, Errno::ENAMETOOLONG)?;
    if path.is_empty() {
        return Ok(UnixName::unnamed());
    }
    let path = String::from_utf8(path).map_err(|_| Errno::EILSEQ)?;
    Ok(UnixName::new(path))
}
