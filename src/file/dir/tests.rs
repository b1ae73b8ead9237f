//! What a directory does, call by call, and what it refuses.

use super::*;
use crate::file::scratch::{NOTHING, READ, READ_WRITE, Scratch, TestResult, WRITE, errno, open_file};
use crate::file::{FileType, SetTime};
use std::os::unix::fs::symlink;

/// Names that any caller may move.
trait Moves {
    fn link(&self, old_follow: bool, old: &str, new_dir: &Dir, new: &str) -> Result<(), Errno>;
    fn rename(&self, old: &str, new_dir: &Dir, new: &str) -> Result<(), Errno>;
}

impl Moves for Dir {
    fn link(&self, old_follow: bool, old: &str, new_dir: &Dir, new: &str) -> Result<(), Errno> {
        self.link_if(&|_| Ok(()), old_follow, old, new_dir, new)
    }

    fn rename(&self, old: &str, new_dir: &Dir, new: &str) -> Result<(), Errno> {
        self.rename_if(&|_| Ok(()), old, new_dir, new)
    }
}

const KEEP: Times = Times { atim: SetTime::Keep, mtim: SetTime::Keep };
const AT_ONE: Times = Times { atim: SetTime::Keep, mtim: SetTime::At(1) };
const CREATE: OpenOptions = OpenOptions { create: true, ..WRITE };
const FOLLOW: OpenOptions = OpenOptions { follow_symlinks: true, ..READ };
const DIRECTORY: OpenOptions = OpenOptions { directory: true, ..READ };

fn open_dir(dir: &Dir, path: &str, options: OpenOptions) -> Result<Dir, Errno> {
    match dir.open(path, &options)? {
        Opened::Dir(dir) => Ok(dir),
        Opened::File(_) => Err(Errno::ENOTDIR),
    }
}

/// Every call of a directory that takes a path, made with this one.
fn every_call(dir: &Dir, path: &str) -> Vec<(&'static str, Option<Errno>)> {
    vec![
        ("open", errno(dir.open(path, &FOLLOW))),
        ("open to write", errno(dir.open(path, &WRITE))),
        ("open to create", errno(dir.open(path, &CREATE))),
        ("open a directory", errno(dir.open(path, &DIRECTORY))),
        ("create_dir", errno(dir.create_dir(path))),
        ("stat", errno(dir.stat(path, true))),
        ("lstat", errno(dir.stat(path, false))),
        ("set_times", errno(dir.set_times(path, true, AT_ONE))),
        ("lset_times", errno(dir.set_times(path, false, AT_ONE))),
        ("link from", errno(dir.link(false, path, dir, "new"))),
        ("link from, following", errno(dir.link(true, path, dir, "new"))),
        ("link to", errno(dir.link(false, "file", dir, path))),
        ("readlink", errno(dir.readlink(path))),
        ("remove_dir", errno(dir.remove_dir(path))),
        ("unlink", errno(dir.unlink(path))),
        ("rename from", errno(dir.rename(path, dir, "new"))),
        ("rename to", errno(dir.rename("file", dir, path))),
        ("symlink", errno(dir.symlink("file", path))),
    ]
}

fn assert_every_call(dir: &Dir, path: &str, expected: Errno) {
    for (call, got) in every_call(dir, path) {
        assert_eq!(got, Some(expected), "{call} of {path:?}");
    }
}

#[test]
fn the_form_of_a_path_is_checked_by_every_call() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::write(scratch.path("file"), "x")?;
    let dir = scratch.dir()?;
    assert_every_call(&dir, "", Errno::ENOENT);
    assert_every_call(&dir, "file\0", Errno::EINVAL);
    assert_every_call(&dir, "/etc/passwd", Errno::EPERM);
    assert_every_call(&dir, &"a/".repeat(2048), Errno::ENAMETOOLONG);
    assert_every_call(&dir, &format!("{}/x", "a".repeat(256)), Errno::ENAMETOOLONG);
    Ok(())
}

