//! The control data of a message: records, of which there is one kind, descriptors.

use wiggle::{GuestMemory, GuestPtr};

use crate::abi::memory::{read_bytes, write_bytes};
use crate::error::{Errno, Error};
use crate::process::Installed;

/// A record's length, level and type.
const HEADER: usize = 8;

/// The same in the C library, which copies each record to where the program looks at it.
const C_HEADER: usize = 12;

/// Records, and what they hold, begin at a multiple of this.
const ALIGN: usize = 4;

/// The level and the type of descriptors.
const RIGHTS: (u16, u16) = (0, 0);

/// A descriptor's size.
const FD: usize = 4;

/// "The maximum number of file descriptors that can be passed" - unix(7), `SCM_MAX_FD`.
const MOST_FDS: usize = 253;

/// The most control data that is read: what the kernel takes by default,
/// `/proc/sys/net/core/optmem_max`.
const MOST_BYTES: u32 = 128 * 1024;

/// The place of control data; none where its pointer is 0.
fn place(control: GuestPtr<[u8]>) -> Option<(u32, u32)> {
    Some(control.offset()).filter(|(start, length)| *start != 0 && *length != 0)
}

/// The descriptors in the control data of a message that is to be sent.
///
/// # Errors
///
/// `EINVAL` for a record that is shorter than its header or longer than the data, and for more than 253
/// descriptors; `ENOTSUP` for any other record; `ENOBUFS` for more data than a message may have; a trap
/// outside of the memory.
pub(super) fn read(memory: &GuestMemory<'_>, control: GuestPtr<[u8]>) -> Result<Vec<u32>, Error> {
    if place(control).is_none() {
        return Ok(Vec::new());
    }
    // "ENOBUFS: ... the ancillary data" - Linux's sendmsg, beyond optmem_max
    let bytes = read_bytes(memory, control, MOST_BYTES, Errno::ENOBUFS)?;
    Ok(descriptors(&bytes)?)
}

fn descriptors(mut bytes: &[u8]) -> Result<Vec<u32>, Errno> {
    let mut fds = Vec::new();
    // Less than a header is no record: as `CMSG_NXTHDR` has it.
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
        let [l0, l1, l2, l3, v0, v1, t0, t1] = *header;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).map_err(|_| Errno::EINVAL)?;
        // "EINVAL": what Linux says of a record that is not whole.
        let payload = length.checked_sub(HEADER).ok_or(Errno::EINVAL)?;
        let payload = rest.get(..payload).ok_or(Errno::EINVAL)?;
        if (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([t0, t1])) != RIGHTS {
            return Err(Errno::ENOTSUP);
        }
        fds.extend(payload.as_chunks::<FD>().0.iter().map(|fd| u32::from_le_bytes(*fd)));
        if fds.len() > MOST_FDS {
            return Err(Errno::EINVAL);
        }
        bytes = rest.get(payload.len().next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    Ok(fds)
}

/// How many descriptors there is room for in so many bytes of control data.
///
/// The C library takes a buffer of its own, as large as the program's, and copies what it finds there
/// into the program's, where headers are larger. A descriptor that does not fit there would be open and
/// known to nobody. A program that calls without the library finds room for one in 12 bytes.
pub(super) fn room(length: u32) -> usize {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let in_c = length.saturating_sub(C_HEADER) / FD;
    in_c.max(usize::from(length >= HEADER + FD)).min(MOST_FDS)
}

/// How many bytes there are for control data.
pub(super) fn capacity(control: GuestPtr<[u8]>) -> u32 {
    place(control).map_or(0, |(_, length)| length)
}

/// Writes what came with a message. Returns the length: more than there is room for, where something
/// is missing, which the C library turns into `MSG_CTRUNC`.
///
/// # Errors
///
/// A trap outside of the memory.
pub(super) fn write(
    memory: &mut GuestMemory<'_>,
    control: GuestPtr<[u8]>,
    installed: &Installed,
) -> Result<u32, Error> {
    let (bytes, length) = record(installed, capacity(control));
    if let Some((start, _)) = place(control) {
        write_bytes(memory, GuestPtr::new(start), &bytes)?;
    }
    Ok(length)
}

