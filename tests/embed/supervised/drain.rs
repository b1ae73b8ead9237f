//! R5, R6 and R8: what is retired goes on with its connections, and ends.

use super::*;
use rustix::net::{AddressFamily, SocketType};

#[test]
fn r5_a_drain_signal_is_sent_to_what_is_retired() -> Result<()> {
    // Without a handler it ends the guest, whatever connections there are.
    let (running, mut one, addr) =
        Running::start(|builder| builder.drain_signal(Signal::Term))?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    let mut two = running.reloaded("127.0.0.1:0", 2)?;
    one.is_gone()?;
    drop(kept);
    // It was closed by the end of the guest, which is counted and reported.
    let cut = running.event(|event| match event {
        Event::DrainTimeout { generation: 1, connections, cause: DrainEnd::Ended } => Some(*connections),
        _ => None,
    })?;
    ensure!((cut, running.service.metrics().drain_cuts) == (1, 1), "{cut} were closed");
    two.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r6_what_is_left_at_the_deadline_is_reset_and_counted() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder.drain_timeout(MOMENT))?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    let mut two = running.reloaded("127.0.0.1:0", 2)?;
    is_reset(&kept)?;
    let reset = running.event(|event| match event {
        Event::DrainTimeout { generation: 1, connections, cause: DrainEnd::Timeout } => Some(*connections),
        _ => None,
    })?;
    ensure!((reset, running.service.metrics().drain_resets) == (1, 1), "{reset} were reset");
    one.is_gone()?;
    two.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r6_an_instance_with_datagram_sockets_alone_ends_two_seconds_after_it_is_retired() -> Result<()> {
    let free = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let running = Running::start(|builder| builder)?;
    let mut one = running.next()?;
    one.each(&["open a udp", &format!("bind a {free}")])?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.each(&["open a udp", &format!("bind a {free}")])?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    let begun = Instant::now();
    one.expect("poll_write a", "ready")?;
    one.is_gone()?;
    let took = begun.elapsed();
    ensure!(took > Duration::from_millis(1500), "it ended after {took:?}");
    two.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r8_a_drain_refuses_whoever_comes_and_ends_with_the_last_connection() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder.restart(Restart::Always))?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    running.service.drain();
    let begun = Instant::now();
    while !is_refused(addr) {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "it lets clients in");
    }
    one.expect("say kept one", "ok")?;
    one.tell("close kept")?;
    is_served(kept, "one")?;
    one.is_gone()?;
    let again = block_on(running.service.reload(guest()?));
    ensure!(again == Err(ReloadError::NotRunning), "{again:?}");
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn r8_what_is_left_when_a_drain_takes_too_long_is_reset() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder.drain_timeout(MOMENT))?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    running.service.drain();
    is_reset(&kept)?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn r8_an_order_ends_what_drains_at_once() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder)?.listening()?;
    let _kept = running.kept_by(&mut one, addr)?;
    running.service.drain();
    let begun = Instant::now();
    while !is_refused(addr) {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "it lets clients in");
    }
    running.service.terminate();
    one.is_gone()?;
    let ended = running.thread.join().ok().context("it panicked")?;
    let order = ended.err().and_then(|error| error.downcast_ref().copied());
    ensure!(order == Some(Terminated::Order), "{order:?}");
    Ok(())
}

#[test]
fn r8_clients_that_wait_when_a_drain_begins_are_reset_and_counted() -> Result<()> {
    for profile in [wasock::ListenProfile::Wasix, wasock::ListenProfile::Winsock] {
        let (running, mut one, addr) =
            Running::start_with(|ctx| Ok(ctx.listen_profile(profile)), |builder| builder)?.listening()?;
        let waiting = [connect(addr)?, connect(addr)?];
        one.expect("poll a 2000", "ready")?;
        running.service.drain();
        waiting.iter().try_for_each(is_reset)?;
        let (local, reset) = running.event(|event| match event {
            Event::WaitingReset { local, connections } => Some((local.clone(), *connections)),
            _ => None,
        })?;
        let counted: u64 = running.service.metrics().listeners.iter().map(|it| it.left_waiting).sum();
        ensure!((reset, counted) == (2, 2) && local == addr.into(), "{reset} at {local} were reset");
        ensure!(running.ended()? == 0, "another code");
    }
    Ok(())
}

