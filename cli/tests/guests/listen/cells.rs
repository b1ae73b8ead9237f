//! What a profile decides: a cell is one of these in one profile.

use super::profile::{BACKLOGS, FEW, MORE_THAN_FEW, NEGATIVE, PLENTY, SOMAXCONN};
use super::*;

/// So many wait with this backlog, and the guest has them then, in their order.
fn holds_exactly(listener: &mut Listener, backlog: u32, expected: usize) -> Result<()> {
    listener.also(backlog)?;
    let counted = listener.fill(expected).and_then(|waiting| listener.accepts_all(&waiting));
    counted.with_context(|| format!("backlog {backlog}, {expected} expected"))?;
    listener.expect("close_all", "done")?;
    listener.expect("close_listener", "done")
}

/// The trace says how many may wait for a backlog.
fn traces(listener: &mut Listener, backlog: u32, expected: usize) -> Result<()> {
    listener.expect(&format!("listen {backlog}"), "done")?;
    let (call, success) = listener.profile.programs.listens;
    let call = format!("{call}{backlog})");
    let line = listener.running.wait_for_stderr(&call)?;
    let traced = format!("{call} = {success} capacity={expected} <");
    ensure!(line.starts_with(&traced), "{line}, not {traced}");
    Ok(())
}

/// Cell: the backlog as the guest passes it.
pub(super) fn backlog_as_passed(profile: Profile) -> Result<()> {
    let maximum = FEW.to_string();
    let traced = host(profile).args(["--trace", "--max-backlog", &maximum]);
    let mut listener = Listener::start_on(profile, traced, "127.0.0.1:0", 7)?;
    for backlog in BACKLOGS.into_iter().filter(|backlog| *backlog < FEW) {
        traces(&mut listener, backlog, profile.waiting_for(backlog))?;
    }
    // The last positive number and the first negative one.
    traces(&mut listener, SOMAXCONN, profile.waiting_at_most)?;
    traces(&mut listener, SOMAXCONN + 1, profile.waiting_for_negative)?;
    traces(&mut listener, u32::MAX, profile.waiting_for_negative)
}

/// Cell: a negative backlog.
pub(super) fn negative_backlog(profile: Profile) -> Result<()> {
    let mut listener = Listener::start_with_maximum(profile, FEW, 1)?;
    for backlog in NEGATIVE {
        holds_exactly(&mut listener, backlog, profile.waiting_for_negative)?;
    }
    Ok(())
}

/// Cell: a backlog of 0.
pub(super) fn zero_backlog(profile: Profile) -> Result<()> {
    holds_exactly(&mut Listener::start(profile, 1)?, 0, 1)
}

/// Cell: more than the maximum.
pub(super) fn above_the_maximum(profile: Profile) -> Result<()> {
    let mut listener = Listener::start_with_maximum(profile, FEW, 1)?;
    for backlog in MORE_THAN_FEW {
        holds_exactly(&mut listener, backlog, profile.waiting_at_most)?;
    }
    // Silent to the guest, but visible in the trace.
    let maximum = FEW.to_string();
    let traced = host(profile).args(["--trace", "--max-backlog", &maximum]);
    let mut listener = Listener::start_on(profile, traced, "127.0.0.1:0", 7)?;
    for backlog in MORE_THAN_FEW {
        traces(&mut listener, backlog, profile.waiting_at_most)?;
    }
    Ok(())
}

/// Cell: SOMAXCONN, which is 128 or 2^31 - 1.
pub(super) fn somaxconn(profile: Profile) -> Result<()> {
    let mut listener = Listener::start_with_maximum(profile, PLENTY, 1)?;
    holds_exactly(&mut listener, 128, profile.waiting_for(128))?;
    holds_exactly(&mut listener, SOMAXCONN, profile.waiting_for_somaxconn)
}

/// Cell: connections that wait for N.
pub(super) fn capacity(profile: Profile) -> Result<()> {
    let mut listener = Listener::start_with_maximum(profile, PLENTY, 1)?;
    for (backlog, expected) in BACKLOGS.into_iter().zip(profile.waiting) {
        holds_exactly(&mut listener, backlog, expected)?;
    }
    Ok(())
}

