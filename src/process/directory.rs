//! The working directory: a name that the host keeps for the guest.

use std::sync::Arc;

use super::device::DeviceEntry;
use super::{Process, unpoisoned};
use crate::address::{Address, UnixName};
use crate::error::Errno;
use crate::fd::Rights;
use crate::file::{Dir, FileType};

/// A preopened directory, and a path in it.
pub(super) struct Preopened {
    /// Its name, whole.
    pub(super) name: String,
    pub(super) dir: Arc<Dir>,
    /// What its descriptor may be used for: the guest can give rights away.
    pub(super) rights: Rights,
    /// The rest of the path; empty where it is the directory itself.
    pub(super) rest: String,
}

impl Process {
    /// Makes `path` the working directory, where a preopened directory has it.
    ///
    /// # Errors
    ///
    /// `ENOENT` where no preopened directory has it, `ENOTCAPABLE` where that one lacks the
    /// right to open what lies in it, `ENOTDIR` where it is no directory.
    pub(crate) fn change_directory(&self, path: &str) -> Result<(), Errno> {
        // "ENOENT: A component of path does not name an existing directory or path is an
        // empty string." - chdir(3p)
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let whole = absolute(&self.working_directory(), path);
        if whole != "/" {
            self.check_directory(&whole)?;
        }
        *unpoisoned(&self.working_directory) = whole;
        Ok(())
    }

    /// An address with the whole path, where it is a name.
    pub(super) fn whole(&self, address: Address) -> Address {
        match address {
            Address::Unix(name) => {
                let whole = name.given().map(|given| absolute(&self.working_directory(), given));
                Address::Unix(whole.map_or_else(UnixName::unnamed, UnixName::new))
            }
            inet => inet,
        }
    }

    fn check_directory(&self, path: &str) -> Result<(), Errno> {
        match self.device_at(path) {
            None => {}
            Some(Ok(DeviceEntry::Device(_))) => return Err(Errno::ENOTDIR),
            Some(found) => return found.map(drop),
        }
        let Preopened { dir, rest, rights, .. } = self.preopened(path).ok_or(Errno::ENOENT)?;
        // "EACCES: Search permission is denied for any component of the pathname." - chdir(3p);
        // a right that is missing has a number of its own in WASI.
        rights.require(Rights::PATH_OPEN)?;
        if rest.is_empty() {
            return Ok(());
        }
        match dir.stat(&rest, true)?.kind {
            FileType::Directory => Ok(()),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The preopened directory with the longest name that `path` lies below, and the
    /// rest of the path.
    pub(super) fn preopened(&self, path: &str) -> Option<Preopened> {
        let below = |(name, dir, rights): (String, Arc<Dir>, Rights)| {
            let rest = below(path, &name)?.to_owned();
            Some(Preopened { name, dir, rights, rest })
        };
        // Of two with one name, the first counts.
        self.preopens_with_rights()
            .into_iter()
            .filter_map(below)
            .reduce(|best, other| if other.name.len() > best.name.len() { other } else { best })
    }

    /// The preopened directories with their whole names.
    pub(super) fn preopens(&self) -> Vec<(String, Arc<Dir>)> {
        self.preopens_with_rights().into_iter().map(|(name, dir, _)| (name, dir)).collect()
    }

    fn preopens_with_rights(&self) -> Vec<(String, Arc<Dir>, Rights)> {
        let fds = self.fds();
        let preopened = |fd| {
            let descriptor = fds.get(fd).ok()?;
            let directory = descriptor.open.open.directory().ok()?;
            let name = absolute("/", directory.preopened_as.as_ref()?);
            Some((name, Arc::clone(&directory.dir), descriptor.rights))
        };
        (3..fds.end()).filter_map(preopened).collect()
    }
}

/// `path` seen from `from`, without `.` and `..`.
pub(super) fn absolute(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let start = if path.starts_with('/') { "" } else { from };
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// What of `path` lies below `directory`.
pub(super) fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    if directory == "/" {
        return path.strip_prefix('/');
    }
    let rest = path.strip_prefix(directory)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_from_the_working_directory() {
        assert_eq!(absolute("/a", "b/./c"), "/a/b/c");
        assert_eq!(absolute("/a/b", "../../.."), "/");
        assert_eq!(absolute("/a", "/b"), "/b");
    }

    #[test]
    fn below_is_by_whole_names() {
        assert_eq!(below("/data/x", "/data"), Some("x"));
        assert_eq!(below("/data", "/data"), Some(""));
        assert_eq!(below("/database", "/data"), None);
        assert_eq!(below("/x", "/"), Some("x"));
    }
}
