//! What an open file does, call by call.

use super::*;
use crate::file::FileType;
use crate::file::scratch::{NOTHING, READ, READ_WRITE, Scratch, TestResult, WRITE, errno, open_file};

const BEYOND: [u64; 3] = [1 << 63, u64::MAX - 1, u64::MAX];

fn slice(text: &str) -> IoSlice<'_> {
    IoSlice::new(text.as_bytes())
}

#[test]
fn reads_and_writes_share_one_position() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("hello world", READ_WRITE)?;
    let mut buf = [0; 5];
    assert_eq!(file.read(&mut buf)?, 5);
    assert_eq!(&buf, b"hello");
    assert_eq!(file.write(&[slice("-"), slice("W")])?, 2);
    assert_eq!(file.tell()?, 7);
    assert_eq!(file.read(&mut buf)?, 4);
    assert_eq!(&buf[..4], b"orld");
    assert_eq!(file.read(&mut buf)?, 0);
    assert_eq!(std::fs::read(scratch.path("file"))?, b"hello-World");
    Ok(())
}

#[test]
fn pread_and_pwrite_leave_the_position() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("0123456789", READ_WRITE)?;
    let mut buf = [0; 3];
    assert_eq!(file.pread(&mut buf, 4)?, 3);
    assert_eq!(&buf, b"456");
    assert_eq!(file.pwrite(&[slice("a"), slice("b")], 8)?, 2);
    assert_eq!(file.pread(&mut buf, 100)?, 0);
    assert_eq!(file.tell()?, 0);
    assert_eq!(std::fs::read(scratch.path("file"))?, b"01234567ab");
    Ok(())
}

#[test]
fn a_file_answers_ebadf_for_access_it_was_not_opened_with() -> TestResult {
    let scratch = Scratch::new()?;
    let buf = &mut [0; 1];
    let file = scratch.file("x", WRITE)?;
    assert_eq!(errno(file.read(buf)), Some(Errno::EBADF));
    assert_eq!(errno(file.pread(buf, 0)), Some(Errno::EBADF));
    let file = scratch.file("x", READ)?;
    assert_eq!(errno(file.write(&[slice("y")])), Some(Errno::EBADF));
    assert_eq!(errno(file.pwrite(&[slice("y")], 0)), Some(Errno::EBADF));
    assert_eq!(errno(file.allocate(0, 1)), Some(Errno::EBADF));
    assert_eq!(errno(file.set_size(0)), Some(Errno::EINVAL));
    let file = scratch.file("x", NOTHING)?;
    assert_eq!(errno(file.read(buf)), Some(Errno::EBADF));
    assert_eq!(errno(file.write(&[slice("y")])), Some(Errno::EBADF));
    assert_eq!(file.stat()?.size, 1);
    Ok(())
}

#[test]
fn seek_counts_from_three_places() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("0123456789", READ)?;
    assert_eq!(file.seek(4, Whence::Set)?, 4);
    assert_eq!(file.seek(-1, Whence::Current)?, 3);
    assert_eq!(file.seek(-1, Whence::End)?, 9);
    assert_eq!(file.seek(5, Whence::End)?, 15);
    assert_eq!(file.tell()?, 15);
    Ok(())
}

#[test]
fn seek_refuses_positions_that_no_file_has() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("0123456789", READ)?;
    file.seek(3, Whence::Set)?;
    for (delta, whence) in [
        (-1, Whence::Set),
        (i64::MIN, Whence::Set),
        (-4, Whence::Current),
        (i64::MIN, Whence::Current),
        (i64::MAX, Whence::Current),
        (-11, Whence::End),
        (i64::MAX, Whence::End),
    ] {
        let got = errno(file.seek(delta, whence));
        assert!(matches!(got, Some(Errno::EINVAL | Errno::EOVERFLOW)), "{delta} {whence:?} {got:?}");
    }
    assert_eq!(file.tell()?, 3);
    Ok(())
}

