//! The working directory: a name that the host keeps for the guest.

use std::sync::Arc;

use super::device::{DIRECTORY as DEVICES, DeviceEntry};
use super::paths::named;
use super::{Open, Process, unpoisoned};
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
    /// What descriptors made from it may be used for.
    pub(super) inheriting: Rights,
    /// The rest of the path; empty where it is the directory itself.
    pub(super) rest: String,
}

/// Where a path leads.
pub(crate) struct Place {
    /// The granted directory; the built-in one where there is none.
    pub(crate) dir: Option<Arc<Dir>>,
    /// What the descriptor of that may be used for.
    pub(crate) rights: Rights,
    /// What descriptors made from it may be used for.
    pub(crate) inheriting: Rights,
    /// The path in that directory.
    pub(crate) rest: String,
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

    /// Where `path` leads, seen from the working directory: to a granted directory, or the built-in one.
    ///
    /// # Errors
    ///
    /// `ENOENT` where it leads to neither.
    pub(crate) fn place_of(&self, path: &str) -> Result<Place, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let whole = absolute(&self.working_directory(), path);
        if self.device_at(&whole).is_some() {
            let rest = below(&whole, DEVICES).filter(|rest| !rest.is_empty()).unwrap_or(".").to_owned();
            let (rights, inheriting) = (Rights::DIRECTORY, Rights::DIRECTORY_INHERITING);
            return Ok(Place { dir: None, rights, inheriting, rest });
        }
        let Preopened { dir, rights, inheriting, rest, .. } = self.preopened(&whole).ok_or(Errno::ENOENT)?;
        // What a slash at the end asks for is lost in the whole path.
        let slash = if path.ends_with('/') && !rest.is_empty() { "/" } else { "" };
        let rest = if rest.is_empty() { ".".to_owned() } else { rest + slash };
        Ok(Place { dir: Some(dir), rights, inheriting, rest })
    }

    /// The whole name of the directory `fd`.
    ///
    /// # Errors
    ///
    /// `EBADF`; `ENOTDIR` for what is none; `ENOENT` where it is in none of those that the guest has.
    pub(crate) fn name_of_directory(&self, fd: u32) -> Result<String, Errno> {
        let open = Arc::clone(&self.fds().get(fd)?.open);
        let directory = match &open.open {
            Open::Devices { .. } => return Ok(DEVICES.to_owned()),
            other => other.directory()?,
        };
        if let Some(name) = &directory.preopened_as {
            return Ok(absolute("/", name));
        }
        let host = directory.dir.host_path()?;
        let name = |(root, dir): (String, Arc<Dir>)| named(&root, host.within(&dir.host_path().ok()?)?).ok();
        self.preopens().into_iter().find_map(name).ok_or(Errno::ENOENT)
    }

    /// The preopened directory with the longest name that `path` lies below, and the
    /// rest of the path.
    pub(super) fn preopened(&self, path: &str) -> Option<Preopened> {
        let below = |(name, dir, [rights, inheriting]): (String, Arc<Dir>, [Rights; 2])| {
            let rest = below(path, &name)?.to_owned();
            Some(Preopened { name, dir, rights, inheriting, rest })
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

    fn preopens_with_rights(&self) -> Vec<(String, Arc<Dir>, [Rights; 2])> {
        let fds = self.fds();
        let preopened = |fd| {
            let descriptor = fds.get(fd).ok()?;
            let directory = descriptor.open.open.directory().ok()?;
            let name = absolute("/", directory.preopened_as.as_ref()?);
            let rights = [descriptor.rights, descriptor.inheriting];
            Some((name, Arc::clone(&directory.dir), rights))
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
