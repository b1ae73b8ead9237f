//! What each event says to the operator.

use std::time::Duration;

use wasock::observe::{DrainEnd, Escaped, Limit, Refused};
use wasock::{Address, Errno, Event, ReloadError};

use super::{Lines, as_written, say};

/// The descriptor that events have for a listener of the host's own.
pub(crate) const HOST_LISTENER: u32 = u32::MAX;

/// Prints what the operator should know.
pub(super) fn print(event: &Event) {
    if !(of_sockets(event) || of_limits(event) || of_guest(event) || of_service(event)) {
        tracing::info!("{event:?}");
    }
}

/// Prints what happened to sockets; returns whether that is what the event is about. So do the
/// functions below.
fn of_sockets(event: &Event) -> bool {
    match event {
        Event::Listening { fd: HOST_LISTENER, local, result: Ok(_), .. } => {
            say!("wasock: listening on {local} (an instance for each connection)");
        }
        Event::Listening { fd, local, result: Ok(_), .. } => say!("wasock: listening on {local} (fd {fd})"),
        Event::Bound { fd, local } => say!("wasock: bound on {local} (fd {fd})"),
        // Reported as denied or unavailable, if the operator can do something about it.
        Event::Listening { .. } => {}
        Event::BacklogChanged { fd: HOST_LISTENER, local, backlog, capacity } => {
            tracing::info!("{local}: backlog {backlog}, {capacity} may wait");
        }
        Event::BacklogChanged { fd, local, backlog, capacity } => {
            tracing::info!("{local} (fd {fd}): backlog {backlog}, {capacity} may wait");
        }
        Event::Accepted { listener: HOST_LISTENER, peer, .. } => tracing::info!("an instance for {peer}"),
        Event::Accepted { listener, fd, peer, .. } => {
            tracing::info!("connection from {peer} (fd {fd}, listener {listener})");
        }
        Event::Refused { local, peer, why, .. } => {
            let why = match why {
                Refused::QueueFull => "the queue is full",
                Refused::Shrunk => "the queue became shorter",
                Refused::PeerLimit => "it has as many connections as it may",
                _ => "the policy takes no peer from there",
            };
            tracing::info!("refused {peer} at {local}: {why}");
        }
        Event::Closed { fd: HOST_LISTENER, local, peer: None, .. } => {
            tracing::info!("{local} listens no more");
        }
        Event::Closed { fd, local, peer: None, .. } => tracing::info!("{local} (fd {fd}) listens no more"),
        Event::Closed { fd, peer: Some(peer), .. } => tracing::info!("closed {peer} (fd {fd})"),
        Event::Dropped { fd, local, count } => {
            say!(
                "wasock: dropped {count} datagrams at {local} (fd {fd}): no --accept-from network has their senders"
            )
        }
        Event::IdleReset { local, peer, idle } => {
            tracing::info!("reset {peer} at {local}: nothing went through it for {idle:?} (--idle-timeout)");
        }
        Event::WaitingReset { local, connections } => {
            say!("wasock: reset {connections} clients that waited at {local}");
        }
        Event::Unclaimed { local, is_closed: true } => {
            say!("wasock: closed {local}: the guest does not bind there any more");
        }
        Event::Unclaimed { local, .. } => {
            say!("wasock: {local} was passed, and the guest does not bind there")
        }
        _ => return false,
    }
    true
}

/// Prints what the policy, a limit or the host's system refused.
fn of_limits(event: &Event) -> bool {
    match event {
        Event::Missed { count } => tracing::warn!("{count} events were too many to print"),
        Event::Denied { call, what, rule, flag } if flag.is_empty() => {
            say!("wasock: denied {call} of {what}: {rule}");
        }
        Event::Denied { call, what, rule, flag } => {
            say!("wasock: denied {call} of {what}: {rule}; allow it with {}", as_written(flag))
        }
        Event::Unavailable { call, address, errno } => {
            let hint = hint(*errno, address);
            say!("wasock: {call} of {address} failed: {errno}{hint}");
        }
        Event::Limited { fd, local, peer, limit, most } => {
            say!("wasock: {}", limited(*fd, local, peer, *limit, *most))
        }
        Event::LimitChanged { limit, most: Some(most) } => {
            say!("wasock: {} is {most} from now on", limit.name())
        }
        Event::LimitChanged { limit, most: None } => {
            say!("wasock: {} has no limit from now on", limit.name())
        }
        Event::MemoryDenied { limit, most } => say!("wasock: {}", denied_memory(*limit, *most)),
        Event::TableFull { most } => {
            say!("wasock: the guest was denied a descriptor: it has as many as --max-fds {most} allows");
        }
        Event::TooManyProcesses { most } => {
            say!("wasock: the guest was denied a process: it has as many as --max-processes {most} allows");
        }
        _ => return false,
    }
    true
}

