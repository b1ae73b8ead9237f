//! Which generation of WASIX a program is of.

use std::fmt;

use super::MODULE;
use crate::abi::detect::Import;
use crate::abi::interface::{ImportItem, Interface};
use crate::abi::table::Function;

/// From where the second generation has what preview 1 has.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// The generation of WASIX. There is no version in a module; its imports tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WasixGeneration {
    /// May 2022 to March 2023.
    V1,
    /// March to May 2023: `proc_join` has three parameters.
    V1Late,
    /// May 2023 on.
    V2,
    /// The second with functions that came later; [`Detected::since`](crate::abi::Detected::since) says when.
    V2Later,
}

impl fmt::Display for WasixGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "1 (May 2022 to March 2023)",
            Self::V1Late => "1, late (March to May 2023)",
            Self::V2 => "2 (since May 2023)",
            Self::V2Later => "2 with additions",
        })
    }
}

impl WasixGeneration {
    /// Is it the first, late or not?
    pub fn is_first(self) -> bool {
        matches!(self, Self::V1 | Self::V1Late)
    }

    /// Its name in a linker: what came to it later has names of its own.
    pub(in crate::abi) fn linkage(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V1Late => "1, late",
            Self::V2 | Self::V2Later => "2",
        }
    }
}

/// What came to the second generation later, in this order.
const ADDITIONS: &[(&str, &[&str])] = &[
    ("June 2023", &["epoll_create", "epoll_ctl", "epoll_wait"]),
    ("May 2024", &["proc_exec2"]),
    (
        "February 2025",
        &[
            "fd_dup2",
            "fd_fdflags_get",
            "fd_fdflags_set",
            "path_open2",
            "proc_exec3",
            "proc_signals_get",
            "proc_signals_sizes_get",
            "proc_spawn2",
            "sock_pair",
        ],
    ),
    ("May 2025", &["dl_invalid_handle", "dlopen", "dlsym"]),
    ("June 2025", &["call_dynamic", "closure_allocate", "closure_free", "closure_prepare"]),
    ("July 2025", &["reflect_signature"]),
    ("June 2026", &["sock_recv_msg", "sock_send_msg"]),
];

/// Which of the additions `name` is of.
fn addition(name: &str) -> Option<usize> {
    ADDITIONS.iter().position(|(_, names)| names.contains(&name))
}

/// The month in which WASIX got the function `name`, where that was after its second
/// generation began.
pub fn added_in(name: &str) -> Option<&'static str> {
    addition(name).and_then(|index| ADDITIONS.get(index)).map(|(month, _)| *month)
}

/// The generation, and the import that told it: a function that only one of them has;
/// without any, the module from which preview 1's names come.
pub(super) fn of(interface: &Interface) -> (WasixGeneration, Option<Import>) {
    let first = |is: fn(&str, &str, usize) -> bool| {
        let is_it = |item: &&ImportItem| {
            let params = item.signature().map(|ty| ty.params.len());
            params.is_some_and(|params| is(&item.import.module, &item.import.name, params))
        };
        interface.imports.iter().find(is_it).map(|item| item.import.clone())
    };
    let of_wasix = interface.imports.iter().map(|item| &item.import).filter(|import| import.module == MODULE);
    let latest = of_wasix.max_by_key(|import| addition(&import.name));
    if let Some(latest) = latest.filter(|import| addition(&import.name).is_some()) {
        return (WasixGeneration::V2Later, Some(latest.clone()));
    }
    if let Some(told_by) = first(is_only_v2) {
        return (WasixGeneration::V2, Some(told_by));
    }
    let of_wasix = || match first(|module, _, _| module == PREVIEW1) {
        None => first(is_preview1_of_wasix),
        Some(_) => None,
    };
    let Some(told_by) = first(is_only_v1).or_else(of_wasix) else { return (WasixGeneration::V2, None) };
    match first(is_proc_join_of_three) {
        Some(join) => (WasixGeneration::V1Late, Some(join)),
        None => (WasixGeneration::V1, Some(told_by)),
    }
}

/// Without the [`ADDITIONS`].
fn is_only_v2(module: &str, name: &str, params: usize) -> bool {
    match (module, name) {
        (_, "thread-spawn") => true,
        // Today's reference host has the old name with the new type.
        (MODULE, "thread_spawn") => params == 2,
        (MODULE, "thread_spawn_v2" | "sock_accept_v2") => true,
        (MODULE, "proc_exec4" | "proc_exit2" | "proc_fork_env" | "proc_spawn3") => true,
        (MODULE, name) => name.starts_with("context_"),
        _ => false,
    }
}

fn is_only_v1(module: &str, name: &str, params: usize) -> bool {
    match (module, name) {
        (MODULE, "thread_spawn") => params == 5,
        (MODULE, "proc_join") => params == 2,
        (MODULE, "sock_accept") => params == 4,
        (MODULE, "ws_connect" | "callback_reactor") => true,
        (MODULE, name) => {
            ["thread_local_", "bus_", "http_", "callback_thread"].iter().any(|start| name.starts_with(start))
        }
        _ => false,
    }
}

fn is_proc_join_of_three(module: &str, name: &str, params: usize) -> bool {
    (module, name, params) == (MODULE, "proc_join", 3)
}

fn is_preview1_of_wasix(module: &str, name: &str, _: usize) -> bool {
    module == MODULE && Function::find(PREVIEW1, name).is_some()
}
