//! Arbitrary pointers, lengths and counts.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::cell::UnsafeCell;

use super::*;

/// Runs `test` on 64 KiB, aligned as a guest's memory is.
fn with_memory<R>(test: impl FnOnce(&mut GuestMemory<'_>) -> R) -> R {
    let mut bytes = vec![0; 65536 + 8];
    let skip = bytes.as_ptr().align_offset(8);
    test(&mut GuestMemory::Unshared(&mut bytes[skip..skip + 65536]))
}

fn trapped<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Trap(_)))
}

fn set_iovs(memory: &mut GuestMemory<'_>, at: u32, iovs: &[Region]) -> Result<GuestPtr<[u64]>, Error> {
    for (index, (ptr, len)) in (0..).zip(iovs) {
        memory.write(GuestPtr::<u32>::new(at + index * 8), *ptr)?;
        memory.write(GuestPtr::<u32>::new(at + index * 8 + 4), *len)?;
    }
    Ok(GuestPtr::new((at, u32::try_from(iovs.len()).unwrap_or(u32::MAX))))
}

#[test]
fn ranges_end_with_the_memory() {
    with_memory(|memory| {
        assert_eq!(check_out(memory, 65536 - 20, 20), Ok(()));
        assert_eq!(check_out(memory, 65536, 0), Ok(()));
        assert!(trapped(check_out(memory, 65536 - 20, 21)));
        assert!(trapped(check_out(memory, u32::MAX, 1)));
        assert!(trapped(check_out(memory, u32::MAX, u32::MAX)));
        assert!(trapped(check_out(memory, 1, u32::MAX)));
    });
}

#[test]
fn values_want_their_alignment() {
    with_memory(|memory| {
        assert_eq!(check_out_value(memory, GuestPtr::<u32>::new(8)), Ok(()));
        assert!(trapped(check_out_value(memory, GuestPtr::<u32>::new(9))));
        assert!(trapped(check_out_value(memory, GuestPtr::<u64>::new(12))));
        assert!(trapped(check_out_value(memory, GuestPtr::<u32>::new(u32::MAX - 3))));
    });
}

#[test]
fn numbers_are_written_as_wiggle_does() {
    with_memory(|memory| {
        assert_eq!(write_count(memory, GuestPtr::new(65532), 0x0102_0304), Ok(()));
        assert_eq!(memory.read(GuestPtr::<u32>::new(65532)), Ok(0x0102_0304));
        assert_eq!(write_flags(memory, GuestPtr::new(2), 0x0506), Ok(()));
        assert_eq!(memory.read(GuestPtr::<u16>::new(2)), Ok(0x0506));
        for outside in [1, 2, 65534, 65536, u32::MAX - 3, u32::MAX] {
            assert!(trapped(write_count(memory, GuestPtr::new(outside), 1)), "{outside:#x}");
        }
        for outside in [1, 65535, 65536, u32::MAX] {
            assert!(trapped(write_flags(memory, GuestPtr::new(outside), 1)), "{outside:#x}");
        }
    });
}

/// As `with_memory`, of a memory that other threads may have.
fn with_shared_memory<R>(test: impl FnOnce(&mut GuestMemory<'_>) -> R) -> R {
    let bytes: Vec<_> = std::iter::repeat_with(|| UnsafeCell::new(0)).take(65536 + 8).collect();
    let skip = bytes.as_ptr().align_offset(8);
    test(&mut GuestMemory::Shared(&bytes[skip..skip + 65536]))
}

#[test]
fn an_iovec_is_read_wherever_it_is() {
    let test = |memory: &mut GuestMemory<'_>| {
        for at in [0, 4, 8, 65536 - 12, 65536 - 8] {
            assert_eq!(write_bytes(memory, GuestPtr::new(at), &[1, 2, 3, 4, 5, 6, 7, 8]), Ok(()));
            assert_eq!(read_buffer(memory, at), Ok((0x0403_0201, 0x0807_0605)), "{at:#x}");
        }
        for outside in [2, 65536 - 4, 65536, u32::MAX - 7, u32::MAX - 3] {
            assert!(read_buffer(memory, outside).is_err(), "{outside:#x}");
        }
    };
    with_memory(test);
    with_shared_memory(test);
}

#[test]
fn bytes_are_capped_after_the_bounds() {
    with_memory(|memory| {
        let read = |ptr, len| read_bytes(memory, GuestPtr::new((ptr, len)), 4096, Errno::ENAMETOOLONG);
        assert_eq!(read(0, 3), Ok(vec![0; 3]));
        assert_eq!(read(0, 4097), Err(Errno::ENAMETOOLONG.into()));
        assert!(trapped(read(0, u32::MAX)));
        assert!(trapped(read(u32::MAX, 1)));
    });
}

