//! What a shim that was killed leaves behind, and containerd has its successor delete: the process of the container, its
//! control groups, the state that the container's crate keeps, the socket of the shim.
//!
//! The crate itself leaves all of that.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::bundle;

/// Where the crate keeps the state of containers: by namespace, then by name.
const STATES: &str = "/run/containerd/wasock";

/// Where control groups are: of the second version, and in folders of controllers those of the first.
const GROUPS: &str = "/sys/fs/cgroup";

/// Where shims have their sockets, and the file in the working directory that names the one of this container's.
const SOCKETS: &str = "/run/containerd/s";
const ADDRESS: &str = "address";

/// How long a killed process may take to be gone.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The order of containerd's by which a shim deletes.
const DELETE: &str = "delete";

/// A container, as containerd names it.
struct Named {
    namespace: String,
    id: String,
}

/// The part of the crate's state that is of use.
#[derive(Deserialize)]
struct State {
    pid: Option<i32>,
}

/// Deletes what is left of the container that `arguments` name, if they are containerd's order to delete.
pub(crate) fn delete(arguments: &[String]) {
    let Some(Named { namespace, id }) = Named::to_be_deleted(arguments) else { return };
    let state = Path::new(STATES).join(&namespace).join(&id);
    // The number may be another process's by now.
    if let Some(pid) = pid_in(&state).filter(|pid| is_in_group(*pid, &id)) {
        kill(pid);
    }
    bundle::control_group().into_iter().flat_map(|group| places_of(&group)).for_each(|place| remove(&place));
    // Where there is none, the container was deleted.
    let _gone = fs::remove_dir_all(state);
    if let Some(socket) = socket_of(&fs::read_to_string(ADDRESS).unwrap_or_default()) {
        remove_socket(&socket);
    }
}

/// The process of a container, as the crate's state has it.
pub(crate) fn process_of(namespace: &str, id: &str) -> Option<u32> {
    let are_names = [namespace, id].iter().all(|name| is_name(name));
    let pid = are_names.then(|| pid_in(&Path::new(STATES).join(namespace).join(id)))?;
    u32::try_from(pid?.as_raw_nonzero().get()).ok()
}

fn pid_in(state: &Path) -> Option<Pid> {
    let text = fs::read(state.join("state.json")).ok()?;
    Pid::from_raw(serde_json::from_slice::<State>(&text).ok()?.pid?)
}

/// Can it be the name of a folder?
fn is_name(name: &str) -> bool {
    !name.contains('/') && !["", ".", ".."].contains(&name)
}

/// The socket that an address names, if that is one of a shim's.
fn socket_of(address: &str) -> Option<PathBuf> {
    let path = Path::new(address.trim().strip_prefix("unix://")?);
    (path.parent() == Some(Path::new(SOCKETS))).then(|| path.to_owned())
}

/// Removes the socket of a shim that is gone. Containers of one pod share a shim, which may serve another one.
fn remove_socket(socket: &Path) {
    if UnixStream::connect(socket).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
        let _gone = fs::remove_file(socket);
    }
}

impl Named {
    /// The container that is to be deleted: "the shim binary will be called with … `delete`" - containerd,
    /// `runtime/v2/README.md`
    fn to_be_deleted(arguments: &[String]) -> Option<Self> {
        if arguments.last().is_none_or(|order| order != DELETE) {
            return None;
        }
        let value = |flag: &str| {
            let place = arguments.iter().position(|argument| argument.trim_start_matches('-') == flag)?;
            arguments.get(place + 1).filter(|name| is_name(name)).cloned()
        };
        Some(Self { namespace: value("namespace")?, id: value("id")? })
    }
}

/// Is the process in a control group of the container `id`?
fn is_in_group(pid: Pid, id: &str) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    groups.lines().any(|line| line.ends_with(id))
}

/// Kills a process, which is none of this one's children, and waits until it is gone.
fn kill(pid: Pid) {
    let _gone = kill_process(pid, Signal::KILL);
    let begun = Instant::now();
    while is_running(pid) && begun.elapsed() < WAIT_TIMEOUT {
        thread::sleep(Duration::from_millis(5));
    }
}

/// One that is dead and that nobody has asked after is not.
fn is_running(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}

/// Where the control group `group` may be. A name of systemd's is for systemd.
fn places_of(group: &str) -> Vec<PathBuf> {
    let name = group.trim_start_matches('/');
    if name.is_empty() || name.contains(':') || name.split('/').any(|part| part == "..") {
        return Vec::new();
    }
    let controllers =
        fs::read_dir(GROUPS).into_iter().flatten().flatten().map(|entry| entry.path().join(name));
    std::iter::once(Path::new(GROUPS).join(name)).chain(controllers).filter(|place| place.is_dir()).collect()
}

/// Removes a control group; one that has just been left may be busy for a moment.
fn remove(group: &Path) {
    let begun = Instant::now();
    while fs::remove_dir(group).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy)
        && begun.elapsed() < WAIT_TIMEOUT
    {
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(arguments: &[&str]) -> Option<(String, String)> {
        let arguments: Vec<_> = arguments.iter().copied().map(str::to_owned).collect();
        Named::to_be_deleted(&arguments).map(|named| (named.namespace, named.id))
    }

    #[test]
    fn only_the_order_to_delete_deletes() {
        let order =
            ["shim", "-namespace", "k8s.io", "-address", "/a.sock", "-id", "web", "-bundle", "/b", "delete"];
        assert_eq!(named(&order), Some(("k8s.io".to_owned(), "web".to_owned())));
        assert_eq!(named(&["shim", "-namespace", "k8s.io", "-id", "delete", "start"]), None);
        assert_eq!(named(&["shim", "-namespace", "k8s.io", "-id", "../x", "delete"]), None);
        assert_eq!(named(&["shim", "-id", "web", "delete"]), None);
        assert_eq!(named(&[]), None);
    }

    #[test]
    fn a_socket_is_one_of_a_shims() {
        let expected = Path::new("/run/containerd/s/0123abc");
        assert_eq!(socket_of("unix:///run/containerd/s/0123abc\n").as_deref(), Some(expected));
        for none in [
            "",
            "unix:///run/containerd/containerd.sock",
            "/run/containerd/s/a",
            "unix:///run/containerd/s/../a",
        ] {
            assert_eq!(socket_of(none), None, "{none}");
        }
    }

    #[test]
    fn a_socket_at_which_somebody_answers_stays() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path)?;
        remove_socket(&path);
        assert!(path.exists());
        drop(listener);
        remove_socket(&path);
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn this_process_runs() {
        assert!(is_running(rustix::process::getpid()));
    }

    #[test]
    fn a_control_group_is_below_those_of_the_machine() {
        for none in ["", "/", "system.slice:cri:abc", "/../../etc", "/no/such/group"] {
            assert!(places_of(none).is_empty(), "{none}");
        }
    }
}
