//! What each event is in the log: its level, its name and its fields.

use std::fmt;

use wasock::Event;
use wasock::observe::{Closed, DrainEnd, Refused};

use super::Fields;
use crate::json::Json;
use crate::report::HOST_LISTENER;

/// Its level, its name and its fields; `None` for one that another one reports.
pub(super) fn described(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    let text = |value: &dyn fmt::Display| Json::from(value.to_string());
    Some(match event {
        Event::Listening { fd, local, backlog, result } => {
            // Reported as denied or unavailable, if the operator can do something about it.
            let capacity = *result.as_ref().ok()?;
            let fields = vec![
                ("fd", number(*fd)),
                ("address", text(local)),
                ("backlog", (*backlog).into()),
                ("capacity", capacity.into()),
            ];
            ("notice", "listening", fields)
        }
        Event::Bound { fd, local } => {
            ("notice", "bound", vec![("fd", number(*fd)), ("address", text(local))])
        }
        Event::BacklogChanged { fd, local, backlog, capacity } => {
            let fields = vec![
                ("fd", number(*fd)),
                ("address", text(local)),
                ("backlog", (*backlog).into()),
                ("capacity", (*capacity).into()),
            ];
            ("info", "backlog_changed", fields)
        }
        other => {
            let of_any = of_connections(other).or_else(|| of_limits(other)).or_else(|| of_guest(other));
            of_any.or_else(|| of_instances(other)).or_else(|| of_service(other)).unwrap_or_else(|| {
                // A newer library has it.
                ("info", "other", vec![("message", Json::from(format!("{other:?}")))])
            })
        }
    })
}

/// What happened to a connection, and the end of a listener.
fn of_connections(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    let text = |value: &dyn fmt::Display| Json::from(value.to_string());
    Some(match event {
        Event::Accepted { listener, fd, peer, local } => {
            let fields = vec![
                ("listener_fd", number(*listener)),
                ("fd", number(*fd)),
                ("peer", text(peer)),
                ("address", text(local)),
            ];
            ("info", "accepted", fields)
        }
        Event::Refused { listener, local, peer, why } => {
            let fields = vec![
                ("listener_fd", number(*listener)),
                ("address", text(local)),
                ("peer", text(peer)),
                ("reason", refusal(*why).into()),
            ];
            ("info", "refused", fields)
        }
        Event::Closed { fd, local, peer, why } => {
            let peer = peer.as_ref().map(|peer| text(peer));
            let fields = vec![
                ("fd", number(*fd)),
                ("address", text(local)),
                ("peer", peer.into()),
                ("reason", closing(*why).into()),
            ];
            ("info", "closed", fields)
        }
        _ => return None,
    })
}

/// What a limit or the policy did.
fn of_limits(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    let text = |value: &dyn fmt::Display| Json::from(value.to_string());
    Some(match event {
        Event::Limited { fd, local, peer, limit, most } => {
            let peer = peer.as_ref().map(|peer| text(peer));
            let fields = vec![
                ("fd", number(*fd)),
                ("address", text(local)),
                ("peer", peer.into()),
                ("limit", limit.name().into()),
                ("most", (*most).into()),
            ];
            ("warn", "limited", fields)
        }
        Event::MemoryDenied { limit, most } => {
            ("warn", "memory_denied", vec![("limit", limit.name().into()), ("most", (*most).into())])
        }
        Event::TableFull { most } => {
            ("warn", "table_full", vec![("limit", "max-fds".into()), ("most", (*most).into())])
        }
        Event::TooManyProcesses { most } => {
            let fields = vec![("limit", "max-processes".into()), ("most", (*most).into())];
            ("warn", "too_many_processes", fields)
        }
        Event::Dropped { fd, local, count } => {
            let fields = vec![("fd", number(*fd)), ("address", text(local)), ("count", (*count).into())];
            ("warn", "dropped", fields)
        }
        Event::Missed { count } => ("warn", "missed", vec![("count", (*count).into())]),
        Event::Denied { call, what, rule, flag } => {
            let flag = Some(flag.as_str()).filter(|flag| !flag.is_empty());
            let fields = vec![
                ("call", (*call).into()),
                ("what", what.as_str().into()),
                ("rule", rule.as_ref().into()),
                ("flag", flag.into()),
            ];
            ("warn", "denied", fields)
        }
        Event::Unavailable { call, address, errno } => {
            let fields =
                vec![("call", (*call).into()), ("address", text(address)), ("errno", errno.name().into())];
            ("warn", "unavailable", fields)
        }
        _ => return None,
    })
}

/// Did a process trap?
fn trap_of(event: &Event) -> bool {
    matches!(event, Event::Exited { trap: Some(_), .. })
}