#[test]
fn offsets_past_the_limit_are_errors() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("x", READ_WRITE)?;
    let buf = &mut [0; 4];
    for offset in BEYOND {
        assert_eq!(errno(file.pread(buf, offset)), Some(Errno::EINVAL));
        assert_eq!(errno(file.pwrite(&[slice("y")], offset)), Some(Errno::EINVAL));
        assert_eq!(errno(file.set_size(offset)), Some(Errno::EINVAL));
        assert_eq!(errno(file.allocate(offset, 1)), Some(Errno::EINVAL));
        assert_eq!(errno(file.allocate(0, offset)), Some(Errno::EINVAL));
        assert_eq!(errno(file.advise(offset, 1, Advice::Normal)), Some(Errno::EINVAL));
        assert_eq!(errno(file.advise(0, offset, Advice::Normal)), Some(Errno::EINVAL));
    }
    let last = (1 << 63) - 1;
    let got = errno(file.pwrite(&[slice("yy")], last));
    assert!(matches!(got, Some(Errno::EFBIG | Errno::EINVAL)), "{got:?}");
    assert_eq!(errno(file.allocate(last, 1)), Some(Errno::EFBIG));
    assert_eq!(errno(file.allocate(last, last)), Some(Errno::EFBIG));
    assert_eq!(errno(file.allocate(0, 0)), Some(Errno::EINVAL));
    assert_eq!(file.stat()?.size, 1);
    Ok(())
}

#[test]
fn set_size_cuts_and_fills() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("0123456789", READ_WRITE)?;
    file.set_size(2)?;
    file.set_size(4)?;
    assert_eq!(std::fs::read(scratch.path("file"))?, b"01\0\0");
    Ok(())
}

#[test]
fn allocate_reaches_to_the_end_and_never_cuts() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("0123456789", READ_WRITE)?;
    match file.allocate(100, 100) {
        Ok(()) => assert_eq!(file.stat()?.size, 200),
        Err(errno) => assert_eq!(errno, Errno::ENOTSUP),
    }
    let before = file.stat()?.size;
    if file.allocate(0, 1).is_ok() {
        assert_eq!(file.stat()?.size, before);
    }
    Ok(())
}

#[test]
fn advice_of_every_kind_is_taken() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("x", READ)?;
    for advice in [
        Advice::Normal,
        Advice::Sequential,
        Advice::Random,
        Advice::WillNeed,
        Advice::DontNeed,
        Advice::NoReuse,
    ] {
        assert_eq!(file.advise(0, 0, advice), Ok(()));
        assert_eq!(file.advise(1, 10, advice), Ok(()));
    }
    Ok(())
}

#[test]
fn append_writes_at_the_end_and_can_be_switched() -> TestResult {
    let scratch = Scratch::new()?;
    let append = OpenOptions { append: true, ..WRITE };
    let file = scratch.file("ab", append)?;
    file.write(&[slice("c")])?;
    // Linux appends here too; see `pwrite`.
    file.pwrite(&[slice("d")], 0)?;
    file.set_flags(FileFlags::default())?;
    file.pwrite(&[slice("A")], 0)?;
    file.set_flags(FileFlags { append: true, ..FileFlags::default() })?;
    file.seek(0, Whence::Set)?;
    file.write(&[slice("e")])?;
    assert_eq!(std::fs::read(scratch.path("file"))?, b"Abcde");
    Ok(())
}

#[test]
fn flags_are_those_last_set() -> TestResult {
    let scratch = Scratch::new()?;
    let opened = OpenOptions { dsync: true, nonblock: true, ..WRITE };
    let file = scratch.file("", opened)?;
    let mut flags = FileFlags { dsync: true, nonblock: true, ..FileFlags::default() };
    assert_eq!(file.flags(), flags);
    assert_eq!(file.write(&[slice("x")])?, 1);
    flags = FileFlags { sync: true, rsync: true, ..FileFlags::default() };
    file.set_flags(flags)?;
    assert_eq!(file.flags(), flags);
    assert_eq!(file.write(&[slice("y")])?, 1);
    assert_eq!(std::fs::read(scratch.path("file"))?, b"xy");
    Ok(())
}

