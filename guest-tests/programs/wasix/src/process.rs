//! Processes: to start one, to wait for one, to become another program.

use crate::raw::wasix as raw;
use crate::{Fd, Result, address_of, address_of_mut, outcome};

pub const NON_BLOCKING: u32 = 1;

/// The tags of how a child has ended.
pub const NOTHING: u8 = 0;
pub const EXITED: u8 = 1;
pub const SIGNALLED: u8 = 2;

/// What is to be done with a descriptor of a child before its program begins.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FdOp {
    pub cmd: u8,
    pub fd: Fd,
    pub src_fd: Fd,
    pub path: u32,
    pub path_len: u32,
    pub dirflags: u32,
    pub oflags: u16,
    pub rights: u64,
    pub inheriting: u64,
    pub fdflags: u16,
    pub fdflagsext: u16,
}

impl FdOp {
    pub fn close(fd: Fd) -> Self {
        Self { cmd: 0, fd, ..Self::default() }
    }

    pub fn dup2(src_fd: Fd, fd: Fd) -> Self {
        Self { cmd: 1, fd, src_fd, ..Self::default() }
    }

    pub fn open(fd: Fd, path: &'static str, oflags: u16, rights: u64) -> Self {
        let (path, path_len) = (address_of(path.as_bytes()), path.len() as u32);
        Self { cmd: 2, fd, path, path_len, dirflags: 1, oflags, rights, ..Self::default() }
    }

    pub fn chdir(path: &'static str) -> Self {
        Self { cmd: 3, path: address_of(path.as_bytes()), path_len: path.len() as u32, ..Self::default() }
    }

    pub fn fchdir(fd: Fd) -> Self {
        Self { cmd: 4, fd, ..Self::default() }
    }
}

/// What a program is started with.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    pub name: &'a str,
    pub args: &'a [&'a str],
    /// `None` for a null pointer.
    pub envs: Option<&'a [&'a str]>,
    pub ops: &'a [FdOp],
    /// Signals, each with 1 for ignored and 0 for the default action.
    pub dispositions: &'a [[u8; 2]],
    /// Where to search: `None` for not at all, an empty path for the usual places.
    pub search: Option<&'a str>,
}

impl<'a> Start<'a> {
    /// The program with this path, with these arguments, its name among them.
    pub fn of(name: &'a str, args: &'a [&'a str]) -> Self {
        Self { name, args, envs: None, ops: &[], dispositions: &[], search: None }
    }

    /// Where it is searched for: whether, the pointer, the length.
    fn path(&self) -> (u32, u32, u32) {
        match self.search {
            None => (0, 0, 0),
            Some("") => (1, 0, 0),
            Some(path) => (1, address_of(path.as_bytes()), path.len() as u32),
        }
    }

    /// Strings by lines.
    pub fn spawn(&self) -> Result<u32> {
        let (args, envs) = (lines(self.args), self.envs.map(lines));
        let (envs, envs_len) = pair(envs.as_deref());
        let (search, path, path_len) = self.path();
        let mut pid = u32::MAX;
        outcome(unsafe {
            raw::proc_spawn2(
                address_of(self.name.as_bytes()),
                self.name.len() as u32,
                address_of(args.as_bytes()),
                args.len() as u32,
                envs,
                envs_len,
                address_of(self.ops),
                self.ops.len() as u32,
                address_of(self.dispositions),
                self.dispositions.len() as u32,
                search,
                path,
                path_len,
                address_of_mut(&mut pid),
            )
        })?;
        Ok(pid)
    }

    /// Strings by pointers.
    pub fn spawn_by_pointers(&self) -> Result<u32> {
        let (args, envs) = (Pointers::of(self.args), self.envs.map(Pointers::of));
        let (envs, envs_count) = envs.as_ref().map_or((0, 0), Pointers::pair);
        let (args, args_count) = args.pair();
        let (search, path, path_len) = self.path();
        let mut pid = u32::MAX;
        outcome(unsafe {
            raw::proc_spawn3(
                address_of(self.name.as_bytes()),
                self.name.len() as u32,
                args,
                args_count,
                envs,
                envs_count,
                address_of(self.ops),
                self.ops.len() as u32,
                address_of(self.dispositions),
                self.dispositions.len() as u32,
                search,
                path,
                path_len,
                address_of_mut(&mut pid),
            )
        })?;
        Ok(pid)
    }

    /// Returns where it fails, and in the parent of a child in the same memory.
    pub fn exec(&self) -> Result<()> {
        let (args, envs) = (lines(self.args), self.envs.map(lines));
        let (envs, envs_len) = pair(envs.as_deref());
        let (search, path, path_len) = self.path();
        outcome(unsafe {
            raw::proc_exec3(
                address_of(self.name.as_bytes()),
                self.name.len() as u32,
                address_of(args.as_bytes()),
                args.len() as u32,
                envs,
                envs_len,
                search,
                path,
                path_len,
            )
        })
    }

    /// As [`exec`](Self::exec), strings by pointers.
    pub fn exec_by_pointers(&self) -> Result<()> {
        let (args, envs) = (Pointers::of(self.args), self.envs.map(Pointers::of));
        let (envs, envs_count) = envs.as_ref().map_or((0, 0), Pointers::pair);
        let (args, args_count) = args.pair();
        let (search, path, path_len) = self.path();
        outcome(unsafe {
            raw::proc_exec4(
                address_of(self.name.as_bytes()),
                self.name.len() as u32,
                args,
                args_count,
                envs,
                envs_count,
                search,
                path,
                path_len,
            )
        })
    }
}

/// Each string, followed by a line feed.
fn lines(strings: &[&str]) -> String {
    strings.iter().flat_map(|string| [*string, "\n"]).collect()
}

fn pair(string: Option<&str>) -> (u32, u32) {
    string.map_or((0, 0), |string| (address_of(string.as_bytes()), string.len() as u32))
}

/// Strings that end with a NUL, and pointers to them.
struct Pointers {
    _strings: Vec<String>,
    pointers: Vec<u32>,
}

impl Pointers {
    fn of(strings: &[&str]) -> Self {
        let strings: Vec<_> = strings.iter().map(|string| format!("{string}\0")).collect();
        let pointers = strings.iter().map(|string| address_of(string.as_bytes())).collect();
        Self { _strings: strings, pointers }
    }