/// Cell: one more arrives.
pub(super) fn one_more(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 2)?;
    let waiting = listener.fill(profile.waiting_for(2))?;
    match profile.one_more {
        OneMore::Unanswered => {
            let late = Attempt::start(listener.addr)?;
            ensure!(late.is_unanswered()?, "one more got in");
            listener.accepts_all(&waiting)?;
            // The client's kernel tries again by itself.
            listener.serves(late.wait()?)
        }
        OneMore::Reset => {
            for _ in 0..20 {
                is_refused(listener.addr)?;
            }
            // Pending connections are not affected, and their space is free again.
            listener.accepts_all(&waiting)?;
            let waiting = listener.fill(profile.waiting_for(2))?;
            listener.accepts_all(&waiting)
        }
    }
}

/// Cell: listen again.
pub(super) fn listen_again(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 1)?;
    let mut waiting = listener.fill(profile.waiting_for(1))?;
    listener.expect("listen 5", "done")?;
    listener.connect_until(&mut waiting, profile.waiting_for(5))?;
    listener.is_full()?;
    listener.expect("listen 2", "done")?;
    listener.is_full()?;
    if profile.resets_excess {
        for client in &mut waiting.split_off(profile.waiting_for(2)) {
            client.is_reset()?;
        }
    }
    listener.accepts_all(&waiting)?;
    let waiting = listener.fill(profile.waiting_for(2))?;
    listener.accepts_all(&waiting)?;
    // It says where it listens once.
    ensure!(listener.running.stderr().lines().count() == 1, "{}", listener.running.stderr());
    Ok(())
}

/// Cell: a socket that is not bound.
pub(super) fn unbound(profile: Profile) -> Result<()> {
    match profile.unbound {
        Unbound::Answers(_) => holds(profile, "unbound").map(drop),
        Unbound::Binds => {
            // Refused, it can still be bound where that is granted.
            let finished = holds(profile, "unbound")?;
            finished.expect_stderr("denied sock_listen of 0.0.0.0:0: ")?;
            listens_on_the_wildcard(profile, "unbound4", "0.0.0.0:0", "127.0.0.1")?;
            if super::super::has_ipv6() {
                listens_on_the_wildcard(profile, "unbound6", "[::]:0", "::1")?;
            }
            Ok(())
        }
    }
}

/// Exactly the wildcard address with port 0 is what has to be granted.
fn listens_on_the_wildcard(profile: Profile, socket: &str, grant: &str, near: &str) -> Result<()> {
    let wildcard: SocketAddr = grant.parse()?;
    let granted = |grant: &str| {
        on(profile, run().args(["--listen-profile", profile.name, "--listen", grant]), socket, 4)
    };
    let denied = granted("127.0.0.1:*").finish()?.expect_code(1)?;
    denied.expect_stderr(&format!("allow it with --listen {grant}"))?.expect_stderr("EACCES")?;

    let mut listener = Listener::started(profile, granted(grant))?;
    ensure!(listener.addr.ip() == wildcard.ip() && listener.addr.port() != 0, "{}", listener.addr);
    listener.expect("local", &listener.addr.to_string())?;
    listener.addr.set_ip(near.parse()?);
    listener.still_serves()
}

/// Cell: a connected or connecting socket.
pub(super) fn connected_or_connecting(profile: Profile) -> Result<()> {
    holds(profile, "connected_or_connecting").map(drop)
}

/// Limit: nothing lets the kernel hold more than one above its `net.core.somaxconn`; a queue of the
/// host's own goes beyond.
pub(super) fn beyond_the_kernels_limit(profile: Profile) -> Result<()> {
    let limit: u32 = std::fs::read_to_string("/proc/sys/net/core/somaxconn")?.trim().parse()?;
    if limit >= 50_000 {
        eprintln!("passed over: this machine's somaxconn is {limit}");
        return Ok(());
    }
    let traced = host(profile).args(["--trace", "--max-backlog", "200000"]);
    let mut listener = Listener::start_on(profile, traced, "127.0.0.1:0", 7)?;
    let expected = (profile.waiting_for_everything)(limit);
    traces(&mut listener, 100_000, usize::try_from(expected)?)
}
