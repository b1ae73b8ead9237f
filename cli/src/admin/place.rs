//! Where the host's own sockets and its token lie: not where a guest could put others in their place.

use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rustix::fs::StatVfsMountFlags;

use super::AdminAddress;
use crate::args::RunArgs;
use crate::manager;

/// A file of the host's own.
struct OwnFile {
    path: PathBuf,
    /// As the operator named it.
    name: String,
    /// May nobody read it either?
    is_secret: bool,
}

/// Could a guest with these directories put another file in the place of one of the host's own: the admin
/// socket, that of the service manager, the token? Could it read the token?
///
/// # Errors
///
/// If so.
pub(crate) fn check_directories(args: &RunArgs) -> Result<()> {
    if args.dir.is_empty() && args.dir_ro.is_empty() {
        return Ok(());
    }
    let mounts = Mounts::read();
    for own in own_files(args) {
        let folders = folders_on_the_way(&own.path);
        let names: Vec<_> = folders.iter().flat_map(|folder| mounts.names_of(folder)).collect();
        let has = |tree: &Path| is_in(tree, &folders) || names.iter().any(|name| name.starts_with(tree));
        for (directories, is_changed) in [(&args.dir, true), (&args.dir_ro, false)] {
            for directory in directories.iter().filter(|_| is_changed || own.is_secret) {
                // Where there is none, none is opened.
                let Ok(tree) = directory.host.canonicalize() else { continue };
                let (name, host) = (&own.name, directory.host.display());
                match is_changed {
                    _ if !has(&tree) => {}
                    true => bail!(
                        "{name} is in a directory that the guest may change (--dir {host}): it could put another \
                         one there"
                    ),
                    false => bail!("{name} is in a directory that the guest may read (--dir-ro {host})"),
                }
            }
        }
    }
    Ok(())
}

fn own_files(args: &RunArgs) -> Vec<OwnFile> {
    let mut own = Vec::new();
    match &args.admin.admin {
        Some(AdminAddress::Unix(path)) => {
            let name = format!("--admin unix:{}", path.display());
            own.push(OwnFile { path: path.clone(), name, is_secret: false });
        }
        Some(AdminAddress::Inet(address)) => {
            let path = args.admin.admin_token_file.clone().or_else(|| super::default_token_path(*address));
            own.extend(path.map(|path| {
                let name = format!("the token {} (--admin-token-file)", path.display());
                OwnFile { path, name, is_secret: true }
            }));
        }
        None => {}
    }
    // What the maker of this run reads again at the next start: what stands on a read-only mount stays as it is.
    if let Some(path) = args.config.as_ref().filter(|path| args.terms.is_some() && !is_on_read_only(path)) {
        own.push(OwnFile {
            path: path.clone(),
            name: format!("the file {}", path.display()),
            is_secret: false,
        });
    }
    own.extend(manager::socket().map(|path| {
        let name = format!("the service manager's socket {} (NOTIFY_SOCKET)", path.display());
        OwnFile { path, name, is_secret: false }
    }));
    own
}

fn is_on_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Is one of these directories the directory `tree`, or in it?
fn is_in(tree: &Path, folders: &[PathBuf]) -> bool {
    let Some(tree) = identity(tree) else { return false };
    folders.iter().flat_map(|folder| folder.ancestors()).any(|folder| identity(folder) == Some(tree))
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    fs::metadata(folder).ok().map(|found| (found.dev(), found.ino()))
}

/// How many symbolic links are followed: as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// The directories in which a name of `path` is looked up, those of links on the way included.
fn folders_on_the_way(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut links = 0;
    let mut waiting: Vec<PathBuf> = std::path::absolute(path).into_iter().collect();
    while let Some(path) = waiting.pop() {
        for part in path.ancestors() {
            let Some(folder) = part.parent() else { continue };
            folders.extend(folder.canonicalize());
            if let Ok(target) = fs::read_link(part)
                && links < MOST_LINKS
            {
                links += 1;
                waiting.push(folder.join(target));
            }
        }
    }
    folders.sort();
    folders.dedup();
    folders
}

