//! How often each function succeeded, and with which errors it failed: a fuzzer whose calls
//! are all `EBADF` finds nothing.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use wasock::internals::Function;
use wasock::observe::TraceLine;

use crate::layout::{ANSWERS, CALLED, OTHER};
use crate::op::{function_count, functions, has_other_type};

/// Answers by function and error number, and by function and the state of the descriptor.
#[derive(Default)]
pub(crate) struct Coverage {
    answers: Vec<u64>,
    states: BTreeMap<(String, &'static str), [u64; 2]>,
    /// By name alone, of guests whose memory can't be read: successes and calls.
    traced: BTreeMap<String, [u64; 2]>,
}

/// Functions that never succeed here, and why.
const NEVER: &[(&str, &str)] = &[
    ("clock_time_set", "EPERM always"),
    ("tty_set", "ENOTSUP always"),
    ("proc_exec3", "nothing may be executed"),
    ("proc_exec4", "nothing may be executed"),
    ("proc_fork", "only what --asyncify has rewritten is copied"),
    ("proc_fork_env", "there is one process in a store of an embedder's own, where successes are counted"),
    ("proc_join", "only where a child in the same memory has ended"),
    ("proc_spawn", "nothing may be executed"),
    ("proc_spawn2", "nothing may be executed"),
    ("proc_spawn3", "nothing may be executed"),
    ("sock_join_multicast_v4", "a group on another network than loopback is not to be joined"),
    ("sock_join_multicast_v6", "as with IPv4"),
    ("sock_leave_multicast_v4", "nothing was joined"),
    ("sock_leave_multicast_v6", "nothing was joined"),
    ("sock_set_ip_add_membership", "a group on another network than loopback is not to be joined"),
    ("sock_set_ip_drop_membership", "nothing was joined"),
    ("resolve", "only where this machine's own table has localhost"),
];

/// Functions with a state in which they have to succeed at times.
const STATES: &[(&str, &str)] = &[
    ("sock_bind", "fresh"),
    ("sock_listen", "bound"),
    ("sock_listen", "listening"),
    ("sock_connect", "fresh"),
    ("sock_accept_v2", "listening"),
    ("sock_addr_local", "listening"),
    ("sock_addr_peer", "connected"),
    ("sock_recv", "connected"),
    ("sock_send", "connected"),
    ("sock_shutdown", "connected"),
    ("sock_recv", "shut down"),
    ("sock_send_to", "datagram"),
    ("sock_recv_from", "datagram"),
    ("sock_send_file", "connected"),
    ("sock_set_opt_flag", "listening"),
    ("sock_set_opt_size", "connected"),
    ("fd_read", "pipe"),
    ("fd_write", "pipe"),
    ("fd_read", "file"),
    ("fd_write", "counter"),
    ("fd_dup", "listening"),
    ("fd_close", "listening"),
    ("epoll_ctl", "epoll"),
    ("epoll_wait", "epoll"),
];

impl Coverage {
    pub(crate) fn new() -> Self {
        Self { answers: vec![0; function_count() * ANSWERS as usize], ..Self::default() }
    }

    /// Adds what a guest has counted in its memory; tells how many calls it made.
    pub(crate) fn add_counts(&mut self, bytes: &[u8]) -> u64 {
        let mut calls = 0;
        for (index, (sum, word)) in self.answers.iter_mut().zip(bytes.chunks_exact(4)).enumerate() {
            let count = u64::from(u32::from_le_bytes(word.try_into().unwrap_or_default()));
            // A call that wrote over the counters counts for nothing.
            if count < 1 << 20 {
                *sum += count;
                calls += if index as u64 % ANSWERS == CALLED { count } else { 0 };
            }
        }
        calls
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, count) in self.answers.iter_mut().zip(&other.answers) {
            *sum += count;
        }
        for (key, [successes, all]) in &other.states {
            let sum = self.states.entry(key.clone()).or_default();
            sum[0] += successes;
            sum[1] += all;
        }
        for (key, [successes, all]) in &other.traced {
            let sum = self.traced.entry(key.clone()).or_default();
            sum[0] += successes;
            sum[1] += all;
        }
    }

    fn of(&self, index: usize) -> &[u64] {
        let start = index * ANSWERS as usize;
        self.answers.get(start..start + ANSWERS as usize).unwrap_or(&[])
    }

