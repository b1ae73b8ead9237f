//! What of the container's files the guest gets where the configuration does not say.
//!
//! The root to read, and each volume as it is mounted. A root that it may change would have the file in it that says
//! what the guest may do, or the place for one: it would be another policy after the next start.

use std::fs;
use std::path::{Path, PathBuf};

use wasock_cli::unescaped_mount_point;

/// What belongs to the system, below the root: processes, devices, the kernel.
const OF_THE_SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Something that is mounted in the container.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    is_writable: bool,
}

/// The flags that give the guest the container's files, but for changes in the directories that hold `policy`. With
/// `whole` it has the root as one directory.
pub(crate) fn flags(policy: &Path, whole: bool) -> Vec<String> {
    let read: Vec<PathBuf> = if whole { vec!["/".into()] } else { top_directories() };
    let mounts = fs::read("/proc/self/mountinfo").map(|text| parse(&text)).unwrap_or_default();
    let volumes = mounts.into_iter().filter(|mount| is_volume(mount, policy)).map(|mount| mount.point);
    let flag = |name: &str, path: &Path| {
        let path = path.to_str()?;
        // Two colons would end the name.
        (!path.contains("::")).then(|| format!("--{name}={path}"))
    };
    let read = read.iter().filter_map(|path| flag("dir-ro", path));
    read.chain(volumes.filter(|point| point.is_dir()).filter_map(|point| flag("dir", &point))).collect()
}

/// May the guest change what is there? Only what was mounted to be changed.
fn is_volume(mount: &Mount, policy: &Path) -> bool {
    let point = mount.point.as_path();
    let is_of_system = OF_THE_SYSTEM.iter().any(|of_system| point.starts_with(of_system));
    mount.is_writable && point != Path::new("/") && !is_of_system && !policy.starts_with(point)
}

/// The directories in the root, without what belongs to the system.
fn top_directories() -> Vec<PathBuf> {
    let entries = fs::read_dir("/").into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    // A link may lead to what belongs to the system.
    let is_other = |path: &PathBuf| {
        path.canonicalize()
            .is_ok_and(|path| !OF_THE_SYSTEM.iter().any(|of_system| path.starts_with(of_system)))
    };
    let mut paths: Vec<_> = paths.filter(is_other).collect();
    paths.sort();
    paths
}

/// Reads what proc_pid_mountinfo(5) describes; of several at one place the last one counts.
fn parse(text: &[u8]) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ').skip(4);
        let (Some(point), Some(options)) = (fields.next(), fields.next()) else { continue };
        let is_writable = options.split(|byte| *byte == b',').next() == Some(b"rw");
        let point = unescaped_mount_point(point);
        mounts.retain(|mount| mount.point != point);
        mounts.push(Mount { point, is_writable });
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_A_POD: &[u8] = b"\
        600 500 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/a\n\
        601 600 0:51 / /proc rw,nosuid - proc proc rw\n\
        602 600 0:52 / /dev rw,nosuid - tmpfs tmpfs rw\n\
        603 602 0:53 / /dev/shm rw - tmpfs shm rw\n\
        604 600 0:54 / /sys ro - sysfs sysfs ro\n\
        605 600 8:1 /hosts /etc/hosts rw - ext4 /dev/a rw\n\
        606 600 8:1 /pods/config /etc/wasock ro - ext4 /dev/a rw\n\
        607 600 0:55 / /run rw - tmpfs tmpfs rw\n\
        608 600 8:1 /volumes/a /data\\040here rw,noatime - ext4 /dev/a rw\n\
        609 600 8:1 /volumes/b /data\\040here ro - ext4 /dev/a rw\n";

    #[test]
    fn a_volume_is_what_was_mounted_to_be_changed() {
        let policy = Path::new("/etc/wasock/service.toml");
        let volumes = |text: &[u8]| -> Vec<PathBuf> {
            parse(text).into_iter().filter(|it| is_volume(it, policy)).map(|it| it.point).collect()
        };
        assert_eq!(volumes(IN_A_POD), [Path::new("/etc/hosts"), Path::new("/run")]);
        // A file is no directory: that is looked at later.
        let holds_the_policy = b"1 0 8:1 / /etc rw - ext4 /dev/a rw\n";
        assert!(volumes(holds_the_policy).is_empty());
        assert!(parse(b"garbage\n\n1 2").is_empty());
    }
}