    fn pair(&self) -> (u32, u32) {
        (address_of(&self.pointers[..]), self.pointers.len() as u32)
    }
}

/// How a child has ended, or that none has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The child; nothing where there was none to be found.
    pub pid: Option<u32>,
    pub tag: u8,
    pub code: u16,
    pub signal: u8,
}

impl Ended {
    pub fn exited(pid: u32, code: u16) -> Self {
        Self { pid: Some(pid), tag: EXITED, code, signal: 0 }
    }

    pub fn signalled(pid: u32, signal: u32) -> Self {
        Self { pid: Some(pid), tag: SIGNALLED, code: 0, signal: signal as u8 }
    }
}

/// Waits for `which`, or for any child.
pub fn wait(which: Option<u32>, flags: u32) -> Result<Ended> {
    let mut option = [u32::from(which.is_some()), which.unwrap_or(0)];
    let mut status = [0xaa_u8; 6];
    let (option_at, status_at) = (address_of_mut(&mut option), address_of_mut(&mut status));
    outcome(unsafe { raw::proc_join(option_at, flags, status_at) })?;
    let code = u16::from_le_bytes([status[2], status[3]]);
    let pid = (option[0] & 0xff == 1).then_some(option[1]);
    Ok(Ended { pid, tag: status[0], code, signal: status[4] })
}

/// The number of this process.
pub fn id() -> u32 {
    let mut pid = u32::MAX;
    crate::check_ok!(outcome(unsafe { raw::proc_id(address_of_mut(&mut pid)) }));
    pid
}

pub fn parent(pid: u32) -> Result<u32> {
    let mut parent = u32::MAX;
    outcome(unsafe { raw::proc_parent(pid, address_of_mut(&mut parent)) })?;
    Ok(parent)
}

pub fn thread_id() -> u32 {
    let mut tid = u32::MAX;
    crate::check_ok!(outcome(unsafe { raw::thread_id(address_of_mut(&mut tid)) }));
    tid
}

/// Begins a child in this memory.
pub fn fork_env() -> Result<u32> {
    let mut pid = u32::MAX;
    outcome(unsafe { raw::proc_fork_env(address_of_mut(&mut pid)) })?;
    Ok(pid)
}
