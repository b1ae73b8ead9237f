//! New names for what has one: `link` and `rename`.
//!
//! A name can mean more than the file behind it: a grant on the path of a Unix socket is for the
//! socket that has this name now. So the caller's function is called before a name is moved, with
//! what moves and between which places, as the file system knows them. Both parents are open by
//! then, and the call acts in them: no directory on the way can be exchanged between the check and
//! the move.
//!
//! Key types: [`Move`], [`EntryName`], [`FileId`], [`Way`].

use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::path::{check, has_trailing_slash};
use super::{Dir, FileType, HostPath, Stat};
use crate::error::Errno;

/// A file, whatever its names: no other one is the same as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    number: u64,
}

impl FileId {
    /// What `fd` is open for.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn of(fd: impl AsFd) -> Result<Self, Errno> {
        let stat = Stat::from_host(&rustix::fs::fstat(fd)?);
        Ok(Self { device: stat.dev, number: stat.ino })
    }

    /// Its device, and its number there.
    pub fn numbers(self) -> (u64, u64) {
        (self.device, self.number)
    }
}

/// A name in a directory, taken or free.
#[derive(Debug)]
pub struct EntryName<'a> {
    directory: &'a cap_std::fs::Dir,
    /// The directory.
    pub parent: FileId,
    /// The name there.
    pub name: &'a str,
}

impl EntryName<'_> {
    /// What the directory is called on the host now. For messages.
    ///
    /// # Errors
    ///
    /// If the host does not report it.
    pub fn host_directory(&self) -> Result<HostPath, Errno> {
        HostPath::of(self.directory)
    }
}

/// Something that is about to get another name.
#[derive(Debug)]
pub struct Move<'a> {
    /// What it is.
    pub kind: FileType,
    /// Which one it is.
    pub file: FileId,
    /// The name that it has.
    pub from: EntryName<'a>,
    /// The name that it is to get.
    pub to: EntryName<'a>,
}

/// Says whether something may get another name.
pub type MayMove<'a> = &'a dyn Fn(&Move<'_>) -> Result<(), Errno>;

/// The way to a directory: every name on it, and the directory itself where it exists.
#[derive(Debug, Default)]
pub struct Way {
    /// The directories on the host that the first one lies in, however deep.
    pub above: Vec<FileId>,
    /// The directories on the way, each with the name that leads on from there.
    pub steps: Vec<(FileId, String)>,
    /// Where it ends.
    pub end: Option<FileId>,
}

impl Dir {
    /// Gives a file a second name, `new` in `new_dir`.
    ///
    /// With `old_follow` a symbolic link at the end of `old` gives its target the
    /// name; without, the link itself has two names.
    ///
    /// # Errors
    ///
    /// `EROFS` if either directory is read-only, or the file could be changed by
    /// its new name; what `may` returns; `EEXIST` if `new` names anything; `EPERM` for a
    /// directory; `EXDEV` between file systems.
    pub fn link_if(
        &self,
        may: MayMove<'_>,
        old_follow: bool,
        old: &str,
        new_dir: &Self,
        new: &str,
    ) -> Result<(), Errno> {
        let old = check(old)?;
        check(new)?;
        self.access.check_write()?;
        new_dir.access.check_write()?;
        let old = self.last_link(old, old_follow)?;
        let old = old.to_str().ok_or(Errno::EILSEQ)?;
        let (from, to) = (self.parent(old)?, new_dir.parent(new)?);
        from.ask(&to, may)?;
        Ok(from.dir.hard_link(from.last, &to.dir, to.last)?)
    }

    /// Moves `old` to `new` in `new_dir`, replacing what is there.
    ///
    /// # Errors
    ///
    /// `EROFS` if either directory is read-only; what `may` returns; `EISDIR`, `ENOTDIR`
    /// where one is a directory and the other is not; `ENOTEMPTY`; `EXDEV` between file
    /// systems; `EINVAL` for a directory into itself; `EBUSY` for `.`.
    pub fn rename_if(&self, may: MayMove<'_>, old: &str, new_dir: &Self, new: &str) -> Result<(), Errno> {
        check(old)?;
        check(new)?;
        self.access.check_write()?;
        new_dir.access.check_write()?;
        let (from, to) = (self.parent(old)?, new_dir.parent(new)?);
        // ENOTDIR: "new names a nonexistent file, contains at least one non-
        // <slash> character, and ends with one or more trailing <slash>
        // characters", unless old is a directory - rename(3p). cap-std drops
        // the slash of `new`.
        if has_trailing_slash(new) && from.stat()?.kind != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        from.ask(&to, may)?;
        Ok(from.dir.rename(from.last, &to.dir, to.last)?)
    }

    /// The way to the directory `path` below this one, as far as there are directories.
    /// A symbolic link leads nowhere.
    ///
    /// # Errors
    ///
    /// What the host reports of this directory.
    pub fn way(&self, path: &str) -> Result<Way, Errno> {
        let mut here: OwnedFd = self.dir.try_clone()?.into();
        let mut end = FileId::of(&here)?;
        let mut way = Way { above: above(&here, end), ..Way::default() };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            way.steps.push((end, name.to_owned()));
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(next) = rustix::fs::openat(&here, name, flags, Mode::empty()) else { return Ok(way) };
            here = next;
            end = FileId::of(&here)?;
        }
        way.end = Some(end);
        Ok(way)
    }

    /// The directory of `path`'s last name, and that.
    pub(super) fn parent<'a>(&'a self, path: &'a str) -> Result<Parent<'a>, Errno> {
        let (before, last) = split(path);
        let dir = match before {
            "" => Base::Given(&self.dir),
            before => Base::Opened(self.dir.open_dir(Path::new(before))?),
        };
        Ok(Parent { dir, last })
    }
}

