//! Every call for files and folders, on the folder at descriptor 3.

use wasix::descriptor::{self, APPEND, DIRECTORY, REGULAR_FILE, SYMBOLIC_LINK};
use wasix::errno::*;
use wasix::file::{self, *};
use wasix::{Fd, address_of_mut, check, check_eq, check_ok, outcome, raw};

const ROOT: Fd = 3;

fn main() {
    preopened();
    reading_and_writing();
    creating();
    names();
    links();
    folders();
    times();
    statistics();
    directories_are_no_files();
    rights_of_files();
}

fn preopened() {
    check_eq!(check_ok!(descriptor::fdstat(ROOT)).filetype, DIRECTORY);
    let mut prestat = [u8::MAX; 8];
    let at = address_of_mut(&mut prestat);
    check_ok!(outcome(unsafe { raw::preview1::fd_prestat_get(ROOT, at) }));
    check_eq!(prestat[0], 0);
    let len = u32::from_le_bytes(prestat[4..].try_into().unwrap());
    let mut name = vec![0; len as usize];
    let at = address_of_mut(name.as_mut_slice());
    check_ok!(outcome(unsafe { raw::preview1::fd_prestat_dir_name(ROOT, at, len) }));
    println!("preopened {}", String::from_utf8(name).unwrap());
    let short = unsafe { raw::preview1::fd_prestat_dir_name(ROOT, at, 0) };
    check_eq!(outcome(short), Err(ENAMETOOLONG));
    // Behind the granted folder is the built-in /dev. Neither a plain stream nor the number
    // behind the last folder is one.
    check_eq!(file::folder("/dev"), Ok(ROOT + 1));
    for fd in [0, 1, ROOT + 2, 900] {
        let at = address_of_mut(&mut prestat);
        check_eq!(outcome(unsafe { raw::preview1::fd_prestat_get(fd, at) }), Err(EBADF), "fd {fd}");
    }
}

fn reading_and_writing() {
    let fd = check_ok!(file::open(ROOT, "data", CREAT | TRUNC, 0));
    check_eq!(descriptor::write(fd, b"0123456789"), Ok(10));
    check_eq!(file::tell(fd), Ok(10));
    let mut buf = [0; 16];
    check_eq!(descriptor::read(fd, &mut buf), Ok(0));

    for (delta, whence, position) in [(0, SET, 0), (4, CUR, 4), (-1, CUR, 3), (-2, END, 8)] {
        check_eq!(file::seek(fd, delta, whence), Ok(position));
        check_eq!(file::tell(fd), Ok(position));
    }
    check_eq!(descriptor::read(fd, &mut buf), Ok(2));
    check_eq!(buf[..2], *b"89");
    check_eq!(file::seek(fd, -1, SET), Err(EINVAL));
    check_eq!(file::seek(fd, -100, CUR), Err(EINVAL));
    check_eq!(file::seek(fd, 0, 9), Err(EINVAL));
    check_eq!(file::seek(fd, 100, SET), Ok(100));

    // At a place, without moving.
    check_eq!(file::pwrite(fd, b"abc", 2), Ok(3));
    check_eq!(file::pread(fd, &mut buf[..6], 1), Ok(6));
    check_eq!(buf[..6], *b"1abc56");
    check_eq!(file::pread(fd, &mut buf, 10), Ok(0));
    check_eq!(file::pread(fd, &mut buf, 1 << 40), Ok(0));
    check_eq!(file::tell(fd), Ok(100));

    check_ok!(file::set_size(fd, 4));
    check_eq!(check_ok!(file::stat(fd)).size, 4);
    check_ok!(file::set_size(fd, 8));
    check_eq!(file::pread(fd, &mut buf, 0), Ok(8));
    check_eq!(buf[..8], *b"01ab\0\0\0\0");

    for advice in 0..6 {
        check_ok!(file::advise(fd, 0, 8, advice));
    }
    check_eq!(file::advise(fd, 0, 8, 6), Err(EINVAL));
    let answer = file::allocate(fd, 0, 4096);
    check!(matches!(answer, Ok(()) | Err(ENOTSUP)), "allocating answered {answer:?}");
    check_ok!(file::sync(fd));
    check_ok!(file::datasync(fd));
    check_ok!(descriptor::close(fd));

    // Appending goes to the end, wherever the position is.
    let fd = check_ok!(file::open(ROOT, "data", TRUNC, APPEND));
    check_eq!(check_ok!(descriptor::fdstat(fd)).flags, APPEND as u16);
    check_eq!(descriptor::write(fd, b"one"), Ok(3));
    check_eq!(file::seek(fd, 0, SET), Ok(0));
    check_eq!(descriptor::write(fd, b"two"), Ok(3));
    check_eq!(file::pread(fd, &mut buf, 0), Ok(6));
    check_eq!(buf[..6], *b"onetwo");
    // The flag can go.
    check_ok!(descriptor::set_flags(fd, 0));
    check_eq!(file::seek(fd, 0, SET), Ok(0));
    check_eq!(descriptor::write(fd, b"ONE"), Ok(3));
    check_eq!(file::pread(fd, &mut buf, 0), Ok(6));
    check_eq!(buf[..6], *b"ONEtwo");

    // A duplicate shares the position.
    let copy = check_ok!(descriptor::dup(fd));
    check_eq!(file::seek(fd, 5, SET), Ok(5));
    check_eq!(file::tell(copy), Ok(5));
    for fd in [fd, copy] {
        check_ok!(descriptor::close(fd));
    }

    // A stream has no position.
    let (listener, _) = check_ok!(wasix::socket::listener());
    check!(file::seek(listener, 0, CUR).is_err(), "a socket with a position");
    check_ok!(descriptor::close(listener));
}