#[test]
fn iovs_are_counted_before_they_are_read() {
    with_memory(|memory| {
        let read = |at, count| Buffers::read(memory, GuestPtr::<[u64]>::new((at, count)));
        for count in [1025, 1_000_000, u32::MAX] {
            assert_eq!(read(0, count), Err(Errno::EINVAL.into()));
        }
        assert_eq!(read(0, 0).map(|b| b.total()), Ok(0));
        assert_eq!(read(0, 1024).map(|b| b.total()), Ok(0));
        assert!(trapped(read(u32::MAX - 7, 2)));
        assert!(trapped(read(65536 - 8, 2)));
        assert!(trapped(read(2, 1)), "misaligned");
    });
}

#[test]
fn iovs_outside_the_memory_trap() -> Result<(), Error> {
    with_memory(|memory| {
        for arbitrary in [(u32::MAX, 1), (0, u32::MAX), (65536, 1), (60000, 10000)] {
            let iovs = set_iovs(memory, 64, &[(0, 8), arbitrary])?;
            assert!(trapped(Buffers::read(memory, iovs)), "{arbitrary:?}");
        }
        Ok(())
    })
}

#[test]
fn iovs_hold_at_most_what_a_guest_can_count() -> Result<(), Error> {
    // 1024 buffers of 64 KiB are 64 MiB: a memory of one page cannot overflow.
    with_memory(|memory| {
        let iovs = set_iovs(memory, 0, &[(0, 65536); 1024])?;
        assert_eq!(Buffers::read(memory, iovs)?.total(), 64 << 20);
        Ok::<_, Error>(())
    })?;
    let mut large = vec![0_u8; 4 << 20];
    let skip = large.as_ptr().align_offset(8);
    let mut memory = GuestMemory::Unshared(&mut large[skip..]);
    let iovs = set_iovs(&mut memory, 0, &[(0, 3 << 20); 1024])?;
    assert_eq!(Buffers::read(&memory, iovs), Err(Errno::EINVAL.into()));
    Ok(())
}

#[test]
fn gathers_and_scatters_across_buffers() -> Result<(), Error> {
    with_memory(|memory| {
        let iovs = set_iovs(memory, 0, &[(100, 3), (0, 0), (200, 2), (300, 4)])?;
        let buffers = Buffers::read(memory, iovs)?;
        assert_eq!(buffers.total(), 9);
        assert!(buffers.single_mut(memory)?.is_none());
        assert_eq!(buffers.scatter(memory, b"abcdefg")?, 7);
        assert_eq!(memory.to_vec(GuestPtr::<[u8]>::new((300, 4)))?, b"fg\0\0");
        assert_eq!(&*buffers.gather(memory, 6)?, b"abcdef");
        assert_eq!(&*buffers.gather(memory, u32::MAX)?, b"abcdefg\0\0");
        assert_eq!(buffers.scatter(memory, b"0123456789")?, 9);
        assert_eq!(buffers.slices(memory)?.map_or(0, |slices| slices.len()), 3);
        Ok(())
    })
}

#[test]
fn fills_a_single_buffer_in_place() -> Result<(), Error> {
    with_memory(|memory| {
        let iovs = set_iovs(memory, 0, &[(0, 0), (100, 5)])?;
        let buffers = Buffers::read(memory, iovs)?;
        let Some(slice) = buffers.single_mut(memory)? else { panic!("not in place") };
        slice.copy_from_slice(b"hello");
        assert_eq!(&*buffers.gather(memory, 4)?, b"hell");
        Ok(())
    })
}

#[test]
fn errors_of_a_value_are_numbers_and_of_a_pointer_traps() {
    let number = |error| match Error::from(error) {
        Error::Errno(errno) => Some(errno),
        Error::Trap(_) | Error::Wait | Error::LookUp(_) | Error::Ended(_) | Error::Replaced => None,
    };
    let inside = |err| GuestError::InFunc { modulename: "", funcname: "", location: "", err: Box::new(err) };
    assert_eq!(number(GuestError::InvalidEnumValue("x")), Some(Errno::EINVAL));
    assert_eq!(number(inside(GuestError::InvalidFlagValue("x"))), Some(Errno::EINVAL));
    assert_eq!(number(inside(GuestError::PtrOverflow)), None);
    assert_eq!(number(GuestError::SliceLengthsDiffer), None);
}
