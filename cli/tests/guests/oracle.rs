//! Linux itself is asked: guests that are compiled for this machine too say the same
//! natively as under the profile `linux`.

use super::run_on_loopback;
use super::states::{Cell, cells, run_with_profile};
use anyhow::{Result, ensure};
use guest_tests::Wasock;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A call whose result differs from Linux, in every profile.
struct Deviation {
    states: &'static str,
    calls: &'static str,
    here: &'static str,
    linux: &'static str,
    because: &'static str,
}

/// All of them. A profile changes what a listener is, and no other call.
const DEVIATIONS: &[Deviation] = &[
    Deviation {
        states: "fresh bound listening",
        calls: "send send_to",
        here: "ENOTCONN unchanged",
        linux: "EPIPE unchanged",
        because: "ENOTCONN: The socket is not connected. - send(3p)",
    },
    Deviation {
        states: "fresh bound",
        calls: "shutdown_wr shutdown_rdwr",
        here: "ENOTCONN unchanged",
        linux: "ENOTCONN changed",
        because: "a failed call changes nothing; a Linux socket can't send any more",
    },
    Deviation {
        states: "connecting",
        calls: "shutdown_rd shutdown_wr shutdown_rdwr",
        here: "ENOTCONN unchanged",
        linux: "ok",
        because: "ENOTCONN: The socket is not connected. - shutdown(3p); Linux ends the attempt",
    },
    Deviation {
        states: "listening",
        calls: "shutdown_rd shutdown_wr shutdown_rdwr",
        here: "ENOTCONN unchanged",
        linux: "ok",
        because: "rule 11: listening lasts until the descriptor is closed; Linux stops listening",
    },
    Deviation {
        states: "listening",
        calls: "connect",
        here: "ENOTSUP unchanged",
        linux: "EISCONN unchanged",
        because: "EOPNOTSUPP: The socket is listening and cannot be connected. - connect(3p)",
    },
    Deviation {
        states: "arrived",
        calls: "connect",
        here: "EISCONN unchanged",
        linux: "ok",
        because: "EISCONN: The specified socket is connection-mode and is already connected. \
                  - connect(3p); Linux says so from the second call on",
    },
    Deviation {
        states: "both_ended reset",
        calls: "bind",
        here: "EINVAL unchanged",
        linux: "ok",
        because: "EINVAL: The socket is already bound to an address, ... or the socket has been \
                  shut down. - bind(3p)",
    },
    Deviation {
        states: "both_ended reset",
        calls: "addr_peer",
        here: "loopback unchanged",
        linux: "ENOTCONN unchanged",
        because: "rule 16: the socket knows its peer, also after the peer reset it",
    },
    Deviation {
        states: "failed",
        calls: "listen",
        here: "ok serves",
        linux: "EINVAL unchanged",
        because: "a failed attempt leaves the socket as it was; Linux waits to be asked about it",
    },
    Deviation {
        states: "failed",
        calls: "recv recv_from send send_to last_error",
        here: "ECONNREFUSED unchanged",
        linux: "ECONNREFUSED changed",
        because: "as above: Linux fails the next connect with ECONNABORTED",
    },
    Deviation {
        states: "failed",
        calls: "shutdown_rd shutdown_wr shutdown_rdwr",
        here: "ENOTCONN unchanged",
        linux: "ENOTCONN changed",
        because: "as above: Linux fails the next connect with EINVAL",
    },
    Deviation {
        states: "failed",
        calls: "addr_local",
        here: "none unchanged",
        linux: "loopback unchanged",
        because: "as above: Linux goes on telling an address that is no longer held",
    },
    Deviation {
        states: "restart_without_reuse",
        calls: "bind",
        here: "ok",
        linux: "EADDRINUSE",
        because: "rule 20: address reuse is on for listeners, as the field does",
    },
    Deviation {
        states: "full_table",
        calls: "accept_bound",
        here: "EINVAL",
        linux: "EMFILE",
        because: "rule 9: the state comes before the operating system, and takes no descriptor",
    },
];

/// The outcome, and whether the socket was changed; not how.
fn in_short(cell: &Cell) -> String {
    let after = cell.after.split(':').next().unwrap_or_default();
    format!("{} {after}", cell.outcome).trim_end().to_owned()
}

fn names(list: &str, name: &str) -> bool {
    list.split(' ').any(|it| it == name)
}

