//! Bounded access to the guest's memory, for every dialect.
//!
//! The guest chooses every pointer and length here. A range outside its memory
//! traps; a count beyond what the host takes fails with an error number; and
//! the host never allocates more than a constant on the guest's request alone.

use std::borrow::Cow;
use std::io::IoSlice;

pub(crate) use wiggle::GuestMemory;
use wiggle::{GuestError, GuestPtr, GuestType};

use crate::error::{Errno, Error, Trap};

mod words;

use words::place;
pub(crate) use words::{read_buffer, write_count, write_flags};

/// The most buffers that one call takes: `IOV_MAX` of Linux and `UIO_MAXIOV` of
/// the BSDs.
pub(crate) const MAX_BUFFERS: u32 = 1024;

/// The most bytes that one call moves, as a C `ssize_t` of the guest can hold.
const MAX_TOTAL: u32 = i32::MAX.cast_unsigned();

/// The size of an iovec.
const BUFFER_SIZE: u32 = 8;

/// A pointer and the number of bytes there.
pub(crate) type Region = (u32, u32);

impl From<GuestError> for Error {
    /// "Pointers are out of bounds: trap; a value that is none of its type's:
    /// inval" is how preview 1 hosts read the witx rules.
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::InvalidFlagValue(_) | GuestError::InvalidEnumValue(_) => Errno::EINVAL.into(),
            GuestError::InvalidUtf8(_) => Errno::EILSEQ.into(),
            GuestError::TryFromIntError(_) => Errno::EOVERFLOW.into(),
            GuestError::InFunc { err, .. } => Self::from(*err),
            GuestError::PtrOverflow
            | GuestError::PtrOutOfBounds(_)
            | GuestError::PtrNotAligned(..)
            | GuestError::SliceLengthsDiffer => Trap::new(error.to_string()).into(),
        }
    }
}

/// How many bytes the guest's memory has.
pub(crate) fn size(memory: &GuestMemory<'_>) -> usize {
    match memory {
        GuestMemory::Unshared(bytes) => bytes.len(),
        GuestMemory::Shared(bytes) => bytes.len(),
    }
}

/// Checks that `len` bytes at `ptr` can be written, before the effect whose
/// outcome goes there.
///
/// # Errors
///
/// A trap where they are not all in the memory.
pub(crate) fn check_out(memory: &GuestMemory<'_>, ptr: u32, len: u32) -> Result<(), Error> {
    let end = u64::from(ptr) + u64::from(len);
    if usize::try_from(end).is_ok_and(|end| end <= size(memory)) {
        return Ok(());
    }
    Err(outside(ptr, len))
}

#[cold]
fn outside(ptr: u32, len: u32) -> Error {
    Trap::new(format!("{len} bytes at {ptr:#x} are outside the memory of the guest")).into()
}

/// Checks that a value of type `T` can be written at `ptr`: [`check_out`], and
/// its alignment.
///
/// # Errors
///
/// A trap where it cannot.
pub(crate) fn check_out_value<T: GuestType>(memory: &GuestMemory<'_>, ptr: GuestPtr<T>) -> Result<(), Error> {
    let offset = ptr.offset();
    check_out(memory, offset, T::guest_size())?;
    let align = T::guest_align();
    if usize::try_from(offset).is_ok_and(|offset| offset.is_multiple_of(align)) {
        return Ok(());
    }
    Err(Trap::new(format!("{offset:#x} is not aligned to {align} bytes")).into())
}

/// Copies the bytes at `ptr`.
///
/// # Errors
///
/// A trap where they are not all in the memory; `too_long` where they are more
/// than `cap`.
pub(crate) fn read_bytes(
    memory: &GuestMemory<'_>,
    ptr: GuestPtr<[u8]>,
    cap: u32,
    too_long: Errno,
) -> Result<Vec<u8>, Error> {
    let (start, len) = ptr.offset();
    check_out(memory, start, len)?;
    if len > cap {
        return Err(too_long.into());
    }
    Ok(memory.to_vec(ptr)?)
}

/// Copies the bytes at `ptr` up to a NUL, and reads nothing behind that.
///
/// # Errors
///
/// `too_long` without a NUL within `cap` bytes; a trap outside of the memory.
pub(crate) fn read_text(
    memory: &GuestMemory<'_>,
    ptr: GuestPtr<u8>,
    cap: u32,
    too_long: Errno,
) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    for offset in 0..cap {
        match memory.read(ptr.add(offset)?)? {
            0 => return Ok(text),
            byte => text.push(byte),
        }
    }
    Err(too_long.into())
}