#[test]
fn no_call_leaves_the_directory() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::write(scratch.path("file"), "x")?;
    std::fs::create_dir(scratch.path("sub"))?;
    symlink("..", scratch.path("parent"))?;
    symlink("../..", scratch.path("sub/grandparent"))?;
    symlink("/etc", scratch.path("etc"))?;
    symlink("..", scratch.path("sub/inside"))?;
    let dir = scratch.dir()?;
    for path in [
        "../secret",
        "../new",
        "sub/../../secret",
        "parent/secret",
        "parent/new",
        "sub/grandparent/secret",
        "sub/inside/../secret",
        "etc/passwd",
    ] {
        assert_every_call(&dir, path, Errno::EPERM);
    }
    assert_eq!(errno(dir.stat("..", true)), Some(Errno::EPERM));
    assert_eq!(errno(dir.open("..", &DIRECTORY)), Some(Errno::EPERM));
    assert_eq!(dir.stat("sub/inside/file", true)?.size, 1);
    Ok(())
}

#[test]
fn a_link_that_leads_out_is_not_followed() -> TestResult {
    let scratch = Scratch::new()?;
    let dir = scratch.dir()?;
    for (name, target) in [("up", "../secret"), ("abs", "/etc/passwd"), ("dir", "..")] {
        symlink(target, scratch.path(name))?;
        let opened = [FOLLOW, OpenOptions { write: true, ..FOLLOW }];
        for options in opened {
            assert_eq!(errno(dir.open(name, &options)), Some(Errno::EPERM));
        }
        assert_eq!(errno(dir.stat(name, true)), Some(Errno::EPERM));
        assert_eq!(errno(dir.set_times(name, true, AT_ONE)), Some(Errno::EPERM));
        assert_eq!(errno(dir.link(true, name, &dir, "new")), Some(Errno::EPERM));
        // The link itself lies inside.
        assert_eq!(dir.stat(name, false)?.kind, FileType::SymbolicLink);
        assert_eq!(dir.readlink(name)?, target.as_bytes());
        dir.set_times(name, false, AT_ONE)?;
        dir.rename(name, &dir, "moved")?;
        dir.unlink("moved")?;
    }
    assert_eq!(std::fs::read(scratch.root().join("../secret"))?, b"secret");
    Ok(())
}

#[test]
fn a_directory_below_is_no_way_out() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::create_dir(scratch.path("sub"))?;
    std::fs::write(scratch.path("file"), "x")?;
    let sub = open_dir(&scratch.dir()?, "sub", DIRECTORY)?;
    assert_eq!(errno(sub.stat("../file", true)), Some(Errno::EPERM));
    assert_eq!(sub.readdir()?.len(), 2);
    Ok(())
}

#[test]
fn open_creates_as_posix_says() -> TestResult {
    let scratch = Scratch::new()?;
    let dir = scratch.dir()?;
    assert_eq!(errno(dir.open("new", &WRITE)), Some(Errno::ENOENT));
    open_file(&dir, "new", CREATE)?;
    open_file(&dir, "new", CREATE)?;
    let exclusive = OpenOptions { exclusive: true, ..CREATE };
    assert_eq!(errno(dir.open("new", &exclusive)), Some(Errno::EEXIST));
    open_file(&dir, "newer", exclusive)?;
    let read_create = OpenOptions { create: true, ..READ };
    let file = open_file(&dir, "newest", read_create)?;
    assert_eq!(file.read(&mut [0; 1])?, 0);
    assert_eq!(errno(file.write(&[])), Some(Errno::EBADF));
    open_file(&dir, "nothing", OpenOptions { create: true, ..NOTHING })?;
    assert_eq!(errno(dir.open("gone/new", &CREATE)), Some(Errno::ENOENT));
    assert_eq!(errno(dir.open("new/x", &CREATE)), Some(Errno::ENOTDIR));
    let both = OpenOptions { directory: true, ..CREATE };
    assert_eq!(errno(dir.open("dir", &both)), Some(Errno::EINVAL));
    Ok(())
}

#[test]
fn open_truncates_with_and_without_write_access() -> TestResult {
    let scratch = Scratch::new()?;
    let dir = scratch.dir()?;
    for options in [READ, WRITE, READ_WRITE] {
        std::fs::write(scratch.path("file"), "content")?;
        open_file(&dir, "file", options)?;
        assert_eq!(dir.stat("file", true)?.size, 7);
        let truncate = OpenOptions { truncate: true, ..options };
        open_file(&dir, "file", truncate)?;
        assert_eq!(dir.stat("file", true)?.size, 0);
    }
    Ok(())
}

