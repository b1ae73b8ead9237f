//! Listening as an embedder sees and steers it: profiles, the maximum, events.

use super::{WAIT_TIMEOUT, events, granted, is_served, run_async};
use anyhow::{Context as _, Result, anyhow, ensure};
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWriteExt as _, DuplexStream};
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasock::WasockCtxBuilder;
use wasock::observe::{Closed, Limit, Refused};
use wasock::{Event, Handle, ListenProfile, WasockCtx};

/// The guest's end of a wire that the test writes to.
struct Wire(Mutex<Option<DuplexStream>>);

impl IsTerminal for Wire {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Wire {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        match self.0.lock().ok().and_then(|mut end| end.take()) {
            Some(end) => Box::new(end),
            None => Box::new(tokio::io::empty()),
        }
    }
}

/// The guest `listener`, on a thread and a runtime of its own.
struct Listener {
    local: SocketAddr,
    events: Receiver<Event>,
    handle: Handle,
    wire: DuplexStream,
    guest: JoinHandle<Result<()>>,
}

impl Listener {
    fn start(builder: WasockCtxBuilder, backlog: u32) -> Result<Self> {
        let (wire, end) = tokio::io::duplex(1024);
        let (observer, events) = events();
        let ctx = builder
            .arg("listener")
            .arg("127.0.0.1:0")
            .arg(backlog.to_string())
            .stdin(&Wire(Mutex::new(Some(end))))
            .observer(observer)
            .build_for_any_module()?;
        let handle = ctx.handle();
        let guest = std::thread::spawn(move || run_to_its_end(ctx));
        let Event::Listening { local, .. } = events.recv_timeout(WAIT_TIMEOUT)? else {
            return Err(anyhow!("another event came first"));
        };
        let local = local.inet().context("no network address")?;
        Ok(Self { local, events, handle, wire, guest })
    }

    /// Sends the guest a command; an event shows when it is done.
    fn tell(&mut self, line: &str) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(runtime.block_on(self.wire.write_all(format!("{line}\n").as_bytes()))?)
    }

    fn next(&self) -> Result<Event> {
        Ok(self.events.recv_timeout(WAIT_TIMEOUT)?)
    }

    /// Ends the guest; the events since then.
    fn finish(self) -> Result<Vec<Event>> {
        drop(self.wire);
        self.guest.join().map_err(|_| anyhow!("a panic"))??;
        ensure!(self.handle.is_ended(), "the guest's things are still there");
        ensure!(self.handle.flush_events(WAIT_TIMEOUT), "the events do not end");
        Ok(self.events.try_iter().collect())
    }
}

fn run_to_its_end(ctx: WasockCtx) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_async(guest_tests::LISTENER, ctx))
}

fn was_reset(stream: &mut TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let outcome = stream.read(&mut [0; 1]).map_err(|error| error.kind());
    ensure!(outcome == Err(ErrorKind::ConnectionReset), "{outcome:?}");
    Ok(())
}

#[test]
fn a_profile_holds_at_its_addresses() -> Result<()> {
    let bsd = "127.0.0.1:*".parse()?;
    let elsewhere = "10.0.0.0/8:*".parse()?;
    for (addresses, expected) in [(bsd, 15), (elsewhere, 11)] {
        let (observer, events) = events();
        let ctx = granted()?
            .listen_profile(ListenProfile::Linux)
            .listen_profile_at(&addresses, ListenProfile::Bsd)
            .args(["listener", "127.0.0.1:0", "10"])
            .observer(observer)
            .build_for_any_module()?;
        run_to_its_end(ctx)?;
        let Event::Listening { backlog, result, .. } = events.recv_timeout(WAIT_TIMEOUT)? else {
            return Err(anyhow!("another event came first"));
        };
        ensure!((backlog, result) == (10, Ok(expected)), "{backlog} {result:?}");
    }
    Ok(())
}

#[test]
fn a_lower_maximum_resets_the_newest_where_the_profile_says_so() -> Result<()> {
    let listener = Listener::start(granted()?.listen_profile(ListenProfile::Winsock), 5)?;
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(listener.local)?);
    }
    listener.handle.set_max_backlog(2);
    let mut newest = clients.pop().context("no client")?;
    was_reset(&mut newest)?;
    let changed = Event::BacklogChanged { fd: 3, local: listener.local.into(), backlog: 5, capacity: 2 };
    let event = listener.next()?;
    ensure!(event == changed, "{event:?}");
    let refused = listener.next()?;
    let expected = Event::Refused {
        listener: 3,
        local: listener.local.into(),
        peer: newest.local_addr()?.into(),
        why: Refused::Shrunk,
    };
    ensure!(refused == expected, "{refused:?}");
    listener.finish().map(drop)
}

