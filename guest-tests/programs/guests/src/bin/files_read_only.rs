//! A folder that is granted for reading: everything can be looked at, nothing
//! changes. The host has put there: `file` with 7 bytes, and `folder`.

use wasix::descriptor::{self, right};
use wasix::errno::*;
use wasix::file::{self, *};
use wasix::{Errno, Fd, check, check_eq, check_ok};

const ROOT: Fd = 3;

fn main() {
    let fd = check_ok!(open_with(ROOT, FOLLOW, "file", 0, READ_RIGHTS, 0));
    let mut buf = [0; 16];
    check_eq!(descriptor::read(fd, &mut buf), Ok(7));
    check_eq!(check_ok!(file::stat(fd)).size, 7);
    check_eq!(descriptor::write(fd, b"x"), Err(EBADF));
    is_refused("the size", file::set_size(fd, 0));
    is_refused("the times", file::set_times(fd, 0, 0, SET_MTIM));
    check_ok!(descriptor::close(fd));

    // Go asks for all rights but that one to read a file.
    let fd = check_ok!(open_with(ROOT, FOLLOW, "file", 0, FILE_RIGHTS & !right::FD_WRITE, 0));
    check_eq!(descriptor::read(fd, &mut buf), Ok(7));
    is_refused("the size", file::set_size(fd, 0));
    check_ok!(descriptor::close(fd));

    is_refused("opening for writing", file::open(ROOT, "file", 0, 0).map(drop));
    is_refused("truncating", open_with(ROOT, FOLLOW, "file", TRUNC, READ_RIGHTS, 0).map(drop));
    is_refused("creating", open_with(ROOT, FOLLOW, "new", CREAT, READ_RIGHTS, 0).map(drop));
    is_refused("a folder", file::mkdir(ROOT, "new"));
    is_refused("removing a folder", file::rmdir(ROOT, "folder"));
    is_refused("deleting", file::unlink(ROOT, "file"));
    is_refused("renaming", file::rename(ROOT, "file", "other"));
    is_refused("a link", file::link(ROOT, "file", "other"));
    is_refused("a symbolic link", file::symlink(ROOT, "file", "other"));
    is_refused("the times", path_set_times(ROOT, "file", 0, 0, SET_MTIM));

    // A folder below inherits it.
    let folder = check_ok!(open_folder(ROOT, "folder"));
    is_refused("creating below", open_with(folder, FOLLOW, "new", CREAT, READ_RIGHTS, 0).map(drop));
    is_refused("a folder below", file::mkdir(folder, "new"));

    let mut buf = [0; 1024];
    check_eq!(check_ok!(file::readdir(ROOT, &mut buf, 0)).0.len(), 4);
    check!(std::fs::read("file").is_ok(), "reading through the standard library");
}

fn is_refused(what: &str, answer: Result<(), Errno>) {
    let is_refused = matches!(answer, Err(ENOTCAPABLE | EROFS | EPERM | EACCES));
    check!(is_refused, "{what} answered {answer:?}");
}