#[test]
fn open_distinguishes_files_from_directories() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::create_dir(scratch.path("sub"))?;
    std::fs::write(scratch.path("file"), "x")?;
    let dir = scratch.dir()?;
    for path in ["sub", "sub/", "sub/.", "."] {
        open_dir(&dir, path, READ)?;
        open_dir(&dir, path, NOTHING)?;
        open_dir(&dir, path, DIRECTORY)?;
        assert_eq!(errno(dir.open(path, &WRITE)), Some(Errno::EISDIR));
        assert_eq!(errno(dir.open(path, &CREATE)), Some(Errno::EISDIR));
    }
    assert_eq!(errno(dir.open("file", &DIRECTORY)), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.open("file/", &READ)), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.open("file/.", &READ)), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.open("new/", &CREATE)), Some(Errno::EISDIR));
    Ok(())
}

#[test]
fn open_follows_links_only_if_asked() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::write(scratch.path("file"), "x")?;
    symlink("file", scratch.path("link"))?;
    symlink("loop", scratch.path("loop"))?;
    symlink("made", scratch.path("dangling"))?;
    let dir = scratch.dir()?;
    assert_eq!(errno(dir.open("link", &READ)), Some(Errno::ELOOP));
    assert_eq!(open_file(&dir, "link", FOLLOW)?.stat()?.size, 1);
    assert_eq!(errno(dir.open("loop", &FOLLOW)), Some(Errno::ELOOP));
    assert_eq!(errno(dir.open("dangling", &FOLLOW)), Some(Errno::ENOENT));
    let create = OpenOptions { follow_symlinks: true, ..CREATE };
    open_file(&dir, "dangling", create)?;
    assert!(dir.stat("made", false).is_ok());
    let exclusive = OpenOptions { exclusive: true, ..create };
    assert_eq!(errno(dir.open("link", &exclusive)), Some(Errno::EEXIST));
    Ok(())
}

#[test]
fn a_socket_cannot_be_opened() -> TestResult {
    let scratch = Scratch::new()?;
    let _listener = std::os::unix::net::UnixListener::bind(scratch.path("socket"))?;
    let dir = scratch.dir()?;
    assert_eq!(dir.stat("socket", false)?.kind, FileType::SocketStream);
    assert_eq!(errno(dir.open("socket", &READ)), Some(Errno::ENXIO));
    Ok(())
}

#[test]
fn a_read_only_directory_refuses_every_change() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::create_dir(scratch.path("sub"))?;
    std::fs::write(scratch.path("sub/file"), "x")?;
    let top = scratch.read_only()?;
    let sub = open_dir(&top, "sub", DIRECTORY)?;
    let writable = scratch.dir()?;
    assert_eq!(sub.access, Access::ReadOnly);
    for dir in [&top, &sub] {
        let name = if dir.stat("file", false).is_ok() { "file" } else { "sub" };
        let flags = |options| errno(dir.open("new", &options));
        let refused = [
            flags(WRITE),
            flags(CREATE),
            flags(OpenOptions { truncate: true, ..READ }),
            flags(OpenOptions { append: true, ..READ }),
            errno(dir.create_dir("new")),
            errno(dir.set_times(name, true, AT_ONE)),
            errno(dir.set_times_self(AT_ONE)),
            errno(dir.link(false, name, dir, "new")),
            // The new name would be one that can be written through.
            errno(dir.link(false, name, &writable, "new")),
            errno(writable.link(false, "sub/file", dir, "new")),
            errno(dir.remove_dir(name)),
            errno(dir.unlink(name)),
            errno(dir.rename(name, dir, "new")),
            errno(dir.rename(name, &writable, "new")),
            errno(writable.rename("sub/file", dir, "new")),
            errno(dir.symlink("a", "new")),
        ];
        for (index, got) in refused.into_iter().enumerate() {
            assert_eq!(got, Some(Errno::EROFS), "call {index}");
        }
    }
    let file = open_file(&top, "sub/file", READ)?;
    assert_eq!(file.read(&mut [0; 2])?, 1);
    assert_eq!(top.readdir()?.len(), 3);
    assert_eq!((top.sync(), top.datasync()), (Ok(()), Ok(())));
    Ok(())
}