#[test]
fn events_of_a_listener_come_in_order() -> Result<()> {
    let mut listener = Listener::start(granted()?.listen_profile(ListenProfile::Winsock), 1)?;
    let addr = listener.local;
    let local = || addr.into();
    let first = TcpStream::connect(addr)?;
    let mut second = TcpStream::connect(addr)?;
    was_reset(&mut second)?;
    let peer = second.local_addr()?.into();
    let refused = Event::Refused { listener: 3, local: local(), peer, why: Refused::QueueFull };
    let event = listener.next()?;
    ensure!(event == refused, "{event:?}");

    listener.tell("accept_waiting")?;
    let accepted = Event::Accepted { listener: 3, fd: 4, peer: first.local_addr()?.into(), local: local() };
    let event = listener.next()?;
    ensure!(event == accepted, "{event:?}");

    listener.tell("listen 7")?;
    let event = listener.next()?;
    ensure!(event == Event::BacklogChanged { fd: 3, local: local(), backlog: 7, capacity: 7 }, "{event:?}");

    listener.tell("close")?;
    let closed =
        Event::Closed { fd: 4, local: local(), peer: Some(first.local_addr()?.into()), why: Closed::ByGuest };
    let event = listener.next()?;
    ensure!(event == closed, "{event:?}");

    listener.tell("close_listener")?;
    let event = listener.next()?;
    ensure!(event == Event::Closed { fd: 3, local: local(), peer: None, why: Closed::ByGuest }, "{event:?}");
    let rest = listener.finish()?;
    ensure!(rest.is_empty(), "{rest:?}");
    Ok(())
}

#[test]
fn a_limit_is_reported_once_and_each_peer_that_it_rejects() -> Result<()> {
    let limits = granted()?.max_connections(2).max_connections_per_peer(1).max_connections_per_listener(7);
    let mut listener = Listener::start(limits, 4)?;
    let addr = listener.local;
    let first = TcpStream::connect(addr)?;
    let peer = |client: &TcpStream| Ok::<_, anyhow::Error>(client.local_addr()?.into());
    listener.tell("accept_waiting")?;
    let accepted = Event::Accepted { listener: 3, fd: 4, peer: peer(&first)?, local: addr.into() };
    let event = listener.next()?;
    ensure!(event == accepted, "{event:?}");
    for round in 0..3 {
        let mut excess = TcpStream::connect(addr)?;
        listener.tell("accept")?;
        was_reset(&mut excess)?;
        if round == 0 {
            let limited = Event::Limited {
                fd: 3,
                local: addr.into(),
                peer: Some(peer(&excess)?),
                limit: Limit::ConnectionsPerPeer,
                most: 1,
            };
            let event = listener.next()?;
            ensure!(event == limited, "{event:?}");
        }
        let refused =
            Event::Refused { listener: 3, local: addr.into(), peer: peer(&excess)?, why: Refused::PeerLimit };
        let event = listener.next()?;
        ensure!(event == refused, "{event:?}");
    }
    listener.finish().map(drop)
}

#[test]
fn a_slow_observer_blocks_no_guest() -> Result<()> {
    let (release, held) = channel::<()>();
    let (told, first) = channel();
    let held = Mutex::new(held);
    let observer = move |event: &Event| {
        let _nobody = told.send(event.clone());
        // It does not come back before the test is over.
        let _released = held.lock().map(|held| held.recv_timeout(WAIT_TIMEOUT));
    };
    let ctx = granted()?.args(["server", "127.0.0.1:0"]).observer(observer).build_for_any_module()?;
    let handle = ctx.handle();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run_async(guest_tests::HTTP_SERVER, ctx))
    });
    let Event::Listening { local, .. } = first.recv_timeout(WAIT_TIMEOUT)? else {
        return Err(anyhow!("another event came first"));
    };
    let local = local.inet().context("no network address")?;
    let start = Instant::now();
    for _ in 0..20 {
        is_served(local)?;
    }
    ensure!(start.elapsed() < WAIT_TIMEOUT, "the observer ended by itself");
    ensure!(!handle.flush_events(Duration::from_millis(1)), "nothing was held");
    drop(release);
    Ok(())
}