/// The bytes for `capacity` bytes of control data, and the length that is told.
fn record(installed: &Installed, capacity: u32) -> (Vec<u8>, u32) {
    let length_of = |fds: usize| u32::try_from(HEADER + fds * FD).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    if !installed.fds.is_empty() {
        bytes.extend_from_slice(&length_of(installed.fds.len()).to_le_bytes());
        bytes.extend_from_slice(&RIGHTS.0.to_le_bytes());
        bytes.extend_from_slice(&RIGHTS.1.to_le_bytes());
        bytes.extend(installed.fds.iter().flat_map(|fd| fd.to_le_bytes()));
    }
    let written = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if !installed.is_cut {
        return (bytes, written);
    }
    // Who reads as far as there is room finds no record behind the last one.
    let left = usize::try_from(capacity.saturating_sub(written)).unwrap_or(usize::MAX);
    bytes.resize(bytes.len() + left.min(HEADER), 0);
    (bytes, length_of(installed.of).max(capacity.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(length: u32, level: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
        [&length.to_le_bytes()[..], &level.to_le_bytes(), &kind.to_le_bytes(), payload].concat()
    }

    fn rights(fds: &[u32]) -> Vec<u8> {
        let payload: Vec<u8> = fds.iter().flat_map(|fd| fd.to_le_bytes()).collect();
        of(u32::try_from(HEADER + payload.len()).unwrap_or(0), 0, 0, &payload)
    }

    #[test]
    fn descriptors_are_read_from_all_records() {
        assert_eq!(descriptors(&[]), Ok(vec![]));
        assert_eq!(descriptors(&rights(&[])), Ok(vec![]));
        let two = [rights(&[3, 4]), rights(&[5])].concat();
        assert_eq!(descriptors(&two), Ok(vec![3, 4, 5]));
        // Less than a header follows.
        assert_eq!(descriptors(&[two, vec![9; HEADER - 1]].concat()), Ok(vec![3, 4, 5]));
    }

    #[test]
    fn a_part_of_a_descriptor_is_none() {
        let odd = of(8 + 6, 0, 0, &[3, 0, 0, 0, 7, 7]);
        assert_eq!(descriptors(&odd), Ok(vec![3]));
        // The next record begins at a multiple of 4.
        assert_eq!(descriptors(&[odd, vec![0; 2], rights(&[5])].concat()), Ok(vec![3, 5]));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for length in [0, 1, 7, 13, u32::MAX] {
            assert_eq!(descriptors(&of(length, 0, 0, &[3, 0, 0, 0])), Err(Errno::EINVAL), "{length}");
        }
        assert_eq!(descriptors(&of(12, 1, 0, &[3, 0, 0, 0])), Err(Errno::ENOTSUP));
        assert_eq!(descriptors(&of(12, 0, 1, &[3, 0, 0, 0])), Err(Errno::ENOTSUP));
        assert_eq!(descriptors(&rights(&[3; MOST_FDS])).map(|fds| fds.len()), Ok(MOST_FDS));
        assert_eq!(descriptors(&rights(&[3; MOST_FDS + 1])), Err(Errno::EINVAL));
        let many = [rights(&[3; 200]), rights(&[3; 54])].concat();
        assert_eq!(descriptors(&many), Err(Errno::EINVAL));
    }

    #[test]
    fn there_is_room_for_what_the_c_library_copies() {
        let rooms = [(0, 0), (11, 0), (12, 1), (16, 1), (19, 1), (20, 2), (24, 3)];
        for (length, fds) in rooms {
            assert_eq!(room(length), fds, "{length}");
        }
        assert_eq!(room(u32::MAX), MOST_FDS);
    }

    #[test]
    fn what_was_installed_is_written_and_read_again() {
        let installed = Installed { fds: vec![7, 9], of: 2, is_cut: false };
        let (bytes, length) = record(&installed, 64);
        assert_eq!((descriptors(&bytes), length), (Ok(vec![7, 9]), 16));
        assert_eq!(record(&Installed::default(), 64), (vec![], 0));
    }

    #[test]
    fn what_is_missing_shows_in_the_length_and_no_record_follows() {
        let installed = Installed { fds: vec![7], of: 3, is_cut: true };
        let (bytes, length) = record(&installed, 16);
        assert_eq!((bytes, length), ([rights(&[7]), vec![0; 4]].concat(), 20));
        let (bytes, length) = record(&installed, 100);
        assert_eq!((bytes, length), ([rights(&[7]), vec![0; 8]].concat(), 101));
        let outside = Installed { is_cut: true, ..Installed::default() };
        assert_eq!(record(&outside, 24), (vec![0; 8], 25));
        assert_eq!(record(&outside, 0), (vec![], 8));
    }
}