/// What is mounted where. A directory may have several names by that.
struct Mounts(Vec<Mount>);

struct Mount {
    device: Vec<u8>,
    /// Which directory of the device's file system it shows.
    root: PathBuf,
    point: PathBuf,
}

impl Mounts {
    /// Those of this process; none where the system does not say.
    fn read() -> Self {
        const LARGEST: u64 = 1 << 24;
        let mut text = Vec::new();
        let read =
            fs::File::open("/proc/self/mountinfo").and_then(|file| file.take(LARGEST).read_to_end(&mut text));
        if read.is_err() {
            text.clear();
        }
        Self::parse(&text)
    }

    /// Reads what proc_pid_mountinfo(5) describes.
    fn parse(text: &[u8]) -> Self {
        let mount = |line: &[u8]| {
            let mut fields = line.split(|byte| *byte == b' ').skip(2);
            let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
            Some(Mount {
                device: device.to_vec(),
                root: unescaped_mount_point(root),
                point: unescaped_mount_point(point),
            })
        };
        Self(text.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// The other names of the directory `folder`, which has no link in its own.
    fn names_of(&self, folder: &Path) -> Vec<PathBuf> {
        let has_it = self.0.iter().filter(|mount| folder.starts_with(&mount.point));
        // Of several at one place the last one covers the others.
        let Some(own) = has_it.max_by_key(|mount| mount.point.components().count()) else {
            return Vec::new();
        };
        let Ok(rest) = folder.strip_prefix(&own.point) else { return Vec::new() };
        let there = own.root.join(rest);
        let shown = self.0.iter().filter(|mount| mount.device == own.device);
        shown.filter_map(|mount| Some(mount.point.join(there.strip_prefix(&mount.root).ok()?))).collect()
    }
}

/// A path of proc_pid_mountinfo(5), in which a space, for one, is `\040`.
pub fn unescaped_mount_point(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                path.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => {
                path.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_a_name_by_each_mount_that_shows_it() {
        let mounts = Mounts::parse(
            b"22 1 8:1 / / rw shared:1 - ext4 /dev/a rw\n\
              23 22 8:1 /srv/a\\040b /mnt rw - ext4 /dev/a rw\n\
              24 22 0:30 / /run rw - tmpfs tmpfs rw\n\
              25 22 0:30 /web /guest/run rw - tmpfs tmpfs rw\n",
        );
        let names = |folder: &str| mounts.names_of(folder.as_ref());
        assert_eq!(names("/srv/a b/c"), [Path::new("/srv/a b/c"), Path::new("/mnt/c")]);
        assert_eq!(names("/mnt"), [Path::new("/srv/a b"), Path::new("/mnt")]);
        assert_eq!(names("/run/web/x"), [Path::new("/run/web/x"), Path::new("/guest/run/x")]);
        assert_eq!(names("/run"), [Path::new("/run")]);
    }

    #[test]
    fn the_directory_of_each_link_is_on_the_way() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let top = folder.path().canonicalize()?;
        let [one, two] = ["one", "two"].map(|name| top.join(name));
        fs::create_dir(&one)?;
        fs::create_dir(&two)?;
        std::os::unix::fs::symlink("../two", one.join("link"))?;
        let found = folders_on_the_way(&one.join("link/admin.sock"));
        assert!([&one, &two, &top].iter().all(|it| found.contains(it)), "{found:?}");
        assert!(is_in(&one, &found) && is_in(&two, &found) && is_in(&top, &found));
        assert!(!is_in(&one, &folders_on_the_way(&two.join("admin.sock"))));
        // One that leads to itself ends.
        std::os::unix::fs::symlink("round", one.join("round"))?;
        assert!(folders_on_the_way(&one.join("round/x")).contains(&one));
        Ok(())
    }
}
