//! What is left of containers: processes, mounts, sockets, control groups, folders.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::host::Host;

/// Where shims have their sockets, and where the state of containers is, whichever containerd it is.
const SOCKETS: &str = "/run/containerd/s";
const STATE: &str = "/run/containerd/wasock";

/// Where the control groups are.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Everything that is there of the containers of `host`.
pub(crate) fn of(host: &Host) -> Result<Vec<String>> {
    let mut left: Vec<String> =
        processes(host)?.into_iter().map(|(pid, line)| format!("process {pid}: {line}")).collect();
    left.extend(mounts(host)?.iter().map(|path| format!("mount {}", path.display())));
    left.extend(sockets(host)?.iter().map(|path| format!("socket {}", path.display())));
    left.extend(below(&state(host)).iter().map(|path| format!("state {}", path.display())));
    for group in groups(host) {
        left.extend(
            below(&group).iter().filter(|path| path.is_dir()).map(|path| format!("group {}", path.display())),
        );
    }
    Ok(left)
}

/// The shims of `host` and the processes of its containers, by what their command lines say.
pub(crate) fn processes(host: &Host) -> Result<BTreeMap<u32, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // Gone meanwhile.
        let Ok(line) = fs::read(path.join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let group = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        let address = host.address();
        // `ctr` has the address, too.
        let is_shim = line.contains(&*address.to_string_lossy()) && !line.starts_with("ctr ");
        if is_shim || group.lines().any(|line| line.contains(&format!("/{}/", host.namespace()))) {
            found.insert(pid, line);
        }
    }
    Ok(found)
}

/// What is mounted below the folder of `host`, the deepest first.
fn mounts(host: &Host) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let places = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut mounts: Vec<_> = places.filter(|place| place.starts_with(host.folder())).collect();
    mounts.sort_by_key(|place| std::cmp::Reverse(place.components().count()));
    Ok(mounts)
}

/// The sockets of shims that the bundles of `host` name. They are in one folder for all, under names that are sums.
fn sockets(host: &Host) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for bundle in below(&host.folder().join("state/io.containerd.runtime.v2.task").join(host.namespace())) {
        if let Some(socket) = socket_of(&bundle)? {
            found.extend(Some(socket).filter(|socket| socket.exists()));
        }
    }
    Ok(found)
}

/// The socket of the shim of a bundle.
pub(crate) fn socket_of(bundle: &Path) -> Result<Option<PathBuf>> {
    let Ok(address) = fs::read_to_string(bundle.join("address")) else { return Ok(None) };
    Ok(address.strip_prefix("unix://").map(PathBuf::from).filter(|path| path.starts_with(SOCKETS)))
}

fn state(host: &Host) -> PathBuf {
    Path::new(STATE).join(host.namespace())
}

/// The control groups of the namespace, one of each hierarchy.
fn groups(host: &Host) -> Vec<PathBuf> {
    let hierarchies = below(Path::new(CGROUPS));
    let own = hierarchies.iter().map(|hierarchy| hierarchy.join(host.namespace()));
    own.chain([Path::new(CGROUPS).join(host.namespace())]).filter(|group| group.is_dir()).collect()
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Removes the sockets at which nobody answers any more: of shims whose tests were killed.
pub(crate) fn sweep() {
    for socket in below(Path::new(SOCKETS)) {
        // One that is just being made has nobody there either.
        let age = fs::metadata(&socket).and_then(|found| found.modified()).map(|at| at.elapsed());
        let is_old = age.is_ok_and(|age| age.is_ok_and(|age| age > Duration::from_secs(10 * 60)));
        if is_old
            && UnixStream::connect(&socket).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        {
            let _gone = fs::remove_file(socket);
        }
    }
}

/// Removes what is left.
pub(crate) fn clean(host: &Host) -> Result<()> {
    for socket in sockets(host)? {
        let _gone = fs::remove_file(socket);
    }
    for place in mounts(host)? {
        let _gone = Command::new("umount").arg("--lazy").arg(&place).output();
    }
    let _gone = fs::remove_dir_all(state(host));
    for group in groups(host) {
        for inner in below(&group) {
            let _gone = fs::remove_dir(inner);
        }
        let _gone = fs::remove_dir(group);
    }
    Ok(())
}