/// The new generation does not listen there, and nobody is to take them.
#[test]
fn r8_clients_that_wait_where_nobody_listens_any_more_are_reset_and_counted() -> Result<()> {
    let running = Running::start(|builder| builder.ready_timeout(MOMENT))?;
    let mut one = running.next()?;
    let left = one.listen("a", "127.0.0.1:0")?;
    let taken = one.listen("b", "127.0.0.1:0")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.listen("b", &taken.to_string())?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    one.is_gone()?;
    let waiting = [connect(left)?, connect(left)?];
    running.service.drain();
    waiting.iter().try_for_each(is_reset)?;
    let (local, reset) = running.event(|event| match event {
        Event::WaitingReset { local, connections } => Some((local.clone(), *connections)),
        _ => None,
    })?;
    ensure!(reset == 2 && local == left.into(), "{reset} at {local} were reset");
    let counted: u64 = running.service.metrics().listeners.iter().map(|it| it.left_waiting).sum();
    ensure!(counted == 2, "{counted} were counted");
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

/// It may have something to log. It has a second for that, and this one waits long before.
#[test]
fn r6_a_retired_one_goes_on_after_its_last_connection_until_it_waits() -> Result<()> {
    // On a busy machine all may take a second.
    for _ in 0..5 {
        if time_of_the_last_lines()? < Duration::from_millis(900) {
            return Ok(());
        }
    }
    bail!("it never ended within its second")
}

fn time_of_the_last_lines() -> Result<Duration> {
    let (running, mut one, addr) = Running::start(|builder| builder)?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    let mut two = running.reloaded("127.0.0.1:0", 2)?;
    let begun = Instant::now();
    one.expect("close kept", "ok")?;
    one.is_gone()?;
    let took = begun.elapsed();
    drop(kept);
    two.tell("exit 0")?;
    running.ended()?;
    Ok(took)
}

#[test]
fn r7_a_drain_ends_connections_without_traffic() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder.drain_idle(MOMENT))?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    // While it serves that is not so.
    one.expect("poll kept 400", "nothing")?;
    let mut two = running.reloaded("127.0.0.1:0", 2)?;
    one.expect("poll kept 5000", "ready")?;
    // As if its peer had ended it, which has not, and still gets what is sent.
    one.expect("read kept", "end")?;
    one.expect("say kept one", "ok")?;
    one.tell("close kept")?;
    is_served(kept, "one")?;
    one.is_gone()?;
    ensure!(running.service.metrics().drain_resets == 0, "{:?}", running.service.metrics());
    two.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn l4_a_connection_without_traffic_is_reset_and_counted() -> Result<()> {
    for _ in 0..10 {
        if is_reset_without_traffic()? {
            return Ok(());
        }
    }
    bail!("the machine is too slow");
}

/// `false` where this test itself had to wait for a processor for so long that there was no traffic.
fn is_reset_without_traffic() -> Result<bool> {
    const IDLE: Duration = Duration::from_millis(800);
    let (running, mut one, addr) =
        Running::start_with(|ctx| Ok(ctx.idle_timeout(IDLE)), |builder| builder)?.listening()?;
    let mut kept = running.kept_by(&mut one, addr)?;
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    let mut is_late = || {
        longest = longest.max(std::mem::replace(&mut last, Instant::now()).elapsed());
        longest >= IDLE / 2
    };
    // What comes counts, read or not, and what goes.
    for count in 0..24 {
        thread::sleep(IDLE / 12);
        let went = if count < 12 {
            std::io::Write::write_all(&mut kept, b"x").is_ok()
        } else {
            one.ask("say kept y")? == "ok"
        };
        if is_late() {
            one.tell("exit 0")?;
            running.ended()?;
            return Ok(false);
        }
        ensure!(went, "it was reset after {count}");
    }
    ensure!(running.service.metrics().listeners.iter().all(|it| it.idle_resets == 0), "it was reset");
    let begun = Instant::now();
    let mut said = Vec::new();
    let read = kept.read_to_end(&mut said);
    ensure!(read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "no reset");
    ensure!(said.len() <= 12 && begun.elapsed() >= IDLE / 4, "reset after {:?}", begun.elapsed());
    let (local, peer) = running.event(|event| match event {
        Event::IdleReset { local, peer, .. } => Some((local.clone(), peer.clone())),
        _ => None,
    })?;
    ensure!(local == addr.into() && peer == kept.local_addr()?.into(), "{peer} at {local}");
    ensure!(running.service.metrics().listeners.iter().any(|it| it.idle_resets == 1), "not counted");
    // The guest sees it, too.
    one.expect("poll kept 1000", "ready")?;
    let sent = one.ask("say kept z")?;
    ensure!(!sent.starts_with("ok"), "{sent}");
    one.tell("exit 0")?;
    running.ended()?;
    Ok(true)
}