fn creating() {
    check_eq!(file::open(ROOT, "missing", 0, 0), Err(ENOENT));
    let fd = check_ok!(file::open(ROOT, "fresh", CREAT | EXCL, 0));
    check_ok!(descriptor::close(fd));
    check_eq!(file::open(ROOT, "fresh", CREAT | EXCL, 0), Err(EEXIST));
    check_eq!(file::open(ROOT, "fresh/below", 0, 0), Err(ENOTDIR));
    check_eq!(open_with(ROOT, FOLLOW, "fresh", file::DIRECTORY, 0, 0), Err(ENOTDIR));
    // Bits 1 and 6 are the rights to read and to write.
    check_eq!(open_with(ROOT, FOLLOW, ".", file::DIRECTORY, 1 << 1 | 1 << 6, 0), Err(EISDIR));
    check_eq!(file::open(ROOT, "", 0, 0), Err(ENOENT));
    check!(file::open(ROOT, "nul\0inside", CREAT, 0).is_err(), "a name with a NUL");
    check!(file::open(ROOT, &"x".repeat(5000), CREAT, 0).is_err(), "a name of 5000 letters");
    check_eq!(file::open(900, "fresh", 0, 0), Err(EBADF));
    check_eq!(file::open(1, "fresh", 0, 0).is_err(), true);
    check_ok!(file::unlink(ROOT, "fresh"));
    check_eq!(file::unlink(ROOT, "fresh"), Err(ENOENT));
}

fn names() {
    let fd = check_ok!(file::open(ROOT, "old", CREAT, 0));
    check_eq!(descriptor::write(fd, b"content"), Ok(7));
    check_ok!(file::rename(ROOT, "old", "new"));
    check_eq!(path_stat(ROOT, 0, "old").map(drop), Err(ENOENT));
    check_eq!(check_ok!(path_stat(ROOT, 0, "new")).size, 7);
    check_eq!(file::rename(ROOT, "old", "other"), Err(ENOENT));
    // The open descriptor still leads to it.
    check_eq!(check_ok!(file::stat(fd)).ino, check_ok!(path_stat(ROOT, 0, "new")).ino);
    check_ok!(file::unlink(ROOT, "new"));
    check_eq!(file::pread(fd, &mut [0; 7], 0), Ok(7));
    check_ok!(descriptor::close(fd));
}