/// How deep a directory of the host may lie.
const DEEPEST: usize = 256;

/// The directories that `directory`, which is `file`, lies in.
fn above(directory: &OwnedFd, file: FileId) -> Vec<FileId> {
    let mut found: Vec<FileId> = Vec::new();
    let mut below = file;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let up = |fd: &OwnedFd| rustix::fs::openat(fd, "..", flags, Mode::empty());
    let mut next = up(directory);
    while let Ok(here) = next {
        // The root lies in itself.
        match FileId::of(&here) {
            Ok(file) if file != below && found.len() < DEEPEST => {
                found.push(file);
                below = file;
            }
            _ => break,
        }
        next = up(&here);
    }
    found
}

/// An open directory, and a name there.
pub(super) struct Parent<'a> {
    dir: Base<'a>,
    /// With the slashes that follow it, which ask for a directory.
    last: &'a str,
}

enum Base<'a> {
    Given(&'a cap_std::fs::Dir),
    Opened(cap_std::fs::Dir),
}

impl Deref for Base<'_> {
    type Target = cap_std::fs::Dir;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Given(dir) => dir,
            Self::Opened(dir) => dir,
        }
    }
}

impl Parent<'_> {
    /// The attributes of what is here, a symbolic link not followed.
    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        let name = self.last.trim_end_matches('/');
        let stat = rustix::fs::statat(&*self.dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Stat::from_host(&stat))
    }

    /// Asks whether what is here may get the name `to`. Where nothing is here, the call itself
    /// says so.
    fn ask(&self, to: &Parent<'_>, may: MayMove<'_>) -> Result<(), Errno> {
        let Ok(stat) = self.stat() else { return Ok(()) };
        may(&Move {
            kind: stat.kind,
            file: FileId { device: stat.dev, number: stat.ino },
            from: self.entry()?,
            to: to.entry()?,
        })
    }

    fn entry(&self) -> Result<EntryName<'_>, Errno> {
        let name = self.last.trim_end_matches('/');
        Ok(EntryName { directory: &self.dir, parent: FileId::of(&*self.dir)?, name })
    }
}