#[test]
fn l4_what_a_peer_still_fetches_is_traffic() -> Result<()> {
    const IDLE: Duration = Duration::from_millis(300);
    let (running, mut one, addr) =
        Running::start_with(|ctx| Ok(ctx.idle_timeout(IDLE)), |builder| builder)?.listening()?;
    // With little room of its own, so that it fetches as slowly as it reads.
    let mut kept = TcpStream::from(rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?);
    rustix::net::sockopt::set_socket_recv_buffer_size(&kept, 8192)?;
    rustix::net::connect(&kept, &addr)?;
    kept.set_read_timeout(Some(WAIT_TIMEOUT))?;
    one.expect("take a kept", "ok")?;
    one.expect("fill kept", "ok")?;
    // All of it is the kernel's by now. The peer takes its time.
    let (mut piece, begun) = ([0; 512], Instant::now());
    while begun.elapsed() < 4 * IDLE {
        kept.read_exact(&mut piece)?;
        thread::sleep(IDLE / 30);
    }
    one.tell("exit 0")?;
    running.ended().map(drop)
}

/// In a queue of the kernel's and in one of the host's.
const PROFILES: [wasock::ListenProfile; 2] = [wasock::ListenProfile::Wasix, wasock::ListenProfile::Winsock];

#[test]
fn l4_a_listener_takes_so_many_connections_a_second_and_the_others_wait() -> Result<()> {
    for profile in PROFILES {
        let limited = |ctx: WasockCtxBuilder| Ok(ctx.accept_rate(4).listen_profile(profile));
        let (running, mut one, addr) = Running::start_with(limited, |builder| builder)?.listening()?;
        let begun = Instant::now();
        let clients: Vec<_> = (0..8).map(|_| connect(addr)).collect::<Result<_>>()?;
        // A second's worth at once, and one each quarter of a second from then on. A blocking accept waits.
        for _ in 0..8 {
            one.expect("accept a one", "ok")?;
        }
        let took = begun.elapsed();
        ensure!(took >= Duration::from_millis(900), "8 came in {took:?}");
        clients.into_iter().try_for_each(|client| is_served(client, "one")).context("of the first")?;
        // While one is held back the listener is not ready, and an accept finds nothing. On a busy machine the rate
        // may be back by then, and it takes some more.
        one.each(&["nonblock a"])?;
        let mut held = None;
        for _ in 0..100 {
            let client = connect(addr)?;
            let polled = one.ask("poll a 0")?;
            let accepted = one.ask("accept a one")?;
            match (polled.as_str(), accepted.as_str()) {
                (_, "ok") => is_served(client, "one").context("in time")?,
                // It was ready just before: then what finds nothing is told so in another way (A10).
                (polled, other)
                    if other.starts_with(if polled == "ready" { "ECONNABORTED" } else { "EAGAIN" }) =>
                {
                    held = Some(client);
                    break;
                }
                other => bail!("{other:?}"),
            }
        }
        let client = held.context("none is held back")?;
        one.expect("poll a 20000", "ready")?;
        one.expect("accept a one", "ok")?;
        is_served(client, "one").context("the one that was held back")?;
        let limit = running.event(|event| match event {
            Event::Limited { limit, most, .. } => Some((*limit, *most)),
            _ => None,
        })?;
        ensure!(limit == (wasock::observe::Limit::AcceptRate, 4), "{limit:?}");
        one.tell("exit 0")?;
        running.ended()?;
    }
    Ok(())
}

#[test]
fn l4_connections_of_a_peer_wait_and_those_of_others_pass() -> Result<()> {
    for profile in PROFILES {
        let limited = |ctx: WasockCtxBuilder| Ok(ctx.accept_rate_per_peer(2).listen_profile(profile));
        let (running, mut one, addr) = Running::start_with(limited, |builder| builder)?.listening()?;
        let begun = Instant::now();
        let busy: Vec<_> = (0..4).map(|_| connect(addr)).collect::<Result<_>>()?;
        let other = connect_from("127.0.0.2", addr)?;
        for _ in 0..3 {
            one.expect("accept a one", "ok")?;
        }
        // On a machine that took as long as that, the third one may be another.
        if begun.elapsed() < Duration::from_millis(450) {
            is_served(other, "one")?;
            one.expect("accept a one", "ok")?;
        } else {
            one.expect("accept a one", "ok")?;
            is_served(other, "one")?;
        }
        // They go over to the next generation, too.
        let mut two = running.reloaded("127.0.0.1:0", 2)?;
        two.expect("accept a one", "ok")?;
        ensure!(begun.elapsed() >= Duration::from_millis(900), "it took {:?}", begun.elapsed());
        busy.into_iter().try_for_each(|client| is_served(client, "one"))?;
        two.tell("exit 0")?;
        running.ended()?;
    }
    Ok(())
}

/// A client with this address.
fn connect_from(here: &str, there: SocketAddr) -> Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(here.parse()?, 0))?;
    rustix::net::connect(&socket, &there)?;
    let client = TcpStream::from(socket);
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    Ok(client)
}
