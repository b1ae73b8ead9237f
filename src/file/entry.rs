//! The entries of a directory.

use super::{Dir, FileType};
use crate::error::Errno;
use rustix::fs::{AtFlags, statat};
use std::ffi::CStr;

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

impl Dir {
    /// Reads the whole directory: `.`, `..`, then the host's order.
    ///
    /// `..` carries the number of the directory itself, as at the root of a file
    /// system: the parent may lie outside the grant. A name that is not UTF-8 is
    /// left out, since no guest could open it.
    ///
    /// # Errors
    ///
    /// `EACCES` where the host lets wasock search the directory but not list it.
    pub fn readdir(&self) -> Result<Vec<DirEntry>, Errno> {
        let own = self.stat_self()?.ino;
        let mut entries = vec![
            DirEntry { name: ".".to_owned(), ino: own, kind: FileType::Directory },
            DirEntry { name: "..".to_owned(), ino: own, kind: FileType::Directory },
        ];
        for entry in rustix::fs::Dir::new(self.reopen()?)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                tracing::debug!(name = ?entry.file_name(), "a name that is not UTF-8 is left out");
                continue;
            };
            if name != "." && name != ".." {
                entries.push(DirEntry {
                    name: name.to_owned(),
                    ino: entry.ino(),
                    kind: self.kind_of(entry.file_name(), entry.file_type()),
                });
            }
        }
        Ok(entries)
    }

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
mod tests {
    use super::super::scratch::{Scratch, Test};
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn lists_every_name_with_its_number_and_type() -> Test {
        let scratch = Scratch::new()?;
        std::fs::write(scratch.path("file"), "x")?;
        std::fs::create_dir(scratch.path("dir"))?;
        std::os::unix::fs::symlink("file", scratch.path("link"))?;
        let dir = scratch.dir()?;

        let mut entries = dir.readdir()?;
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
    fn can_be_read_twice() -> Test {
        let scratch = Scratch::new()?;
        std::fs::write(scratch.path("file"), "x")?;
        let dir = scratch.dir()?;
        assert_eq!(dir.readdir()?, dir.readdir()?);
        assert_eq!(dir.readdir()?.len(), 3);
        Ok(())
    }

    #[test]
    fn leaves_out_a_name_that_is_not_utf_8() -> Test {
        let scratch = Scratch::new()?;
        let name = std::ffi::OsStr::from_bytes(b"\xff");
        std::fs::write(scratch.root().join(name), "x")?;
        assert_eq!(scratch.dir()?.readdir()?.len(), 2);
        Ok(())
    }

    #[test]
    fn asks_the_file_where_the_listing_has_no_type() -> Test {
        let scratch = Scratch::new()?;
        std::fs::write(scratch.path("file"), "x")?;
        let dir = scratch.dir()?;
        let unknown = rustix::fs::FileType::Unknown;
        assert_eq!(dir.kind_of(c"file", unknown), FileType::RegularFile);
        assert_eq!(dir.kind_of(c"gone", unknown), FileType::Unknown);
        Ok(())
    }
}
