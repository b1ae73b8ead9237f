//! The working directory: a name that the guest keeps with the host.

use super::{Open, Process, unpoisoned};
use crate::error::Errno;
use crate::file::FileType;

impl Process {
    /// Makes `path` the working directory, where a preopened directory has it.
    ///
    /// # Errors
    ///
    /// `ENOENT` where no preopened directory has it, `ENOTDIR` where it is none.
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

    fn check_directory(&self, path: &str) -> Result<(), Errno> {
        let (dir, rest) = self.preopened(path).ok_or(Errno::ENOENT)?;
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
    fn preopened(&self, path: &str) -> Option<(std::sync::Arc<crate::file::Dir>, String)> {
        let fds = self.fds();
        let mut best: Option<(usize, std::sync::Arc<crate::file::Dir>, String)> = None;
        for fd in 3..fds.end() {
            let Ok(descriptor) = fds.get(fd) else { continue };
            let Open::Directory(directory) = &descriptor.open.open else { continue };
            let Some(name) = &directory.preopened_as else { continue };
            let name = absolute("/", name);
            let Some(rest) = below(path, &name) else { continue };
            if best.as_ref().is_none_or(|(length, ..)| name.len() > *length) {
                best = Some((name.len(), std::sync::Arc::clone(&directory.dir), rest.to_owned()));
            }
        }
        best.map(|(_, dir, rest)| (dir, rest))
    }
}

/// `path` seen from `from`, without `.` and `..`.
fn absolute(from: &str, path: &str) -> String {
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
fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
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