/// What the guest lacks, or how it fared.
fn of_guest(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    Some(match event {
        Event::Stubbed { module, name } => {
            ("warn", "stubbed", vec![("module", module.as_str().into()), ("name", name.as_str().into())])
        }
        Event::NotAHandler { name } => ("warn", "not_a_handler", vec![("name", name.as_str().into())]),
        Event::Spawned { pid, parent, path } => {
            let path = path.as_deref();
            (
                "info",
                "spawned",
                vec![("pid", number(*pid)), ("parent", number(*parent)), ("path", path.into())],
            )
        }
        Event::Exited { pid, code, signal, trap } => {
            let (signal, trap) = ((*signal).into(), trap.as_deref().into());
            let fields =
                vec![("pid", number(*pid)), ("code", number(*code)), ("signal", signal), ("trap", trap)];
            (if trap_of(event) { "error" } else { "info" }, "exited", fields)
        }
        Event::Signalled { pid, by, signal } => (
            "info",
            "signalled",
            vec![("pid", number(*pid)), ("by", number(*by)), ("signal", (*signal).into())],
        ),
        Event::NotRun { pid, reason } => {
            ("error", "not_run", vec![("pid", number(*pid)), ("reason", reason.as_str().into())])
        }
        Event::NotForked { reason } => ("warn", "not_forked", vec![("reason", (*reason).into())]),
        Event::NotExecutable { path, reason } => (
            "warn",
            "not_executable",
            vec![("path", path.as_str().into()), ("reason", reason.as_str().into())],
        ),
        Event::HandlerTrapped { signal, trap } => {
            ("error", "handler_trapped", vec![("signal", (*signal).into()), ("trap", trap.as_str().into())])
        }
        Event::Restarted { trap, after } => {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            ("error", "restarted", vec![("trap", trap.as_str().into()), ("after_ms", after.into())])
        }
        Event::GaveUp { instances } => ("error", "gave_up", vec![("instances", (*instances).into())]),
        Event::ThreadsLeftBehind { count } => {
            let count = u64::try_from(*count).unwrap_or(u64::MAX);
            ("info", "threads_left_behind", vec![("count", count.into())])
        }
        _ => return None,
    })
}

/// What became of the instances of a service.
fn of_instances(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    Some(match event {
        Event::InstanceRestarted { generation, worker, why, after, connections } => {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            let fields = vec![
                ("generation", (*generation).into()),
                ("worker", (*worker).into()),
                ("reason", why.as_str().into()),
                ("after_ms", after.into()),
                ("connections", u64::try_from(*connections).unwrap_or(u64::MAX).into()),
            ];
            // With `--restart always` that is as it should be.
            let level = if why == "exit code 0" { "notice" } else { "error" };
            (level, "instance_restarted", fields)
        }
        Event::WorkerFails { generation, worker, instances, after } => {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            let fields = vec![
                ("generation", (*generation).into()),
                ("worker", (*worker).into()),
                ("instances", (*instances).into()),
                ("after_ms", after.into()),
            ];
            ("error", "worker_fails", fields)
        }
        Event::InstanceEnded { generation, worker, why, left, connections } => {
            let fields = vec![
                ("generation", (*generation).into()),
                ("worker", (*worker).into()),
                ("reason", why.as_str().into()),
                ("left", u64::try_from(*left).unwrap_or(u64::MAX).into()),
                ("connections", u64::try_from(*connections).unwrap_or(u64::MAX).into()),
            ];
            ("error", "instance_ended", fields)
        }
        Event::InstanceFailed { generation, local, peer, why } => {
            let fields = vec![
                ("generation", (*generation).into()),
                ("address", Json::from(local.to_string())),
                ("peer", Json::from(peer.to_string())),
                ("reason", why.as_str().into()),
            ];
            ("error", "instance_failed", fields)
        }
        Event::DrainTimeout { generation, connections, cause } => {
            let connections = u64::try_from(*connections).unwrap_or(u64::MAX);
            let cause = match cause {
                DrainEnd::Timeout => "drain-timeout",
                DrainEnd::Generations => "max-generations",
                DrainEnd::Ended => "ended",
                _ => "failed",
            };
            let fields = vec![
                ("generation", (*generation).into()),
                ("connections", connections.into()),
                ("cause", cause.into()),
            ];
            ("warn", "drain_timeout", fields)
        }
        _ => return None,
    })
}

/// What became of a service, and of what it holds.
fn of_service(event: &Event) -> Option<(&'static str, &'static str, Fields)> {
    Some(match event {
        Event::Reloaded { generation, missing } => {
            let missing: Json = missing.iter().map(ToString::to_string).collect();
            let fields = vec![("generation", (*generation).into()), ("missing", missing)];
            ("notice", "reloaded", fields)
        }
        Event::IdleReset { local, peer, idle } => {
            let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
            let fields = vec![
                ("address", local.to_string().into()),
                ("peer", peer.to_string().into()),
                ("idle_ms", idle.into()),
            ];
            ("info", "idle_reset", fields)
        }
        Event::WaitingReset { local, connections } => {
            let connections = u64::try_from(*connections).unwrap_or(u64::MAX);
            let fields = vec![("address", local.to_string().into()), ("connections", connections.into())];
            ("warn", "waiting_reset", fields)
        }
        Event::ReloadFailed { generation, why } => {
            let fields = vec![("generation", (*generation).into()), ("reason", why.as_str().into())];
            ("error", "reload_failed", fields)
        }
        Event::ServiceEnds { why, generations } => {
            let generations = u64::try_from(*generations).unwrap_or(u64::MAX);
            let fields = vec![("reason", why.as_str().into()), ("generations", generations.into())];
            ("error", "service_ends", fields)
        }
        Event::LimitChanged { limit, most } => {
            ("notice", "limit_changed", vec![("limit", limit.name().into()), ("most", (*most).into())])
        }
        Event::Unclaimed { local, is_closed } => {
            let address = Json::from(local.to_string());
            ("warn", "unclaimed", vec![("address", address), ("closed", Json::Bool(*is_closed))])
        }
        _ => return None,
    })
}

/// The descriptor; null for a listener of the host's own, which has none in a guest.
fn number(fd: u32) -> Json {
    Some(fd).filter(|fd| *fd != HOST_LISTENER).into()
}

fn refusal(why: Refused) -> &'static str {
    match why {
        Refused::QueueFull => "queue-full",
        Refused::Shrunk => "shrunk",
        Refused::Policy => "policy",
        Refused::PeerLimit => "peer-limit",
        _ => "other",
    }
}

fn closing(why: Closed) -> &'static str {
    match why {
        Closed::ByGuest => "by-guest",
        Closed::Replaced => "replaced",
        Closed::Trapped => "trapped",
        Closed::Ended => "ended",
        _ => "other",
    }
}
