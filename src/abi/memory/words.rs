//! Words that almost every call reads or writes: iovecs, counts, flags.
//!
//! What wiggle makes of a number takes some 35 instructions, for it serves every kind of memory and makes its errors in
//! advance. Where no other thread has the memory, it is bytes of the host's, and these take a third of that. What does not
//! go so, wiggle is asked for, and for the error.

use wiggle::{GuestError, GuestMemory, GuestPtr};

use super::Region;
use crate::error::Error;

/// The iovec at `at`: pointer at 0, length at 4.
#[inline]
pub(crate) fn read_buffer(memory: &GuestMemory<'_>, at: u32) -> Result<Region, GuestError> {
    if let Some(word) = read_word(memory, at) {
        let [a, b, c, d, e, f, g, h] = word;
        return Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])));
    }
    let at = GuestPtr::<u32>::new(at);
    Ok((memory.read(at)?, memory.read(at.add(1)?)?))
}

/// The 8 bytes at `at` in one piece. `None` where they are not all in
/// the memory, or not aligned as that asks for.
#[inline]
fn read_word(memory: &GuestMemory<'_>, at: u32) -> Option<[u8; 8]> {
    match memory {
        GuestMemory::Unshared(bytes) if at.is_multiple_of(4) => {
            bytes.get(place(at)?..)?.first_chunk().copied()
        }
        GuestMemory::Shared(_) if at.is_multiple_of(8) => {
            memory.read(GuestPtr::<u64>::new(at)).ok().map(u64::to_le_bytes)
        }
        _ => None,
    }
}

/// Writes a number that a call returns, as [`GuestMemory::write`] does.
///
/// # Errors
///
/// A trap where it is not in the memory, or not aligned.
#[inline]
pub(crate) fn write_count(memory: &mut GuestMemory<'_>, ptr: GuestPtr<u32>, count: u32) -> Result<(), Error> {
    match put(memory, ptr.offset(), count.to_le_bytes()) {
        true => Ok(()),
        false => Ok(memory.write(ptr, count)?),
    }
}

/// As [`write_count`], for flags.
///
/// # Errors
///
/// Those of [`write_count`].
#[inline]
pub(crate) fn write_flags(memory: &mut GuestMemory<'_>, ptr: GuestPtr<u16>, flags: u16) -> Result<(), Error> {
    match put(memory, ptr.offset(), flags.to_le_bytes()) {
        true => Ok(()),
        false => Ok(memory.write(ptr, flags)?),
    }
}

/// Writes the bytes of a number at `at`, in place; returns whether that was possible.
#[inline]
fn put<const N: usize>(memory: &mut GuestMemory<'_>, at: u32, bytes: [u8; N]) -> bool {
    let GuestMemory::Unshared(memory) = memory else { return false };
    let Some(at) = place(at).filter(|at| at.is_multiple_of(N)) else { return false };
    match memory.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        Some(number) => {
            *number = bytes;
            true
        }
        None => false,
    }
}

/// An offset, as an index of the host's.
#[inline]
pub(super) fn place(offset: u32) -> Option<usize> {
    usize::try_from(offset).ok()
}