#[test]
fn stat_follows_links_only_if_asked() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::create_dir(scratch.path("sub"))?;
    std::fs::write(scratch.path("file"), "content")?;
    symlink("file", scratch.path("link"))?;
    symlink("sub", scratch.path("sublink"))?;
    let dir = scratch.dir()?;
    let file = dir.stat("file", false)?;
    assert_eq!((file.kind, file.size, file.nlink), (FileType::RegularFile, 7, 1));
    assert_eq!(dir.stat("link", true)?, file);
    let link = dir.stat("link", false)?;
    assert_eq!((link.kind, link.size), (FileType::SymbolicLink, 4));
    assert_eq!(dir.stat("sub", false)?.kind, FileType::Directory);
    assert_eq!(dir.stat("sublink/", false)?.kind, FileType::Directory);
    assert_eq!(errno(dir.stat("file/", false)), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.stat("file/", true)), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.stat("gone", true)), Some(Errno::ENOENT));
    assert_eq!(dir.stat_self()?, dir.stat(".", false)?);
    Ok(())
}

#[test]
fn set_times_reaches_the_link_or_its_target() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::create_dir(scratch.path("sub"))?;
    std::fs::write(scratch.path("file"), "x")?;
    symlink("../file", scratch.path("sub/link"))?;
    symlink("sub/link", scratch.path("link"))?;
    symlink("loop", scratch.path("loop"))?;
    scratch.fifo("fifo")?;
    let dir = scratch.dir()?;
    dir.set_times("link", true, AT_ONE)?;
    assert_eq!(dir.stat("file", false)?.mtim, 1);
    assert_ne!(dir.stat("link", false)?.mtim, 1);
    assert_ne!(dir.stat("sub/link", false)?.mtim, 1);
    dir.set_times("link", false, AT_ONE)?;
    assert_eq!(dir.stat("link", false)?.mtim, 1);
    dir.set_times("link", true, KEEP)?;
    assert_eq!(dir.stat("file", false)?.mtim, 1);
    assert_eq!(errno(dir.set_times("loop", true, AT_ONE)), Some(Errno::ELOOP));
    assert_eq!(errno(dir.set_times("file/", true, AT_ONE)), Some(Errno::ENOTDIR));
    // This would hang if the FIFO were opened to wait for its other side.
    dir.set_times("fifo", true, AT_ONE)?;
    assert_eq!(dir.stat("fifo", true)?.mtim, 1);
    dir.set_times_self(AT_ONE)?;
    assert_eq!(dir.stat_self()?.mtim, 1);
    Ok(())
}

#[test]
fn link_gives_a_second_name() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::create_dir(scratch.path("sub"))?;
    std::fs::write(scratch.path("file"), "x")?;
    symlink("file", scratch.path("link"))?;
    symlink("gone", scratch.path("dangling"))?;
    let dir = scratch.dir()?;
    let sub = open_dir(&dir, "sub", DIRECTORY)?;
    dir.link(false, "file", &sub, "second")?;
    assert_eq!(dir.stat("file", false)?, sub.stat("second", false)?);
    assert_eq!(sub.stat("second", false)?.nlink, 2);
    dir.link(false, "link", &sub, "second link")?;
    assert_eq!(sub.stat("second link", false)?.kind, FileType::SymbolicLink);
    dir.link(true, "link", &sub, "third")?;
    assert_eq!(sub.stat("third", false)?.nlink, 3);
    let got = |follow, old, new| errno(dir.link(follow, old, &dir, new));
    assert_eq!(got(true, "dangling", "new"), Some(Errno::ENOENT));
    assert_eq!(got(false, "file", "file"), Some(Errno::EEXIST));
    assert_eq!(got(false, "file", "dangling"), Some(Errno::EEXIST));
    assert_eq!(got(false, "file", "new/"), Some(Errno::ENOENT));
    assert_eq!(got(false, "file/", "new"), Some(Errno::ENOTDIR));
    assert_eq!(got(false, "sub", "new"), Some(Errno::EPERM));
    Ok(())
}