    /// Successes; where nothing is answered, calls.
    fn successes(&self, index: usize, function: &Function) -> u64 {
        let answer = if function.result.is_some() { 0 } else { CALLED as usize };
        let counted = self.of(index).get(answer).copied().unwrap_or(0);
        // Only guests with threads can start one, and their memory can't be read.
        let is_of_threads = function.name.starts_with("thread") || function.name.starts_with("futex");
        let traced = self.traced.get(function.name).filter(|_| is_of_threads);
        counted + traced.map_or(0, |[successes, _]| *successes)
    }

    /// A line for each function: calls, successes, errors by how many there were.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{:<48}{:>10}{:>10}  errors\n", "function", "calls", "successes");
        for (index, function) in functions().enumerate() {
            let counts = self.of(index);
            let mut errors: Vec<(u64, usize)> = counts
                .iter()
                .enumerate()
                .take(CALLED as usize)
                .skip(1)
                .filter(|(_, count)| **count > 0)
                .map(|(errno, count)| (*count, errno))
                .collect();
            errors.sort_unstable_by(|a, b| b.cmp(a));
            let errors: String =
                errors.iter().take(8).map(|(count, errno)| format!(" {}:{count}", name(*errno))).collect();
            let called = counts.get(CALLED as usize).copied().unwrap_or(0);
            let full = full_name(function);
            _ = writeln!(text, "{full:<48}{called:>10}{:>10} {errors}", self.successes(index, function));
        }
        text += "\nby the state of the descriptor (sampled): successes/calls\n";
        let mut line = String::new();
        let mut last = "";
        for ((function, state), [successes, all]) in &self.states {
            if function != last {
                text += &line;
                line = format!("\n{function:<24}");
                last = function;
            }
            _ = write!(line, " {state} {successes}/{all};");
        }
        text + &line + "\n"
    }

    /// What succeeded less often than `floor` times; with `states`, in which states of a
    /// descriptor nothing succeeded.
    pub(crate) fn below(&self, floor: u64, states: bool) -> Vec<String> {
        let exempt = |function: &Function| {
            // Those of "env" are no calls of a host, and no guest here imports them.
            function.module == "env"
                || function.refused.is_some()
                || NEVER.iter().any(|(name, _)| *name == function.name)
        };
        let functions = functions().enumerate().filter_map(|(index, function)| {
            let successes = self.successes(index, function);
            let is_low = successes < floor && !exempt(function);
            is_low.then(|| format!("{} succeeded {successes} times", full_name(function)))
        });
        let states = STATES.iter().filter(|_| states).filter_map(|(function, state)| {
            let [successes, _] =
                self.states.get(&((*function).to_owned(), *state)).copied().unwrap_or_default();
            (successes == 0).then(|| format!("{function} never succeeded with: {state}"))
        });
        functions.chain(states).collect()
    }

    /// Error numbers that the ABI does not have.
    pub(crate) fn unknown_answers(&self) -> Vec<String> {
        let unknown =
            |index: usize| self.of(index).get(77..=OTHER as usize).unwrap_or(&[]).iter().sum::<u64>();
        functions()
            .enumerate()
            // One call has numbers of its own.
            .filter(|(index, function)| unknown(*index) > 0 && function.name != "sock_getaddrinfo")
            .map(|(index, function)| format!("{}: {} times", full_name(function), unknown(index)))
            .collect()
    }
}

/// What a line about it begins with: its module and name, and how many parameters it has where that tells it from
/// another one.
fn full_name(function: &Function) -> String {
    let (module, name) = (function.module, function.name);
    match has_other_type(function) {
        true => format!("{module}.{name}/{}", function.params.len()),
        false => format!("{module}.{name}"),
    }
}

fn name(errno: usize) -> String {
    const NAMES: [(usize, &str); 24] = [
        (1, "2BIG"),
        (2, "ACCES"),
        (3, "ADDRINUSE"),
        (6, "AGAIN"),
        (8, "BADF"),
        (12, "CHILD"),
        (14, "CONNREFUSED"),
        (15, "CONNRESET"),
        (20, "EXIST"),
        (26, "INPROGRESS"),
        (27, "INTR"),
        (28, "INVAL"),
        (30, "ISCONN"),
        (33, "MFILE"),
        (44, "NOENT"),
        (50, "NOPROTOOPT"),
        (53, "NOTCONN"),
        (57, "NOTSOCK"),
        (58, "NOTSUP"),
        (63, "PERM"),
        (64, "PIPE"),
        (70, "SPIPE"),
        (73, "TIMEDOUT"),
        (76, "NOTCAPABLE"),
    ];
    NAMES
        .iter()
        .find(|(number, _)| *number == errno)
        .map_or_else(|| errno.to_string(), |(_, name)| (*name).into())
}