/// The part of `path` that leads to its last name, and that name. What ends in `.` or `..`
/// has none: it is a directory, by the name `.` in itself.
fn split(path: &str) -> (&str, &str) {
    let body = path.trim_end_matches('/');
    let at = body.rfind('/').map_or(0, |slash| slash + 1);
    match body.get(at..) {
        Some("." | "..") | None => (path, "."),
        Some(_) => path.split_at_checked(at).unwrap_or((path, ".")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{Scratch, TestResult, errno};
    use super::*;
    use std::cell::RefCell;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_path_is_split_before_its_last_name() {
        for (path, expected) in [
            ("a", ("", "a")),
            ("a/b", ("a/", "b")),
            ("a/b//", ("a/", "b//")),
            ("./a", ("./", "a")),
            ("a//b", ("a//", "b")),
            (".", (".", ".")),
            ("a/.", ("a/.", ".")),
            ("a/../", ("a/../", ".")),
        ] {
            assert_eq!(split(path), expected, "{path}");
        }
    }

    #[test]
    fn the_callers_check_sees_what_moves_and_decides() -> TestResult {
        let scratch = Scratch::new()?;
        std::fs::create_dir_all(scratch.path("a/b"))?;
        std::fs::create_dir(scratch.path("c"))?;
        let _listener = UnixListener::bind(scratch.path("a/s"))?;
        std::os::unix::fs::symlink("a/s", scratch.path("link"))?;
        std::os::unix::fs::symlink("a", scratch.path("way"))?;
        let dir = scratch.dir()?;
        let heard = RefCell::new(Vec::new());
        let refuse = |it: &Move<'_>| {
            heard.borrow_mut().push((it.kind, it.from.name.to_owned(), it.to.name.to_owned()));
            Err(Errno::EACCES)
        };
        for old in ["a/s", "way/s", "c/../a/s"] {
            assert_eq!(errno(dir.rename_if(&refuse, old, &dir, "c/t")), Some(Errno::EACCES), "{old}");
        }
        assert_eq!(errno(dir.link_if(&refuse, true, "link", &dir, "t")), Some(Errno::EACCES));
        assert_eq!(errno(dir.rename_if(&refuse, "a/b/", &dir, "c/d/")), Some(Errno::EACCES));
        assert_eq!(errno(dir.rename_if(&refuse, "none", &dir, "c/d")), Some(Errno::ENOENT));
        let moved = |kind, from: &str, to: &str| (kind, from.to_owned(), to.to_owned());
        let socket = moved(FileType::SocketStream, "s", "t");
        let expected = [socket.clone(), socket.clone(), socket.clone(), socket];
        let mut expected = expected.to_vec();
        expected.push(moved(FileType::Directory, "b", "d"));
        assert_eq!(heard.into_inner(), expected);
        assert!(scratch.path("a/s").exists() && scratch.path("a/b").exists());
        Ok(())
    }

    #[test]
    fn a_way_names_each_directory_and_follows_no_link() -> TestResult {
        let scratch = Scratch::new()?;
        std::fs::create_dir_all(scratch.path("a/b"))?;
        std::os::unix::fs::symlink("a", scratch.path("link"))?;
        let dir = scratch.dir()?;
        let id = |path: &str| FileId::of(std::fs::File::open(scratch.path(path))?);
        let (top, a, b) = (id(".")?, id("a")?, id("a/b")?);
        let way = dir.way("a/b")?;
        let outside = FileId::of(std::fs::File::open(scratch.path(".."))?)?;
        assert_eq!(way.above.first(), Some(&outside));
        assert_eq!(way.above.last(), Some(&FileId::of(std::fs::File::open("/")?)?));
        assert_eq!(way.steps, [(top, "a".to_owned()), (a, "b".to_owned())]);
        assert_eq!(way.end, Some(b));
        let way = dir.way("a/none/x")?;
        assert_eq!((way.steps.len(), way.end), (2, None));
        let way = dir.way("link/b")?;
        assert_eq!((way.steps, way.end), (vec![(top, "link".to_owned())], None));
        assert_eq!(dir.way("")?.end, Some(top));
        Ok(())
    }
}
