//! What a run needs of the file system and of TCP.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::ports::{self, Ports};
use crate::admin::{self, AdminAddress};
use crate::args::RunArgs;
use crate::cache;

/// Where the system tells of this process and its machine. All of `/proc`: a rule for one process's folder is lost
/// when the kernel forgets the folder and makes it anew. What is there of other processes is
/// kept from a process behind a wall.
const OF_THE_SYSTEM: [&str; 3] = ["/proc", "/sys/fs/cgroup", "/sys/devices/system"];

const RANDOM: [&str; 2] = ["/dev/random", "/dev/urandom"];

/// What the system's resolver reads, and the libraries that it loads for that.
const OF_THE_RESOLVER: [&str; 12] = [
    "/etc",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/nscd",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
];

/// Files of it that may be links to elsewhere.
const RESOLVER_FILES: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"];

/// What may be done below a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathAccess {
    Read,
    /// Of a file that is there.
    ReadWrite,
    /// Making sockets, removing what is there, and seeing what that is.
    Sockets,
    /// Making files, and putting them in the place of others.
    Files,
    /// All that a guest may do in its directories.
    Directory,
}

impl PathAccess {
    /// As the kernel has them. Nothing is executed.
    pub(super) fn rights(self) -> BitFlags<AccessFs> {
        let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
        let files = read
            | make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | RemoveFile | MakeDir | RemoveDir | Refer});
        match self {
            Self::Read => read,
            Self::ReadWrite => make_bitflags!(AccessFs::{ReadFile | WriteFile}),
            Self::Sockets => make_bitflags!(AccessFs::{MakeSock | RemoveFile | ReadDir}),
            Self::Files => files,
            Self::Directory => files | make_bitflags!(AccessFs::{MakeSock | MakeSym}),
        }
    }
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(super) paths: BTreeSet<(PathBuf, PathAccess)>,
    /// The ports that sockets of TCP may be bound to.
    pub(super) binds: Ports,
    /// Those that they may connect to.
    pub(super) connects: Ports,
    /// Where the host keeps compiled modules.
    cache: Option<PathBuf>,
}

impl Plan {
    /// What `args` need.
    pub(crate) fn of(args: &RunArgs) -> Self {
        let cache = cache::directory(args);
        let mut paths = BTreeSet::new();
        let mut add = |path: &Path, access| {
            paths.insert((path.to_owned(), access));
        };
        OF_THE_SYSTEM.iter().chain(&RANDOM).for_each(|path| add(path.as_ref(), PathAccess::Read));
        add("/dev/null".as_ref(), PathAccess::ReadWrite);
        // For the names of functions in a backtrace of the host's.
        if let Ok(program) = std::env::current_exe() {
            add(&program, PathAccess::Read);
        }
        if let Some(cache) = &cache {
            add(cache, PathAccess::Files);
        }
        if ports::looks_names_up(args) {
            OF_THE_RESOLVER.iter().for_each(|path| add(path.as_ref(), PathAccess::Read));
            RESOLVER_FILES
                .iter()
                .filter_map(|file| folder_of_target(file))
                .for_each(|path| add(&path, PathAccess::Read));
        }
        for (directories, access) in [(&args.dir, PathAccess::Directory), (&args.dir_ro, PathAccess::Read)] {
            directories.iter().for_each(|directory| add(&directory.host, access));
        }
        args.processes.exec.iter().for_each(|executable| add(&executable.host, PathAccess::Read));
        for path in ports::host_sockets(args) {
            add(folder(path), PathAccess::Sockets);
        }
        if let Some(AdminAddress::Inet(address)) = &args.admin.admin {
            let default = admin::default_token_path(*address);
            let token = args.admin.admin_token_file.clone().or(default);
            token.iter().for_each(|token| add(folder(token), PathAccess::Files));
        }
        args.learn.iter().for_each(|file| add(folder(file), PathAccess::Files));
        for file in read_files(args) {
            if is_reloaded(args) {
                folders_on_the_way(file).iter().for_each(|folder| add(folder, PathAccess::Read));
            } else {
                add(file, PathAccess::Read);
            }
        }
        Self { paths, binds: ports::binds(args), connects: ports::connects(args), cache }
    }

    /// Makes what is to be there before the wall is.
    pub(super) fn prepare(&self) {
        if let Some(cache) = &self.cache {
            // A home that can't be written to costs time, not the run.
            fs::DirBuilder::new().recursive(true).mode(0o700).create(cache).ok();
        }
    }

    /// Does the service manager listen at a name outside of the file system?
    pub(super) fn has_abstract_peer(&self) -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some_and(|name| name.as_bytes().starts_with(b"@"))
    }

    /// What of `other` is not a part of this one.
    pub(super) fn lacks(&self, other: &Self) -> Option<String> {
        let covers = |path: &Path, access: PathAccess| {
            let Ok(path) = fs::canonicalize(path) else { return true };
            self.paths.iter().any(|(own, rights)| {
                rights.rights().contains(access.rights())
                    && fs::canonicalize(own).is_ok_and(|own| path.starts_with(own))
            })
        };
        let path = other.paths.iter().find(|(path, access)| !covers(path, *access));
        let port = |own: &Ports, other: &Ports| match (own, other) {
            (None, _) => None,
            (Some(_), None) => Some("any port".to_owned()),
            (Some(own), Some(other)) => other.difference(own).next().map(|port| format!("port {port}")),
        };
        path.map(|(path, _)| path.display().to_string())
            .or_else(|| port(&self.binds, &other.binds))
            .or_else(|| port(&self.connects, &other.connects))
    }
}

/// What the wall keeps to.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (binds, connects) = (ports::described(&self.binds), ports::described(&self.connects));
        write!(f, "landlock, where the kernel has it: files; TCP bind to {binds}; TCP connect to {connects}")
    }
}

/// Is there a way to order a reload?
fn is_reloaded(args: &RunArgs) -> bool {
    args.service.is_reloaded() || args.admin.admin.is_some()
}

/// The files that are read again at a reload.
fn read_files(args: &RunArgs) -> impl Iterator<Item = &Path> {
    let module = args.command.first().map(Path::new);
    let variables = args.env_file.iter().map(|file| file.path.as_path());
    module.into_iter().chain(args.config.as_deref()).chain(variables)
}

/// The directory in which a file lies by its path: its own, whatever is put in its place later.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != OsStr::new("") => parent,
        _ => Path::new("."),
    }
}

/// The directory of a file, and that of each symbolic link on the way to it: a link may lead to a sibling
/// later, as `current` does to the newest release. Never the root.
fn folders_on_the_way(path: &Path) -> Vec<PathBuf> {
    let links = path.ancestors().filter(|part| part.is_symlink());
    let folders = links.map(folder).chain([folder(path)]).map(Path::to_owned);
    let target = fs::canonicalize(path).ok().and_then(|target| target.parent().map(Path::to_owned));
    folders.chain(target).filter(|folder| folder != Path::new("/")).collect()
}

/// The directory of what the link `file` leads to.
fn folder_of_target(file: &str) -> Option<PathBuf> {
    let target = fs::canonicalize(file).ok()?;
    target.parent().filter(|folder| *folder != Path::new("/")).map(Path::to_owned)
}