/// Follows a guest's descriptors through its trace.
#[derive(Default)]
pub(crate) struct States(Mutex<Followed>);

#[derive(Default)]
struct Followed {
    fds: HashMap<u32, &'static str>,
    coverage: Coverage,
}

impl States {
    /// What was seen.
    pub(crate) fn take(&self) -> Coverage {
        let mut followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut followed.coverage)
    }

    /// Takes one call into account.
    pub(crate) fn line(&self, line: &TraceLine<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).line(line);
    }
}

/// The number behind `name=`.
fn number(text: &str, name: &str) -> Option<u32> {
    let mut parts = text.split([',', ' ']);
    let value = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
    value.parse().ok()
}

impl Followed {
    fn line(&mut self, line: &TraceLine<'_>) {
        let (arguments, results) = (line.arguments, line.results);
        let fd = number(arguments, "fd").filter(|_| !line.name.starts_with("epoll"));
        let fd = fd.or_else(|| number(arguments, "epfd")).or_else(|| number(arguments, "out_fd"));
        let is_success = line.outcome == "0";
        let count = self.coverage.traced.entry(line.name.to_owned()).or_default();
        count[0] += u64::from(is_success);
        count[1] += 1;
        if let Some(fd) = fd {
            let state = self.state(fd);
            let count = self.coverage.states.entry((line.name.to_owned(), state)).or_default();
            count[0] += u64::from(is_success);
            count[1] += 1;
        }
        if is_success {
            self.succeeded(line.name, fd, arguments, results);
        } else if line.outcome == "EINPROGRESS"
            && let Some(fd) = fd
        {
            self.fds.insert(fd, "connecting");
        }
    }

    fn state(&self, fd: u32) -> &'static str {
        let other = match fd {
            0..=2 => "standard stream",
            3 => "directory",
            _ => "closed",
        };
        self.fds.get(&fd).copied().unwrap_or(other)
    }

    fn succeeded(&mut self, name: &str, fd: Option<u32>, arguments: &str, results: &str) {
        let opened = number(results, "fd");
        let moves = |state| fd.map(|fd| (fd, state));
        let became = match name {
            "sock_open" if matches!(number(arguments, "socktype"), Some(0 | 2)) => {
                opened.map(|fd| (fd, "datagram"))
            }
            "sock_open" => opened.map(|fd| (fd, "fresh")),
            "sock_accept" | "sock_accept_v2" => opened.map(|fd| (fd, "connected")),
            "path_open" | "path_open2" => opened.map(|fd| (fd, "file")),
            "fd_event" => opened.map(|fd| (fd, "counter")),
            "epoll_create" => opened.map(|fd| (fd, "epoll")),
            "fd_dup" | "fd_dup2" => opened.zip(fd.map(|fd| self.state(fd))),
            "fd_renumber" => number(arguments, "to").zip(fd.map(|fd| self.state(fd))),
            "sock_bind" if fd.is_some_and(|fd| self.state(fd) == "fresh") => moves("bound"),
            "sock_listen" => moves("listening"),
            "sock_connect" if fd.is_some_and(|fd| self.state(fd) != "datagram") => moves("connected"),
            "sock_shutdown" => moves("shut down"),
            _ => None,
        };
        match name {
            "fd_close" => _ = fd.map(|fd| self.fds.insert(fd, "closed")),
            "fd_pipe" | "sock_pair" => {
                let state = if name == "fd_pipe" { "pipe" } else { "connected" };
                for end in ["read_fd", "write_fd", "fd0", "fd1"] {
                    if let Some(fd) = number(results, end) {
                        self.fds.insert(fd, state);
                    }
                }
            }
            _ => {}
        }
        if let Some((fd, state)) = became {
            self.fds.insert(fd, state);
        }
    }
}
