//! The entries of a directory.

use super::{Dir, FileType};
use crate::error::Errno;
use rustix::fs::{AtFlags, statat};
use std::ffi::CStr;
use std::sync::Arc;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without a path.
    pub name: String,
    /// The serial number of the file.
    pub ino: u64,
    /// The type of the file itself, not of what a symbolic link points to.
    pub kind: FileType,
}

/// A directory that is being read: `.`, `..`, then the host's order.
///
/// `..` carries the number of the directory itself, as at the root of a file
/// system: the parent may lie outside the grant. A name that is not UTF-8 is
/// left out, since no guest could open it.
#[derive(Debug)]
pub struct Listing {
    dir: Arc<Dir>,
    own_ino: u64,
    host: rustix::fs::Dir,
    /// How many entries were read.
    place: u64,
    is_over: bool,
}

impl Listing {
    /// Begins to read `dir`.
    ///
    /// # Errors
    ///
    /// `EACCES` where the host lets wasock search the directory but not list it.
    pub fn new(dir: Arc<Dir>) -> Result<Self, Errno> {
        let own_ino = dir.stat_self()?.ino;
        let host = rustix::fs::Dir::new(dir.reopen()?)?;
        Ok(Self { dir, own_ino, host, place: 0, is_over: false })
    }

    /// Have all entries been read?
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Reads on, `most` entries at most, and gives those that are not among the first
    /// `skipped` of the directory, each with its place, from 1 on.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn read(&mut self, most: usize, skipped: u64) -> Result<Vec<(u64, DirEntry)>, Errno> {
        let mut entries = Vec::new();
        for _ in 0..most {
            let is_wanted = self.place >= skipped;
            let entry = match self.place {
                0 => Some(self.itself(".")),
                1 => Some(self.itself("..")),
                _ => {
                    let Some(entry) = self.host.next() else {
                        self.is_over = true;
                        break;
                    };
                    self.of_host(&entry?, is_wanted)
                }
            };
            let Some(entry) = entry else { continue };
            self.place += 1;
            if is_wanted {
                entries.push((self.place, entry));
            }
        }
        Ok(entries)
    }

    fn itself(&self, name: &str) -> DirEntry {
        DirEntry { name: name.to_owned(), ino: self.own_ino, kind: FileType::Directory }
    }

    /// An entry of the host's; without its type where it is not wanted.
    fn of_host(&self, entry: &rustix::fs::DirEntry, is_wanted: bool) -> Option<DirEntry> {
        let Ok(name) = entry.file_name().to_str() else {
            tracing::debug!(name = ?entry.file_name(), "a name that is not UTF-8 is left out");
            return None;
        };
        if name == "." || name == ".." {
            return None;
        }
        if !is_wanted {
            return Some(DirEntry { name: String::new(), ino: 0, kind: FileType::Unknown });
        }
        let kind = self.dir.kind_of(entry.file_name(), entry.file_type());
        Some(DirEntry { name: name.to_owned(), ino: entry.ino(), kind })
    }
}

impl Dir {
    /// The type of an entry; some file systems don't store it in the directory.
    fn kind_of(&self, name: &CStr, listed: rustix::fs::FileType) -> FileType {
        if listed != rustix::fs::FileType::Unknown {
            return FileType::from_host(listed);
        }
        // One name without a slash, not followed: it can't leave the directory.
        match statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_host(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
            // The entry went away since it was listed.
            Err(_) => FileType::Unknown,
        }
    }
}

#[cfg(test)]
impl Dir {
    /// Reads the whole directory.
    pub(super) fn readdir(&self) -> Result<Vec<DirEntry>, Errno> {
        let dir = Self::from_cap(self.dir.try_clone()?, self.access);
        let mut listing = Listing::new(Arc::new(dir))?;
        let mut entries = Vec::new();
        while !listing.is_over() {
            entries.extend(listing.read(2, 0)?.into_iter().map(|(_, entry)| entry));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{Scratch, TestResult};
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn lists_every_name_with_its_number_and_type() -> TestResult {
        let scratch = Scratch::new()?;
        std::fs::write(scratch.path("file"), "x")?;
        std::fs::create_dir(scratch.path("dir"))?;
        std::os::unix::fs::symlink("file", scratch.path("link"))?;
        let dir = scratch.dir()?;

        let mut entries = scratch.dir()?.readdir()?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let kinds: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.kind)).collect();
        assert_eq!(
            kinds,
            [
                (".", FileType::Directory),
                ("..", FileType::Directory),
                ("dir", FileType::Directory),
                ("file", FileType::RegularFile),
                ("link", FileType::SymbolicLink),
            ]
        );
        let own = dir.stat_self()?.ino;
        for entry in entries {
            let ino = match entry.name.as_str() {
                "." | ".." => own,
                name => dir.stat(name, false)?.ino,
            };
            assert_eq!(entry.ino, ino, "{}", entry.name);
        }
        Ok(())
    }

    #[test]
    fn can_be_read_from_any_place_on() -> TestResult {
        let scratch = Scratch::new()?;
        for number in 0..7 {
            std::fs::write(scratch.path(&number.to_string()), "x")?;
        }
        let all = scratch.dir()?.readdir()?;
        assert_eq!(all.len(), 9);
        for skipped in 0..=9 {
            let mut listing = Listing::new(Arc::new(scratch.dir()?))?;
            let mut entries = Vec::new();
            while !listing.is_over() {
                entries.extend(listing.read(3, skipped)?);
            }
            let places: Vec<u64> = entries.iter().map(|(place, _)| *place).collect();
            assert_eq!(places, (skipped + 1..=9).collect::<Vec<_>>());
            let rest = all.iter().skip(usize::try_from(skipped)?);
            assert!(entries.iter().map(|(_, entry)| entry).eq(rest));
        }
        Ok(())
    }

    #[test]
    fn leaves_out_a_name_that_is_not_utf_8() -> TestResult {
        let scratch = Scratch::new()?;
        let name = std::ffi::OsStr::from_bytes(b"\xff");
        std::fs::write(scratch.root().join(name), "x")?;
        assert_eq!(scratch.dir()?.readdir()?.len(), 2);
        Ok(())
    }

    #[test]
    fn asks_the_file_where_the_listing_has_no_type() -> TestResult {
        let scratch = Scratch::new()?;
        std::fs::write(scratch.path("file"), "x")?;
        let dir = scratch.dir()?;
        let unknown = rustix::fs::FileType::Unknown;
        assert_eq!(dir.kind_of(c"file", unknown), FileType::RegularFile);
        assert_eq!(dir.kind_of(c"gone", unknown), FileType::Unknown);
        Ok(())
    }
}