fn links() {
    let fd = check_ok!(file::open(ROOT, "target", CREAT, 0));
    check_eq!(descriptor::write(fd, b"linked"), Ok(6));
    check_ok!(descriptor::close(fd));

    check_ok!(file::link(ROOT, "target", "hard"));
    let (target, hard) = (check_ok!(path_stat(ROOT, 0, "target")), check_ok!(path_stat(ROOT, 0, "hard")));
    check_eq!(target.ino, hard.ino);
    check_eq!(hard.nlink, 2);
    check_eq!(file::link(ROOT, "target", "hard"), Err(EEXIST));

    check_ok!(file::symlink(ROOT, "target", "soft"));
    check_eq!(check_ok!(path_stat(ROOT, 0, "soft")).filetype, SYMBOLIC_LINK);
    check_eq!(check_ok!(path_stat(ROOT, FOLLOW, "soft")).filetype, REGULAR_FILE);
    let mut buf = [0; 32];
    check_eq!(file::readlink(ROOT, "soft", &mut buf), Ok(6));
    check_eq!(buf[..6], *b"target");
    check_eq!(file::readlink(ROOT, "soft", &mut buf[..3]), Ok(3));
    check_eq!(file::readlink(ROOT, "target", &mut buf), Err(EINVAL));
    let fd = check_ok!(file::open(ROOT, "soft", 0, 0));
    check_ok!(descriptor::close(fd));
    check_eq!(open_with(ROOT, 0, "soft", 0, FILE_RIGHTS, 0), Err(ELOOP));
    check_ok!(file::symlink(ROOT, "round", "round"));
    check_eq!(file::open(ROOT, "round", 0, 0), Err(ELOOP));
    for name in ["soft", "hard", "round", "target"] {
        check_ok!(file::unlink(ROOT, name));
    }
}

fn folders() {
    check_ok!(file::mkdir(ROOT, "folder"));
    check_eq!(file::mkdir(ROOT, "folder"), Err(EEXIST));
    let names: Vec<String> = (0..40).map(|n| format!("entry-{n:03}")).collect();
    let folder = check_ok!(open_folder(ROOT, "folder"));
    for name in &names {
        check_ok!(descriptor::close(check_ok!(file::open(folder, name, CREAT, 0))));
    }
    check_ok!(file::mkdir(folder, "inner"));
    check_eq!(file::rmdir(ROOT, "folder"), Err(ENOTEMPTY));
    let answer = file::unlink(ROOT, "folder");
    check!(matches!(answer, Err(EISDIR | EPERM)), "unlinking a folder answered {answer:?}");
    check_eq!(file::rmdir(folder, "entry-000"), Err(ENOTDIR));
    check_eq!(descriptor::read(folder, &mut [0; 4]).is_err(), true);

    let whole = list(folder, 64 * 1024);
    let mut expected: Vec<&str> = names.iter().map(String::as_str).collect();
    expected.extend([".", "..", "inner"]);
    expected.sort_unstable();
    let mut found: Vec<&str> = whole.iter().map(|entry| entry.name.as_str()).collect();
    found.sort_unstable();
    check_eq!(found, expected);
    for entry in &whole {
        let is_folder = matches!(entry.name.as_str(), "." | ".." | "inner");
        check_eq!(entry.filetype, if is_folder { DIRECTORY } else { REGULAR_FILE }, "{}", entry.name);
    }
    // In small bites the same, and from any place.
    for size in [33, 40, 64, 100, 1000] {
        check_eq!(list(folder, size), whole, "a buffer of {size} bytes");
    }
    let mut buf = vec![0; 64 * 1024];
    let (rest, _) = check_ok!(file::readdir(folder, &mut buf, whole[9].next));
    check_eq!(rest[..], whole[10..]);
    // A buffer too small for a head is filled, and holds nothing whole.
    let (none, used) = check_ok!(file::readdir(folder, &mut [0; 10], 0));
    check_eq!((none.len(), used), (0, 10));
    let last = whole.last().unwrap().next;
    check_eq!(check_ok!(file::readdir(folder, &mut buf, last)).1, 0);

    for name in &names {
        check_ok!(file::unlink(folder, name));
    }
    check_ok!(file::rmdir(folder, "inner"));
    check_ok!(descriptor::close(folder));
    check_ok!(file::rmdir(ROOT, "folder"));
    check_eq!(file::rmdir(ROOT, "folder"), Err(ENOENT));
}