/// Copies `bytes` to `ptr`.
///
/// # Errors
///
/// A trap where they do not fit in the memory.
pub(crate) fn write_bytes(
    memory: &mut GuestMemory<'_>,
    ptr: GuestPtr<u8>,
    bytes: &[u8],
) -> Result<(), Error> {
    let len = u32::try_from(bytes.len()).map_err(|_| Errno::EOVERFLOW)?;
    Ok(memory.copy_from_slice(bytes, ptr.as_array(len))?)
}

/// Copies `len` bytes at `at`, which the host has put there.
///
/// # Errors
///
/// A trap where they are not all in the memory.
pub(crate) fn copy_out(memory: &GuestMemory<'_>, at: u32, len: u32) -> Result<Vec<u8>, Error> {
    read_bytes(memory, GuestPtr::<[u8]>::new((at, len)), u32::MAX, Errno::EOVERFLOW)
}

/// Copies `bytes` to `at`.
///
/// # Errors
///
/// A trap where they do not fit in the memory.
pub(crate) fn copy_in(memory: &mut GuestMemory<'_>, at: u32, bytes: &[u8]) -> Result<(), Error> {
    write_bytes(memory, GuestPtr::<u8>::new(at), bytes)
}

/// The buffers of a vectored call, checked: each lies in the memory, and
/// together they hold at most [`i32::MAX`] bytes.
///
/// Empty ones are left out. One buffer, the usual case, needs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buffers {
    first: Region,
    rest: Vec<Region>,
    total: u32,
}

impl Buffers {
    /// Reads the array of iovecs whose address and number is `iovs`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for more than [`MAX_BUFFERS`] or for too many bytes in all; a trap
    /// for an array or a buffer outside the memory.
    pub(crate) fn read<T>(memory: &GuestMemory<'_>, iovs: GuestPtr<[T]>) -> Result<Self, Error> {
        let (start, count) = iovs.offset();
        // "EINVAL: the vector count iovcnt is [...] greater than the permitted
        // maximum" - readv(2)
        if count > MAX_BUFFERS {
            return Err(Errno::EINVAL.into());
        }
        if count == 1 {
            // The usual case, in which there is nothing to add up.
            let (ptr, len) = read_buffer(memory, start)?;
            check_out(memory, ptr, len)?;
            if len > MAX_TOTAL {
                return Err(Errno::EINVAL.into());
            }
            let first = if len == 0 { (0, 0) } else { (ptr, len) };
            return Ok(Self { first, rest: Vec::new(), total: len });
        }
        let mut all = Self::default();
        let mut total = 0_u64;
        for index in 0..count {
            let at = start.checked_add(index * BUFFER_SIZE).ok_or(GuestError::PtrOverflow)?;
            let (ptr, len) = read_buffer(memory, at)?;
            check_out(memory, ptr, len)?;
            total += u64::from(len);
            all.push((ptr, len));
        }
        // "EINVAL: The sum of the iov_len values in the iov array overflowed an
        // ssize_t" - readv(3p)
        all.total = u32::try_from(total).ok().filter(|total| *total <= MAX_TOTAL).ok_or(Errno::EINVAL)?;
        Ok(all)
    }

    fn push(&mut self, region: Region) {
        if region.1 == 0 {
            return;
        }
        if self.first.1 == 0 {
            self.first = region;
        } else {
            self.rest.push(region);
        }
    }

    /// What is left of the buffers after so many bytes.
    pub(crate) fn after(&self, bytes: u32) -> Self {
        let mut rest = Self { total: self.total.saturating_sub(bytes), ..Self::default() };
        let mut left = bytes;
        for (start, length) in self.regions() {
            let taken = length.min(left);
            left -= taken;
            // The end of the last one may be the end of all memory.
            rest.push((start.wrapping_add(taken), length - taken));
        }
        rest
    }

    /// How many bytes the buffers hold.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// The buffers that are not empty.
    pub(crate) fn regions(&self) -> impl Iterator<Item = Region> {
        std::iter::once(self.first).chain(self.rest.iter().copied()).filter(|region| region.1 > 0)
    }