/// A name that a module chose, with `..` in place of what is beyond its 256th character.
fn beginning(name: &str) -> std::borrow::Cow<'_, str> {
    match name.char_indices().nth(256) {
        Some((end, _)) => format!("{}..", name.get(..end).unwrap_or_default()).into(),
        None => name.into(),
    }
}

/// Prints what the program does, and how it ended.
fn of_guest(event: &Event) -> bool {
    match event {
        Event::Stubbed { module, name } => {
            let (module, name) = (beginning(module), beginning(name));
            say!("wasock: {module}.{name} is not implemented; it answers ENOSYS");
        }
        Event::NotAHandler { name } => {
            say!(
                "wasock: the export {name} is no handler for signals: it must be a function with one i32 and \
                 no result; signals are blocked"
            );
        }
        Event::Spawned { pid, parent, path: Some(path) } => {
            tracing::info!("process {parent} started {pid}: {}", Escaped(path));
        }
        Event::Spawned { pid, parent, path: None } => {
            tracing::info!("process {parent} started {pid}, a copy")
        }
        Event::Exited { pid, trap: Some(trap), .. } => {
            Lines::default().block(format_args!("wasock: process {pid} of the guest trapped: {trap}")).say();
        }
        Event::Exited { pid, signal: Some(signal), .. } => tracing::info!("{signal} ended process {pid}"),
        Event::Exited { pid, code, .. } => tracing::info!("process {pid} ended with code {code}"),
        Event::Signalled { pid, by, signal } => tracing::info!("process {by} sent {signal} to {pid}"),
        Event::NotRun { pid, reason } => {
            say!("wasock: the host could not run process {pid} of the guest: {reason}");
        }
        Event::NotForked { reason } => say!("wasock: the guest can't copy its process (fork): {reason}"),
        Event::NotExecutable { path, reason } => {
            say!("wasock: the guest can't execute {path}: {reason}");
        }
        Event::HandlerTrapped { signal, trap } => {
            let (reason, backtrace) = trap.split_once('\n').unwrap_or((trap, ""));
            say!("wasock: {signal} ended the guest: its handler trapped: {reason}");
            backtrace.lines().for_each(|frame| tracing::info!("{frame}"));
        }
        Event::Restarted { trap, after } => {
            let when = waiting(*after);
            Lines::default()
                .block(format_args!("wasock: the guest trapped and starts anew{when}: {trap}"))
                .say();
        }
        Event::GaveUp { instances } => {
            say!("wasock: {instances} instances in a row lived less than a second: the guest stays ended");
        }
        Event::ThreadsLeftBehind { count } => {
            tracing::info!("{count} threads of the guest wait in memory.atomic.wait for ever");
        }
        _ => return false,
    }
    true
}

