//! The way to a directory that nobody but this user and root can put another one in the place of.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// To look at something, whatever it is.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

const ROOT: u32 = 0;

/// Opens the directory `path`, and makes what is missing of it with mode 0700.
///
/// Each directory on the way is opened from the one before, and looked at by its descriptor. It is this user's or
/// root's, and others can't write to it, or only add to it (as to `/tmp`). A symbolic link counts for what it
/// leads to, if it is this user's or root's too. The last directory is this user's, of mode 0700.
///
/// # Errors
///
/// Where it is otherwise, with a sentence that names the place; and those of the system.
pub(crate) fn open_own(path: &Path) -> io::Result<OwnedFd> {
    let whole = std::path::absolute(path)?;
    let mut ahead: VecDeque<OsString> = parts(&whole).collect();
    // For messages alone: what is checked is what is open.
    let mut place = PathBuf::from("/");
    let mut here = root()?;
    check(&fstat(&here)?, &place)?;
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        let next = enter(here.as_fd(), &name).map_err(|error| at(&place.join(&name), error))?;
        let found = fstat(&next)?;
        if kind_of(&found) == FileType::Symlink {
            links += 1;
            if links > MOST_LINKS {
                return Err(at(&place.join(&name), Errno::LOOP.into()));
            }
            check_owner(&found, &place.join(&name))?;
            let target = PathBuf::from(OsString::from_vec(readlinkat(&next, c"", Vec::new())?.into_bytes()));
            if target.is_absolute() {
                place = PathBuf::from("/");
                here = root()?;
            }
            ahead = parts(&target).chain(ahead).collect();
            continue;
        }
        place.push(&name);
        check(&found, &place)?;
        here = next;
    }
    let found = fstat(&here)?;
    if found.st_uid != geteuid().as_raw() {
        return Err(untrusted(&place, "it belongs to another user"));
    }
    if found.st_mode & 0o077 != 0 {
        return Err(untrusted(&place, "other users may use it (chmod 700)"));
    }
    // The descriptor until now is one to look at things only.
    Ok(openat(&here, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn root() -> io::Result<OwnedFd> {
    Ok(openat(CWD, c"/", LOOK, Mode::empty())?)
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    })
}

/// Opens `name` in the directory `here`; makes it a directory where it is missing.
fn enter(here: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    match openat(here, name, LOOK, Mode::empty()) {
        Err(Errno::NOENT) => {}
        found => return Ok(found?),
    }
    match mkdirat(here, name, Mode::RWXU) {
        // Another one has made it meanwhile.
        Err(Errno::EXIST) => {}
        made => made?,
    }
    Ok(openat(here, name, LOOK, Mode::empty())?)
}

/// Is it a directory in which only this user and root can put one thing in the place of another?
fn check(found: &Stat, place: &Path) -> io::Result<()> {
    if kind_of(found) != FileType::Directory {
        return Err(at(place, Errno::NOTDIR.into()));
    }
    check_owner(found, place)?;
    let mode = Mode::from_raw_mode(found.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX) {
        return Err(untrusted(place, "other users may write to it"));
    }
    Ok(())
}

fn check_owner(found: &Stat, place: &Path) -> io::Result<()> {
    if found.st_uid == ROOT || found.st_uid == geteuid().as_raw() {
        return Ok(());
    }
    Err(untrusted(place, "it belongs to another user"))
}