#[test]
fn symlink_keeps_the_text_and_refuses_an_absolute_one() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::create_dir(scratch.path("sub"))?;
    std::fs::write(scratch.path("file"), "x")?;
    let dir = scratch.dir()?;
    dir.symlink("../../anywhere/", "link")?;
    assert_eq!(dir.readlink("link")?, b"../../anywhere/");
    assert_eq!(errno(dir.symlink("/etc", "abs")), Some(Errno::EPERM));
    assert_eq!(errno(dir.symlink("", "empty")), Some(Errno::ENOENT));
    assert_eq!(errno(dir.symlink("a\0", "nul")), Some(Errno::EINVAL));
    assert_eq!(errno(dir.symlink("a", "link")), Some(Errno::EEXIST));
    assert_eq!(errno(dir.symlink("a", "new/")), Some(Errno::ENOENT));
    assert_eq!(errno(dir.symlink("a", "sub/")), Some(Errno::EEXIST));
    assert_eq!(errno(dir.symlink("a", "file/")), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.readlink("file")), Some(Errno::EINVAL));
    assert_eq!(errno(dir.readlink("sub")), Some(Errno::EINVAL));
    assert_eq!(errno(dir.readlink("gone")), Some(Errno::ENOENT));
    Ok(())
}

#[test]
fn directories_are_made_and_removed() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::write(scratch.path("file"), "x")?;
    let dir = scratch.dir()?;
    dir.create_dir("a")?;
    dir.create_dir("a/b/")?;
    assert_eq!(errno(dir.create_dir("a")), Some(Errno::EEXIST));
    assert_eq!(errno(dir.create_dir("file")), Some(Errno::EEXIST));
    assert_eq!(errno(dir.create_dir("gone/b")), Some(Errno::ENOENT));
    assert_eq!(errno(dir.create_dir("file/b")), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.remove_dir("a")), Some(Errno::ENOTEMPTY));
    assert_eq!(errno(dir.remove_dir("file")), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.remove_dir("file/")), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.remove_dir("a/b/.")), Some(Errno::EINVAL));
    assert_eq!(errno(dir.remove_dir("gone")), Some(Errno::ENOENT));
    assert_eq!(errno(dir.remove_dir(".")), Some(Errno::EINVAL));
    dir.remove_dir("a/b/")?;
    dir.remove_dir("a")?;
    assert_eq!(dir.readdir()?.len(), 3);
    Ok(())
}

#[test]
fn unlink_removes_names_of_files_only() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::create_dir(scratch.path("sub"))?;
    std::fs::write(scratch.path("file"), "x")?;
    symlink("sub", scratch.path("link"))?;
    let dir = scratch.dir()?;
    assert_eq!(errno(dir.unlink("sub")), Some(Errno::EISDIR));
    assert_eq!(errno(dir.unlink("sub/")), Some(Errno::EISDIR));
    assert_eq!(errno(dir.unlink("file/")), Some(Errno::ENOTDIR));
    assert_eq!(errno(dir.unlink("gone")), Some(Errno::ENOENT));
    dir.unlink("link")?;
    dir.unlink("file")?;
    assert_eq!(dir.readdir()?.len(), 3);
    Ok(())
}

#[test]
fn rename_replaces_what_is_alike() -> TestResult {
    let scratch = Scratch::new()?;
    for path in ["a", "b", "full", "full/x"] {
        std::fs::create_dir(scratch.path(path))?;
    }
    std::fs::write(scratch.path("file"), "new")?;
    std::fs::write(scratch.path("b/file"), "old")?;
    let dir = scratch.dir()?;
    let b = open_dir(&dir, "b", DIRECTORY)?;
    let got = |old, new| errno(dir.rename(old, &dir, new));
    assert_eq!(got("file", "new/"), Some(Errno::ENOTDIR));
    assert_eq!(got("file/", "new"), Some(Errno::ENOTDIR));
    assert_eq!(got("file", "a"), Some(Errno::EISDIR));
    assert_eq!(got("a", "file"), Some(Errno::ENOTDIR));
    assert_eq!(got("a", "full"), Some(Errno::ENOTEMPTY));
    assert_eq!(got("a", "a/below"), Some(Errno::EINVAL));
    assert_eq!(got("gone", "new"), Some(Errno::ENOENT));
    assert_eq!(got(".", "new"), Some(Errno::EBUSY));
    dir.rename("file", &b, "file")?;
    assert_eq!(std::fs::read(scratch.path("b/file"))?, b"new");
    dir.rename("full/", &dir, "a/")?;
    assert!(dir.stat("a/x", false).is_ok());
    assert_eq!(got("full", "new"), Some(Errno::ENOENT));
    Ok(())
}