/// Prints what happened to the generations and workers of a service.
fn of_service(event: &Event) -> bool {
    match event {
        Event::InstanceRestarted { generation, worker, why, after, connections } => {
            let (when, with) = (waiting(*after), with(*connections));
            let which = if *worker == 0 { String::new() } else { format!(" {worker}") };
            let which = format!("worker{which} of generation {generation}");
            Lines::default()
                .block(format_args!("wasock: {which} ended{with} and starts anew{when}: {why}"))
                .say();
        }
        Event::Reloaded { generation, missing } => {
            say!("wasock: generation {generation} serves");
            for local in missing {
                say!("wasock: generation {generation} does not listen on {local}, as the one before does");
            }
        }
        Event::ReloadFailed { generation, why } if *why == ReloadError::NotRunning.to_string() => {
            say!("wasock: no reload: the service ends, and generation {generation} with it");
        }
        Event::ReloadFailed { generation, why } => {
            let text =
                format!("wasock: no reload, the running program goes on: generation {generation}: {why}");
            Lines::default().block(text).say();
        }
        Event::DrainTimeout { generation, connections, cause: DrainEnd::Ended } => {
            say!("wasock: closed {connections} connections of generation {generation}: it ended by itself");
        }
        Event::DrainTimeout { generation, connections, cause } => {
            let why = match cause {
                DrainEnd::Timeout => "--drain-timeout",
                DrainEnd::Generations => "--max-generations",
                _ => "it failed",
            };
            say!("wasock: reset {connections} connections of generation {generation} ({why})");
        }
        Event::WorkerFails { generation, worker, instances, after } => say!(
            "wasock: worker {worker} of generation {generation} has failed {instances} times in a row, each within a \
             second: it is started each {after:?}, and the others go on"
        ),
        Event::InstanceEnded { generation, worker, why, left, connections } => {
            let with = with(*connections);
            let text = format!(
                "wasock: worker {worker} of generation {generation} ended{with} and stays so, {left} go on: {why}"
            );
            Lines::default().block(text).say();
        }
        Event::InstanceFailed { peer, why, .. } => {
            Lines::default().block(format_args!("wasock: the instance for {peer} failed: {why}")).say();
        }
        Event::ServiceEnds { why, generations } => {
            let text = format!(
                "wasock: the guest ended, and {generations} generations drain; clients are refused: {why}"
            );
            Lines::default().block(text).say();
        }
        _ => return false,
    }
    true
}

/// How long it is until an instance starts anew, as the end of a clause.
fn waiting(after: Duration) -> String {
    if after.is_zero() { String::new() } else { format!(" in {after:?}") }
}

/// What ended with an instance, in the midst of a clause.
fn with(connections: usize) -> String {
    match connections {
        0 => String::new(),
        1 => " with 1 connection open".to_owned(),
        more => format!(" with {more} connections open"),
    }
}

/// What a limit of the operator's does.
fn limited(fd: u32, local: &Address, peer: &Option<Address>, limit: Limit, most: u32) -> String {
    let flag = format!("--{} {most}", limit.name());
    let local = match fd {
        // No guest has a number for it.
        HOST_LISTENER => local.to_string(),
        _ => format!("{local} (fd {fd})"),
    };
    match (limit, peer) {
        (Limit::Instances, _) => format!("{local}: clients wait: {most} instances live ({flag})"),
        (Limit::Connections, _) => {
            format!("{local}: clients wait: {most} connections are open ({flag})")
        }
        (Limit::ConnectionsPerListener, _) => {
            format!("{local}: clients wait: it has {most} open connections ({flag})")
        }
        (Limit::ConnectionsPerPeer, Some(peer)) => {
            format!("{local}: reset {peer}: that peer has {most} connections ({flag})")
        }
        (Limit::SocketBuffer, _) => format!("fd {fd}: a larger buffer was asked for than may be ({flag})"),
        _ => format!("{local}: reached {flag}"),
    }
}

/// What a limit to memory does.
fn denied_memory(limit: Limit, most: u64) -> String {
    let (flag, whose) = match limit {
        Limit::Memory => ("memory", "its memories and tables have as much"),
        _ => ("host-memory", "the host holds as much for it"),
    };
    format!("the guest was denied memory: {whose} as --max-{flag} {most} allows")
}

/// What the operator can do.
fn hint(errno: Errno, address: &Address) -> &'static str {
    match (errno, address) {
        (Errno::EADDRINUSE, Address::Unix(_)) => {
            "; the name is taken: remove it, or have names removed with --unix-unlink"
        }
        (_, Address::Unix(_)) => "",
        (Errno::EADDRINUSE, _) => "; another program listens there: stop it, or choose another port",
        (Errno::EACCES, Address::Inet(inet)) if inet.port() < 1024 => {
            "; ports below 1024 need privileges: choose a higher one"
        }
        (Errno::EADDRNOTAVAIL, _) => "; this machine does not have that address",
        _ => "",
    }
}
