//! `path_open`: the rights that it names decide whether a file is read and written, and
//! nothing else. What was taken from the folder is gone. Needs a folder.

use wasix::descriptor::{close, fdstat, read, right, set_rights, write};
use wasix::errno::*;
use wasix::file::{self, CREAT, DIRECTORY, FOLLOW, TRUNC, open_with};
use wasix::{Fd, check_eq, check_ok};

const ALL: u64 = 0x3fff_ffff;

fn main() {
    let root = check_ok!(file::folder("/"));
    no_rights(root);
    one_direction(root);
    taken_away(root);
}

/// Rights 0: everything but writing; and writing too where the call creates the file.
fn no_rights(root: Fd) {
    let folder = check_ok!(open_with(root, FOLLOW, ".", DIRECTORY, 0, 0));
    let fresh = check_ok!(open_with(folder, FOLLOW, "file", CREAT, 0, 0));
    check_eq!(write(fresh, b"content"), Ok(7));
    check_eq!(file::seek(fresh, 0, file::SET), Ok(0));
    check_eq!(read(fresh, &mut [0; 16]), Ok(7));
    check_ok!(close(fresh));

    let found = check_ok!(open_with(folder, FOLLOW, "file", 0, 0, 0));
    check_eq!(read(found, &mut [0; 4]), Ok(4));
    check_eq!(file::seek(found, -2, file::END), Ok(5));
    check_eq!(check_ok!(file::stat(found)).size, 7);
    check_eq!(write(found, b"x"), Err(EBADF));
    let rights = check_ok!(fdstat(found)).rights_base;
    check_eq!(rights & (right::FD_READ | right::FD_WRITE), right::FD_READ);
    check_ok!(close(found));

    let cut = check_ok!(open_with(folder, FOLLOW, "file", TRUNC, 0, 0));
    check_eq!(write(cut, b"new"), Ok(3));
    check_ok!(close(cut));
    check_ok!(file::mkdir(folder, "below"));
    let (entries, _) = check_ok!(file::readdir(folder, &mut [0; 1024], 0));
    check_eq!(entries.len(), 4);
    check_ok!(file::rmdir(folder, "below"));
    check_ok!(close(folder));
}

/// Each direction alone: the other one is `EBADF`, as in POSIX, and the rights tell.
fn one_direction(root: Fd) {
    let reader = check_ok!(open_with(root, FOLLOW, "file", 0, right::FD_READ, 0));
    check_eq!(write(reader, b"x"), Err(EBADF));
    check_eq!(file::pwrite(reader, b"x", 0), Err(EBADF));
    check_eq!(read(reader, &mut [0; 4]), Ok(3));
    check_eq!(file::seek(reader, 0, file::SET), Ok(0));
    check_eq!(check_ok!(fdstat(reader)).rights_base & right::FD_WRITE, 0);
    let writer = check_ok!(open_with(root, FOLLOW, "file", 0, right::FD_WRITE, 0));
    check_eq!(read(writer, &mut [0; 4]), Err(EBADF));
    check_eq!(file::pread(writer, &mut [0; 4], 0), Err(EBADF));
    check_eq!(write(writer, b"old"), Ok(3));
    check_eq!(file::tell(writer), Ok(3));
    check_eq!(check_ok!(fdstat(writer)).rights_base & right::FD_READ, 0);
    // A program that names one direction gets no other by creating.
    let created = check_ok!(open_with(root, FOLLOW, "created", CREAT, right::FD_READ, 0));
    check_eq!(write(created, b"x"), Err(EBADF));
    let both = check_ok!(open_with(root, FOLLOW, "file", 0, ALL, 0));
    check_eq!(read(both, &mut [0; 4]), Ok(3));
    check_eq!(write(both, b"er"), Ok(2));
    for fd in [reader, writer, created, both] {
        check_ok!(close(fd));
    }
}

fn taken_away(root: Fd) {
    let folder = check_ok!(open_with(root, FOLLOW, ".", DIRECTORY, ALL & !right::FD_WRITE, 0));
    let stat = check_ok!(fdstat(folder));
    check_ok!(set_rights(
        folder,
        stat.rights_base,
        stat.rights_inheriting & !(right::FD_WRITE | right::FD_SEEK)
    ));
    for (rights, oflags) in [(ALL, 0), (0, CREAT), (right::FD_WRITE, TRUNC)] {
        let fd = check_ok!(open_with(folder, FOLLOW, "file", oflags, rights, 0));
        check_eq!(check_ok!(fdstat(fd)).rights_base & (right::FD_WRITE | right::FD_SEEK), 0);
        check_eq!(write(fd, b"x"), Err(EBADF), "rights {rights:#x}");
        check_eq!(file::seek(fd, 0, file::SET), Err(ENOTCAPABLE));
        check_ok!(close(fd));
    }
    // A folder below hands on no more.
    let below = check_ok!(open_with(folder, FOLLOW, ".", DIRECTORY, 0, 0));
    let fd = check_ok!(open_with(below, FOLLOW, "file", 0, 0, 0));
    check_eq!(file::seek(fd, 0, file::SET), Err(ENOTCAPABLE));
    check_ok!(set_rights(fd, 0, 0));
    check_eq!(read(fd, &mut [0; 1]), Err(ENOTCAPABLE));
}
