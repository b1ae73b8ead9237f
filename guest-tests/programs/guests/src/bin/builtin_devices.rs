//! `builtin_devices CASE`: the `/dev` of a program that was granted none. With `granted` the
//! folder of the name `/dev` is the operator's; with `root` a root is granted that has no `dev`.

use std::fs;
use wasix::descriptor::*;
use wasix::errno::*;
use wasix::file::{self, CREAT, DIRECTORY, EXCL, FOLLOW, TRUNC, open_with, path_stat};
use wasix::poll::{Subscription, poll};
use wasix::{Fd, check, check_eq, check_ok, wait};

const CHARACTER_DEVICE: u8 = 2;
const FOLDER: u8 = 3;
const READ: u64 = right::FD_READ;
const WRITE: u64 = right::FD_WRITE;
const BOTH: u64 = READ | WRITE;

fn main() {
    let dev = check_ok!(file::folder("/dev"));
    match std::env::args().nth(1).as_deref() {
        Some("granted") => {
            check_eq!(check_ok!(fs::read("/dev/null")), b"of the operator");
            check_eq!(fs::read("/dev/zero").is_err(), true);
            return;
        }
        Some("root") => check_eq!(check_ok!(fs::read("/file")), b"content"),
        _ => {}
    }
    contents(dev);
    errors(dev);
    directory(dev);
    streams(dev);
    through_the_library();
}

fn open(dev: Fd, name: &str, rights: u64) -> Fd {
    check_ok!(open_with(dev, FOLLOW, name, 0, rights, 0))
}

fn contents(dev: Fd) {
    let null = open(dev, "null", BOTH);
    check_eq!(read(null, &mut [1; 8]), Ok(0));
    check_eq!(write(null, b"gone"), Ok(4));
    let zero = open(dev, "zero", BOTH);
    let mut large = vec![1; 200_000];
    check_eq!(read(zero, &mut large), Ok(200_000));
    check!(large.iter().all(|byte| *byte == 0), "zeros");
    check_eq!(write(zero, b"gone"), Ok(4));
    let full = open(dev, "full", BOTH);
    check_eq!(read(full, &mut [1; 8]), Ok(8));
    check_eq!(write(full, b"x"), Err(ENOSPC));
    for random in ["random", "urandom"] {
        let random = open(dev, random, BOTH);
        check_eq!(read(random, &mut large), Ok(200_000));
        for at in [0, 65_536, 199_968] {
            check!(large[at..at + 32].iter().any(|byte| *byte != 0), "random bytes at {at}");
        }
        check_eq!(write(random, b"seed"), Ok(4));
        check_eq!(file::pread(random, &mut [0; 8], 5), Ok(8));
    }
    // A position that does not matter.
    check_eq!(file::seek(null, 100, file::SET), Ok(0));
    check_eq!(file::tell(zero), Ok(0));
    check_eq!(file::pread(zero, &mut [1; 8], 1 << 40), Ok(8));
    check_eq!(file::pwrite(null, b"gone", 7), Ok(4));
    check_eq!(file::sync(null), Err(EINVAL));
    check_eq!(file::set_size(null, 5), Err(EINVAL));
    // Always ready, and so nothing for an epoll.
    let ready = check_ok!(poll(&[Subscription::read(zero, 1), Subscription::write(null, 2)]));
    check_eq!(ready.len(), 2);
    check_eq!(wait::add(check_ok!(wait::epoll()), null, wait::IN), Err(EPERM));

    let stat = check_ok!(fdstat(null));
    check_eq!(stat.filetype, CHARACTER_DEVICE);
    check_eq!(stat.rights_base & BOTH, BOTH);
    // What has a position is no terminal, in a C library's eyes.
    check!(stat.rights_base & right::FD_SEEK != 0, "no terminal");
    check_eq!(check_ok!(file::stat(null)).filetype, CHARACTER_DEVICE);
    let reading = open(dev, "null", READ);
    check_eq!(write(reading, b"x"), Err(EBADF));
    let writing = open(dev, "null", WRITE);
    check_eq!(read(writing, &mut [0; 1]), Err(EBADF));
    check_ok!(drop_rights(writing, WRITE));
    check_eq!(write(writing, b"x"), Err(ENOTCAPABLE));
}