fn kind_of(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

fn untrusted(place: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {why}", place.display()))
}

fn at(place: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", place.display()))
}

/// What a directory is known by.
type Id = (u64, u64);

fn id_of(found: &Stat) -> Id {
    (found.st_dev, found.st_ino)
}

/// Does one of two directories lie in the other, or are they the same?
///
/// # Errors
///
/// Those of the system.
pub(crate) fn overlap(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(way_up(one)?.contains(&id_of(&fstat(other)?)) || way_up(other)?.contains(&id_of(&fstat(one)?)))
}

/// A directory, and all that it lies in.
fn way_up(directory: BorrowedFd<'_>) -> io::Result<Vec<Id>> {
    let mut ids = vec![id_of(&fstat(directory)?)];
    let mut here = openat(directory, c"..", LOOK, Mode::empty())?;
    loop {
        let id = id_of(&fstat(&here)?);
        // The root is its own parent.
        if ids.last() == Some(&id) {
            return Ok(ids);
        }
        ids.push(id);
        here = openat(&here, c"..", LOOK, Mode::empty())?;
    }
}

/// Opens a directory to look where it lies.
pub(crate) fn look_at(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, DirBuilder, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    type Result = std::result::Result<(), Box<dyn std::error::Error>>;

    fn refusal(path: &Path) -> String {
        open_own(path).map_or_else(|error| error.to_string(), |_| "none".to_owned())
    }

    fn directory(path: &Path, mode: u32) -> io::Result<()> {
        DirBuilder::new().create(path)?;
        // Whatever the umask is.
        fs::set_permissions(path, Permissions::from_mode(mode))
    }

    #[test]
    fn what_is_missing_is_made() -> Result {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a/b/c");
        open_own(&path)?;
        let mode = |path: &Path| fs::metadata(path).map(|found| found.permissions().mode() & 0o7777);
        assert_eq!(mode(&path)?, 0o700);
        assert_eq!(mode(&folder.path().join("a"))?, 0o700);
        open_own(&path)?;
        Ok(())
    }

    #[test]
    fn others_may_not_use_the_last_directory() -> Result {
        let folder = tempfile::tempdir()?;
        for mode in [0o755, 0o710, 0o701, 0o777] {
            let path = folder.path().join(format!("{mode:o}"));
            directory(&path, mode)?;
            let expected = if mode == 0o777 { "may write to it" } else { "chmod 700" };
            assert!(refusal(&path).contains(expected), "{}", refusal(&path));
        }
        Ok(())
    }

    #[test]
    fn others_may_not_write_to_one_on_the_way() -> Result {
        let folder = tempfile::tempdir()?;
        for (mode, is_trusted) in [(0o755, true), (0o775, false), (0o757, false), (0o1777, true)] {
            let path = folder.path().join(format!("{mode:o}"));
            directory(&path, mode)?;
            directory(&path.join("own"), 0o700)?;
            let refusal = refusal(&path.join("own"));
            assert_eq!(refusal == "none", is_trusted, "{mode:o}: {refusal}");
            assert!(
                is_trusted || refusal.contains(&format!("{mode:o}: other users may write to it")),
                "{refusal}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_link_counts_for_what_it_leads_to() -> Result {
        let folder = tempfile::tempdir()?;
        directory(&folder.path().join("good"), 0o700)?;
        directory(&folder.path().join("bad"), 0o777)?;
        directory(&folder.path().join("bad/own"), 0o700)?;
        symlink("good", folder.path().join("near"))?;
        symlink(folder.path().join("good"), folder.path().join("far"))?;
        symlink("bad/../good", folder.path().join("around"))?;
        symlink("bad", folder.path().join("to_bad"))?;
        symlink("round", folder.path().join("round"))?;
        let refusal = |name: &str| refusal(&folder.path().join(name));
        assert_eq!(refusal("near/a"), "none");
        assert_eq!(refusal("far/b"), "none");
        assert!(refusal("around/c").contains("bad: other users may write to it"));
        assert!(refusal("to_bad/own").contains("bad: other users may write to it"));
        assert!(refusal("round").contains("round: "));
        Ok(())
    }

    #[test]
    fn a_file_is_no_directory() -> Result {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("file"), "")?;
        assert!(refusal(&folder.path().join("file")).contains("Not a directory"));
        assert!(refusal(&folder.path().join("file/own")).contains("Not a directory"));
        Ok(())
    }

    #[test]
    fn one_directory_lies_in_another() -> Result {
        let folder = tempfile::tempdir()?;
        for name in ["a", "a/b", "c"] {
            directory(&folder.path().join(name), 0o700)?;
        }
        symlink("a", folder.path().join("link"))?;
        let open = |name: &str| look_at(&folder.path().join(name));
        let meet = |one: &str, other: &str| overlap(open(one)?.as_fd(), open(other)?.as_fd());
        assert!(meet("a", "a/b")? && meet("a/b", "a")? && meet("a", "link")? && meet("", "a/b")?);
        assert!(!meet("a", "c")? && !meet("c", "a/b")?);
        Ok(())
    }
}