#[test]
fn times_are_set_one_by_one() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("x", READ)?;
    file.set_times(Times { atim: SetTime::At(1_000_000_002), mtim: SetTime::At(3_000_000_004) })?;
    file.set_times(Times { atim: SetTime::Keep, mtim: SetTime::Now })?;
    let stat = file.stat()?;
    assert_eq!(stat.atim, 1_000_000_002);
    assert!(stat.mtim > 1_600_000_000_000_000_000);
    file.set_times(Times { atim: SetTime::Keep, mtim: SetTime::Keep })?;
    assert_eq!(file.stat()?.mtim, stat.mtim);
    Ok(())
}

#[test]
fn a_file_of_a_read_only_directory_cannot_be_changed() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::write(scratch.path("file"), "x")?;
    let file = open_file(&scratch.read_only()?, "file", READ)?;
    let times = Times { atim: SetTime::At(0), mtim: SetTime::Keep };
    assert_eq!(errno(file.set_times(times)), Some(Errno::EROFS));
    assert_eq!(errno(file.set_size(0)), Some(Errno::EROFS));
    assert_eq!(errno(file.allocate(0, 1)), Some(Errno::EROFS));
    assert_eq!(errno(file.write(&[slice("y")])), Some(Errno::EBADF));
    assert_eq!(file.read(&mut [0; 2])?, 1);
    Ok(())
}

#[test]
fn a_fifo_never_waits_and_has_no_position() -> TestResult {
    let scratch = Scratch::new()?;
    scratch.fifo("fifo")?;
    let dir = scratch.dir()?;
    // ENXIO: "no process has the file open for reading" - open(3p)
    assert_eq!(errno(open_file(&dir, "fifo", WRITE)), Some(Errno::ENXIO));
    let reader = open_file(&dir, "fifo", READ)?;
    let writer = open_file(&dir, "fifo", WRITE)?;
    assert_eq!(reader.stat()?.kind, FileType::Unknown);
    let buf = &mut [0; 4];
    assert_eq!(errno(reader.read(buf)), Some(Errno::EAGAIN));
    assert_eq!(writer.write(&[slice("hi")])?, 2);
    assert_eq!(reader.read(buf)?, 2);
    assert_eq!(errno(reader.pread(buf, 0)), Some(Errno::ESPIPE));
    assert_eq!(errno(writer.pwrite(&[slice("x")], 0)), Some(Errno::ESPIPE));
    assert_eq!(errno(reader.tell()), Some(Errno::ESPIPE));
    assert_eq!(errno(reader.seek(0, Whence::Set)), Some(Errno::ESPIPE));
    assert_eq!(errno(reader.advise(0, 0, Advice::Normal)), Some(Errno::ESPIPE));
    assert_eq!(errno(writer.allocate(0, 1)), Some(Errno::ESPIPE));
    assert_eq!(errno(reader.sync()), Some(Errno::EINVAL));
    drop(reader);
    assert_eq!(errno(writer.write(&[slice("x")])), Some(Errno::EPIPE));
    Ok(())
}

#[test]
fn one_file_serves_many_threads() -> TestResult {
    let scratch = Scratch::new()?;
    let append = OpenOptions { append: true, ..WRITE };
    let file = scratch.file("", append)?;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| assert_eq!(file.write(&[slice("ab")]), Ok(2))));
        }
    });
    let content = std::fs::read_to_string(scratch.path("file"))?;
    assert_eq!(content, "ab".repeat(400));
    Ok(())
}

#[test]
fn sync_and_datasync_work_without_write_access() -> TestResult {
    let scratch = Scratch::new()?;
    let file = scratch.file("x", READ)?;
    assert_eq!((file.sync(), file.datasync()), (Ok(()), Ok(())));
    Ok(())
}

#[test]
fn only_a_regular_file_has_a_length() -> TestResult {
    let scratch = Scratch::new()?;
    assert_eq!(scratch.file("hello", READ)?.length(), Some(5));
    assert_eq!(scratch.file("", WRITE)?.length(), Some(0));
    scratch.fifo("fifo")?;
    assert_eq!(open_file(&scratch.dir()?, "fifo", READ)?.length(), None);
    Ok(())
}