#[test]
fn open_ambient_wants_a_directory() -> TestResult {
    let scratch = Scratch::new()?;
    std::fs::write(scratch.path("file"), "x")?;
    assert!(Dir::open_ambient(&scratch.path("file"), Access::ReadOnly).is_err());
    assert!(Dir::open_ambient(&scratch.path("gone"), Access::ReadOnly).is_err());
    Ok(())
}

/// Another process that has the directory too gives a file times that no clock has.
#[test]
fn times_before_all_others_are_read() -> TestResult {
    // A file system that keeps such times.
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        return Ok(());
    };
    std::fs::write(folder.path().join("file"), "x")?;
    let first = rustix::fs::Timespec { tv_sec: i64::MIN, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: first, last_modification: first };
    rustix::fs::utimensat(rustix::fs::CWD, folder.path().join("file"), &times, AtFlags::empty())?;
    let dir = Dir::open_ambient(folder.path(), Access::ReadWrite)?;
    for follow in [false, true] {
        let stat = dir.stat("file", follow)?;
        assert_eq!((stat.mtim, stat.atim), (0, 0), "{follow}");
    }
    assert_eq!(open_file(&dir, "file", READ)?.stat()?.mtim, 0);
    dir.rename("file", &dir, "moved")?;
    Ok(())
}

/// `/proc/self/mem` is the host's own memory: who writes there does what the host can.
#[test]
fn what_tells_of_processes_is_not_opened_whatever_was_granted() -> TestResult {
    let root = Dir::open_ambient("/".as_ref(), Access::ReadWrite)?;
    let own = format!("proc/{}", std::process::id());
    let task = format!("{own}/task/{}/mem", std::process::id());
    for path in [
        "proc/self/mem",
        "proc/self/status",
        "proc/self/net/tcp",
        "proc/self/fdinfo",
        "proc/sys/kernel/ostype",
        "proc/uptime",
        &format!("{own}/mem"),
        &task,
        &own,
        "proc",
    ] {
        assert_eq!(errno(root.open(path, &FOLLOW)), Some(Errno::EACCES), "{path}");
    }
    assert_eq!(errno(root.open("proc/self/mem", &WRITE)), Some(Errno::EACCES));
    let named = Dir::open_ambient("/proc/self".as_ref(), Access::ReadWrite)?;
    assert_eq!(errno(named.open("mem", &READ_WRITE)), Some(Errno::EACCES));
    Ok(())
}

/// By that number they are told from what need not be asked about.
#[test]
fn what_tells_of_processes_is_on_no_device() -> TestResult {
    let own = format!("/proc/{}", std::process::id());
    for path in
        ["mem", "status", "net/tcp", "fd", "fdinfo", "task", "ns", "../uptime", "../sys/kernel/ostype"]
    {
        let file = std::fs::File::open(format!("{own}/{path}"))?;
        assert_eq!(rustix::fs::fstatfs(&file)?.f_type, PROC_SUPER_MAGIC, "{path}");
        assert_eq!(rustix::fs::major(file.metadata()?.dev()), 0, "{path}");
    }
    // Each mount of one. "(3) major:minor: the value of st_dev for files on this filesystem" - proc_pid_mountinfo(5)
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let of_processes = mounts.lines().filter(|mount| mount.contains(" - proc "));
    assert!(of_processes.clone().count() > 0);
    for mount in of_processes {
        assert!(mount.split(' ').nth(2).is_some_and(|number| number.starts_with("0:")), "{mount}");
    }
    Ok(())
}