/// All entries, read with a buffer of `size` bytes.
fn list(folder: Fd, size: usize) -> Vec<Entry> {
    let mut buf = vec![0; size];
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let cookie = all.last().map_or(0, |entry| entry.next);
        let (entries, used) = check_ok!(file::readdir(folder, &mut buf, cookie));
        check!(used <= size, "{used} bytes in a buffer of {size}");
        all.extend(entries);
        if used < size {
            return all;
        }
        check!(all.last().is_some_and(|entry| entry.next != cookie), "no entry fits {size} bytes");
    }
}

fn times() {
    let fd = check_ok!(file::open(ROOT, "timed", CREAT, 0));
    check_ok!(file::set_times(fd, 1_000_000_000, 2_000_000_000, SET_ATIM | SET_MTIM));
    let stat = check_ok!(file::stat(fd));
    check_eq!((stat.atim, stat.mtim), (1_000_000_000, 2_000_000_000));
    check_ok!(path_set_times(ROOT, "timed", 0, 3_000_000_000, SET_MTIM));
    let stat = check_ok!(path_stat(ROOT, 0, "timed"));
    check_eq!((stat.atim, stat.mtim), (1_000_000_000, 3_000_000_000));
    check_ok!(file::set_times(fd, 0, 0, SET_MTIM_NOW));
    check!(check_ok!(file::stat(fd)).mtim > 1_600_000_000_000_000_000, "now");
    // Two answers to one question.
    check_eq!(file::set_times(fd, 0, 0, SET_ATIM | SET_ATIM_NOW), Err(EINVAL));
    check_eq!(file::set_times(fd, 0, 0, SET_MTIM | SET_MTIM_NOW), Err(EINVAL));
    check_ok!(descriptor::close(fd));
    check_ok!(file::unlink(ROOT, "timed"));
}

/// A directory is neither read nor written, whatever its rights: `cat .` says so.
fn directories_are_no_files() {
    check_eq!(descriptor::read(ROOT, &mut [0; 1]), Err(EISDIR));
    check_eq!(file::pread(ROOT, &mut [0; 1], 0), Err(EISDIR));
    check_eq!(descriptor::write(ROOT, b"x"), Err(EBADF));
    check_eq!(file::pwrite(ROOT, b"x", 0), Err(EBADF));
    check_eq!(file::seek(ROOT, 0, SET), Err(EISDIR));
}

fn statistics() {
    let stat = check_ok!(file::stat(ROOT));
    check_eq!(stat.filetype, DIRECTORY);
    check_eq!(check_ok!(path_stat(ROOT, 0, ".")).ino, stat.ino);
    check_eq!(path_stat(ROOT, 0, "missing").map(drop), Err(ENOENT));
    check_eq!(file::stat(900).map(drop), Err(EBADF));
    check_ok!(file::stat(1));
}

fn rights_of_files() {
    let fd = check_ok!(open_with(ROOT, FOLLOW, "data", 0, READ_RIGHTS, 0));
    let rights = check_ok!(descriptor::fdstat(fd)).rights_base;
    check_eq!(rights & READ_RIGHTS, READ_RIGHTS);
    check_eq!(rights & descriptor::right::FD_WRITE, 0);
    check_eq!(descriptor::write(fd, b"x"), Err(EBADF));
    check_eq!(file::set_size(fd, 1), Err(EINVAL));
    check_eq!(descriptor::read(fd, &mut [0; 3]), Ok(3));
    check_ok!(descriptor::drop_rights(fd, descriptor::right::FD_SEEK));
    check_eq!(file::seek(fd, 0, SET), Err(ENOTCAPABLE));
    check_ok!(descriptor::close(fd));
    check_ok!(file::unlink(ROOT, "data"));
}