/// Compares, but for the deviations; returns which of them were needed.
fn compare(here: &[Cell], linux: &[Cell]) -> Result<BTreeSet<String>> {
    let mut needed = BTreeSet::new();
    let mut wrong = String::new();
    ensure!(here.len() == linux.len(), "{} lines here, {} on Linux", here.len(), linux.len());
    for (here, linux) in here.iter().zip(linux) {
        ensure!((&here.state, &here.call) == (&linux.state, &linux.call), "{here:?} beside {linux:?}");
        if here == linux {
            continue;
        }
        let (outcome, other) = (in_short(here), in_short(linux));
        let deviation = DEVIATIONS.iter().find(|deviation| {
            names(deviation.states, &here.state)
                && names(deviation.calls, &here.call)
                && (deviation.here, deviation.linux) == (outcome.as_str(), other.as_str())
        });
        match deviation {
            Some(_) => drop(needed.insert(format!("{} {}", here.state, here.call))),
            None => writeln!(wrong, "{} {}: {here:?}, on Linux {linux:?}", here.state, here.call)?,
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(needed)
}

/// Every deviation in one of `states` was needed, and has a reason.
fn all_needed(needed: &BTreeSet<String>, is_of_program: impl Fn(&str) -> bool) -> Result<()> {
    for deviation in DEVIATIONS {
        ensure!(!deviation.because.is_empty(), "{} without a reason", deviation.calls);
        for state in deviation.states.split(' ').filter(|state| is_of_program(state)) {
            for call in deviation.calls.split(' ') {
                let key = format!("{state} {call}");
                ensure!(needed.contains(&key), "{key} deviates no more: {}", deviation.because);
            }
        }
    }
    Ok(())
}

fn lines(wasock: Wasock) -> Result<Vec<Cell>> {
    wasock.succeed()?.stdout.lines().map(Cell::read).collect()
}

/// The states of a socket; what else has a name is a case of another program.
fn is_of_states(state: &str) -> bool {
    !is_of_life(state) && !is_of_accepting(state)
}

fn is_of_life(state: &str) -> bool {
    state.contains("_reuse")
}

fn is_of_accepting(state: &str) -> bool {
    state == "full_table"
}

#[test]
fn socket_states_are_those_of_linux() -> Result<()> {
    let mut here = cells(run_with_profile("linux").arg(guest_tests::SOCKET_STATES))?;
    // Linux has no such call.
    here.retain(|cell| cell.call != "status");
    let linux = cells(Wasock::native(guest_tests::native::SOCKET_STATES))?;
    all_needed(&compare(&here, &linux)?, is_of_states)
}

#[test]
pub(crate) fn backlog_probe() -> Result<()> {
    let here = lines(run_with_profile("linux").arg(guest_tests::BACKLOG_PROBE))?;
    let linux = lines(Wasock::native(guest_tests::native::BACKLOG_PROBE))?;
    let needed = compare(&here, &linux)?;
    ensure!(needed.is_empty(), "deviations of the backlog: {needed:?}");
    Ok(())
}

#[test]
pub(crate) fn listener_life() -> Result<()> {
    let here = lines(run_with_profile("linux").arg(guest_tests::LISTENER_LIFE))?;
    let linux = lines(Wasock::native(guest_tests::native::LISTENER_LIFE))?;
    all_needed(&compare(&here, &linux)?, is_of_life)
}

#[test]
pub(crate) fn accepting() -> Result<()> {
    let here = lines(run_with_profile("linux").args(["--max-fds", "64", guest_tests::ACCEPTING]))?;
    let linux = lines(Wasock::native(guest_tests::native::ACCEPTING).limit_descriptors(64))?;
    all_needed(&compare(&here, &linux)?, is_of_accepting)
}

/// What no profile changes.
#[test]
fn listeners_live_and_accept_alike_in_every_profile() -> Result<()> {
    for program in [guest_tests::LISTENER_LIFE, guest_tests::ACCEPTING] {
        let default = lines(run_on_loopback().args(["--max-fds", "64", program]))?;
        for profile in ["wasix", "posix", "winsock", "bsd", "linux"] {
            let here = lines(run_with_profile(profile).args(["--max-fds", "64", program]))?;
            ensure!(here == default, "profile {profile}: {here:#?}, not {default:#?}");
        }
    }
    Ok(())
}