fn errors(dev: Fd) {
    let open = |name: &str, oflags, rights| open_with(dev, FOLLOW, name, oflags, rights, 0).map(drop);
    check_eq!(open("null", CREAT | TRUNC, WRITE), Ok(()));
    check_eq!(open("null", CREAT | EXCL, WRITE), Err(EEXIST));
    check_eq!(open("null", DIRECTORY, READ), Err(ENOTDIR));
    check_eq!(open("null/", 0, READ), Err(ENOTDIR));
    check_eq!(open("null/x", 0, READ), Err(ENOTDIR));
    check_eq!(open("sda", 0, READ), Err(ENOENT));
    check_eq!(open("new", CREAT, WRITE), Err(EROFS));
    check_eq!(open("", 0, READ), Err(ENOENT));
    check_eq!(open("../etc/passwd", 0, READ), Err(EPERM));
    check_eq!(open(".", DIRECTORY, READ), Ok(()));
    check_eq!(open(".", 0, WRITE), Err(EISDIR));
    // No terminal is there.
    check_eq!(open("tty", 0, BOTH), Err(ENXIO));
    check_eq!(file::mkdir(dev, "new"), Err(EROFS));
    check_eq!(file::unlink(dev, "null"), Err(EROFS));
    check_eq!(file::rename(dev, "null", "other"), Err(EROFS));
    check_eq!(file::symlink(dev, "null", "other"), Err(EROFS));
    check_eq!(file::readlink(dev, "null", &mut [0; 8]), Err(EINVAL));
    check_eq!(file::readlink(dev, "sda", &mut [0; 8]), Err(ENOENT));
}

fn directory(dev: Fd) {
    let (entries, _) = check_ok!(file::readdir(dev, &mut [0; 4096], 0));
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    check_eq!(
        names,
        [".", "..", "full", "null", "random", "stderr", "stdin", "stdout", "tty", "urandom", "zero"]
    );
    for entry in &entries[2..] {
        let stat = check_ok!(path_stat(dev, FOLLOW, &entry.name));
        check_eq!((stat.filetype, entry.filetype), (CHARACTER_DEVICE, CHARACTER_DEVICE), "{}", entry.name);
    }
    check_eq!(check_ok!(path_stat(dev, FOLLOW, ".")).filetype, FOLDER);
    check_eq!(check_ok!(file::stat(dev)).filetype, FOLDER);
    check_eq!(path_stat(dev, FOLLOW, "sda").map(drop), Err(ENOENT));
    check_eq!(file::chdir("/dev"), Ok(()));
    check_eq!(file::chdir("/dev/null"), Err(ENOTDIR));
    check_eq!(file::chdir("/dev/sda"), Err(ENOENT));
    check_eq!(file::chdir("/"), Ok(()));
    check_eq!(read(dev, &mut [0; 1]), Err(EISDIR));
}

/// A standard stream under another number.
fn streams(dev: Fd) {
    let stdout = open(dev, "stdout", WRITE);
    check_eq!(write(stdout, b"by its device\n"), Ok(14));
    check_ok!(close(stdout));
    check_ok!(write(1, b"by its number\n"));
    let stdin = open(dev, "stdin", READ);
    check_eq!(read(stdin, &mut [0; 8]), Ok(0), "its end");
    check_ok!(close(0));
    check_eq!(open_with(dev, FOLLOW, "stdin", 0, READ, 0), Err(ENOENT));
}

fn through_the_library() {
    check_eq!(check_ok!(fs::read("/dev/null")), b"");
    check_ok!(fs::write("/dev/null", b"gone"));
    check!(fs::metadata("/dev/urandom").is_ok(), "its metadata");
    let names = check_ok!(fs::read_dir("/dev")).count();
    check_eq!(names, 9);
}