    /// The same bytes in pieces of at most `most`, in order; one empty piece where there are
    /// no bytes.
    pub(crate) fn pieces(&self, most: u32) -> impl Iterator<Item = Self> {
        let (mut regions, mut rest) = (self.regions(), (0, 0));
        let mut is_first = true;
        std::iter::from_fn(move || {
            let mut piece = Self::default();
            while piece.total < most {
                if rest.1 == 0 {
                    let Some(next) = regions.next() else { break };
                    rest = next;
                }
                let (start, length): Region = rest;
                let taken = length.min(most - piece.total);
                piece.push((start, taken));
                piece.total += taken;
                // The end of the last one may be the end of all memory.
                rest = (start.wrapping_add(taken), length - taken);
            }
            let is_piece = piece.total > 0 || std::mem::take(&mut is_first);
            is_first = false;
            is_piece.then_some(piece)
        })
    }

    /// The one buffer, to be filled in place. `None` for several, or in a memory
    /// that other threads may change; [`Buffers::scatter`] serves those.
    #[inline]
    pub(crate) fn single_mut<'a>(
        &self,
        memory: &'a mut GuestMemory<'_>,
    ) -> Result<Option<&'a mut [u8]>, Error> {
        let GuestMemory::Unshared(bytes) = memory else { return Ok(None) };
        if !self.rest.is_empty() {
            return Ok(None);
        }
        let (start, length) = self.first;
        let range = place(start)
            .zip(place(length))
            .and_then(|(start, length)| bytes.get_mut(start..)?.get_mut(..length));
        range.map(Some).ok_or_else(|| outside(start, length))
    }

    /// The bytes of the buffers where these are few, read one by one: no memory is taken for
    /// them. `None` for more than `N`.
    pub(crate) fn few<const N: usize>(
        &self,
        memory: &GuestMemory<'_>,
    ) -> Result<Option<([u8; N], usize)>, Error> {
        if usize::try_from(self.total).map_or(true, |total| total > N) {
            return Ok(None);
        }
        let mut bytes = [0; N];
        let places = self.regions().flat_map(|(start, length)| (0..length).map(move |at| start + at));
        let mut count = 0;
        for (byte, place) in bytes.iter_mut().zip(places) {
            *byte = memory.read(GuestPtr::<u8>::new(place))?;
            count += 1;
        }
        Ok(Some((bytes, count)))
    }

    /// The buffers in place, in order. `None` in a memory that other threads may
    /// change; [`Buffers::gather`] serves that.
    pub(crate) fn slices<'a>(&self, memory: &'a GuestMemory<'_>) -> Result<Option<Vec<IoSlice<'a>>>, Error> {
        let mut slices = Vec::with_capacity(1 + self.rest.len());
        for region in self.regions() {
            match memory.as_slice(GuestPtr::new(region))? {
                Some(slice) => slices.push(IoSlice::new(slice)),
                None => return Ok(None),
            }
        }
        Ok(Some(slices))
    }

    /// The first `cap` bytes of the buffers: in place where that is possible, else
    /// copied.
    pub(crate) fn gather<'a>(&self, memory: &'a GuestMemory<'_>, cap: u32) -> Result<Cow<'a, [u8]>, Error> {
        if self.rest.is_empty() {
            let (ptr, len) = self.first;
            return Ok(memory.as_cow(GuestPtr::new((ptr, len.min(cap))))?);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.total.min(cap)).unwrap_or(0));
        let mut left = cap;
        for (ptr, len) in self.regions() {
            let len = len.min(left);
            bytes.extend_from_slice(&memory.as_cow(GuestPtr::new((ptr, len)))?);
            left -= len;
            if left == 0 {
                break;
            }
        }
        Ok(Cow::Owned(bytes))
    }

    /// Writes `bytes` into the buffers, in order; what does not fit is left out.
    /// Returns how many bytes it wrote.
    pub(crate) fn scatter(&self, memory: &mut GuestMemory<'_>, bytes: &[u8]) -> Result<u32, Error> {
        if self.rest.is_empty()
            && let Ok(length) = u32::try_from(bytes.len())
            && length <= self.total
        {
            // The usual case: one buffer, which has room.
            memory.copy_from_slice(bytes, GuestPtr::new((self.first.0, length)))?;
            return Ok(length);
        }
        let mut left = bytes;
        let mut written = 0;
        for (ptr, len) in self.regions() {
            let fits = usize::try_from(len).map_or(left.len(), |len| len.min(left.len()));
            let (now, later) = left.split_at_checked(fits).unwrap_or((left, &[]));
            write_bytes(memory, GuestPtr::new(ptr), now)?;
            written += u32::try_from(now.len()).unwrap_or(0);
            left = later;
            if left.is_empty() {
                break;
            }
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests;
