//! Listeners that a service holds, and the instances that adopt them: the rows of "Adoption" in
//! the operations contract. Each test is named as its row.

#[path = "adoption/datagrams.rs"]
mod datagrams;
#[path = "adoption/descriptors.rs"]
mod descriptors;
#[path = "adoption/inherited.rs"]
mod inherited;

use super::{WAIT_TIMEOUT, plain};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use wasmtime::Engine;
use wasock::{Access, Ended, Event, Guest, Handle, ListenProfile, Service, WasockCtx, WasockCtxBuilder};

/// How long something that must not happen is waited for.
const MOMENT: Duration = Duration::from_millis(200);

/// A service whose instances do as the test says.
struct Site {
    guest: Guest,
    control: TcpListener,
    service: Service,
    first: Option<WasockCtx>,
}

/// The connection to a guest that does as it is told.
pub(super) struct Control {
    control: BufReader<TcpStream>,
}

/// A running instance.
struct Instance {
    control: Control,
    handle: Handle,
    thread: JoinHandle<wasmtime::Result<Ended>>,
    tid: i32,
}

impl Deref for Instance {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl DerefMut for Instance {
    fn deref_mut(&mut self) -> &mut Control {
        &mut self.control
    }
}

impl Site {
    fn new(choose: impl FnOnce(WasockCtxBuilder) -> Result<WasockCtxBuilder>) -> Result<Self> {
        let engine: Engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
        let guest = Guest::load(&engine, Path::new(guest_tests::ADOPTION))?;
        let control = TcpListener::bind("127.0.0.1:0")?;
        let addr = control.local_addr()?.to_string();
        let builder = WasockCtx::builder()
            .listen(&"127.0.0.1:*".parse()?)
            .listen(&"[::]:*".parse()?)
            .udp_bind(&"127.0.0.1:*".parse()?)
            .connect(&addr.parse()?)
            .args(["guest", &addr])
            .inherit_stdio()
            .keep_listeners(true);
        let first = choose(builder)?.build_for_any_module()?;
        Ok(Self { guest, control, service: first.service(), first: Some(first) })
    }

    /// The next generation; the first one at first.
    fn start(&mut self) -> Result<Instance> {
        let ctx = match self.first.take() {
            Some(ctx) => ctx,
            None => self.service.next_generation()?,
        };
        self.run(ctx)
    }

    fn run(&self, ctx: WasockCtx) -> Result<Instance> {
        let (guest, handle) = (self.guest.clone(), ctx.handle());
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            _ = sender.send(rustix::thread::gettid().as_raw_nonzero().get());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(guest.run(ctx))
        });
        let tid = receiver.recv_timeout(WAIT_TIMEOUT)?;
        Ok(Instance { control: Control::accept(&self.control)?, handle, thread, tid })
    }
}

impl Control {
    /// That of the next guest that begins.
    pub(super) fn accept(listener: &TcpListener) -> Result<Self> {
        let (control, _) = listener.accept()?;
        control.set_read_timeout(Some(WAIT_TIMEOUT))?;
        Ok(Self { control: BufReader::new(control) })
    }

    /// Waits for the end of the guest.
    pub(super) fn is_gone(&mut self) -> Result<()> {
        let mut rest = String::new();
        while self.control.read_line(&mut rest).is_ok_and(|count| count > 0) {}
        // A reset is an end, too; a wait that was too long is none.
        self.control.get_ref().set_read_timeout(Some(MOMENT))?;
        let end = self.control.read(&mut [0]).map_err(|error| error.kind());
        ensure!(end != Err(ErrorKind::WouldBlock), "it is there, and has said {rest:?}");
        Ok(())
    }

    /// Gives an order, and does not wait for its end.
    pub(super) fn tell(&mut self, order: &str) -> Result<()> {
        Ok(writeln!(self.control.get_mut(), "{order}")?)
    }

    pub(super) fn answer(&mut self) -> Result<String> {
        let mut answer = String::new();
        self.control.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }

    pub(super) fn ask(&mut self, order: &str) -> Result<String> {
        self.tell(order)?;
        self.answer().with_context(|| order.to_owned())
    }

    pub(super) fn expect(&mut self, order: &str, expected: &str) -> Result<()> {
        let answer = self.ask(order)?;
        ensure!(answer == expected, "{order}: {answer}, not {expected}");
        Ok(())
    }

    pub(super) fn each(&mut self, orders: &[&str]) -> Result<()> {
        orders.iter().try_for_each(|order| self.expect(order, "ok"))
    }

    /// A listener at `place` with the name `name`; tells where it is.
    pub(super) fn listen(&mut self, name: &str, place: &str) -> Result<SocketAddr> {
        self.each(&[
            &format!("open {name} tcp"),
            &format!("bind {name} {place}"),
            &format!("listen {name} 16"),
        ])?;
        Ok(self.ask(&format!("local {name}"))?.parse()?)
    }
}

impl Instance {
    fn exit(mut self) -> Result<()> {
        self.tell("exit 0")?;
        match self.thread.join() {
            Ok(ended) => ensure!(ended.map_err(plain)?.code == 0, "it failed"),
            Err(_) => bail!("it panicked"),
        }
        Ok(())
    }

    /// How often the thread that runs it has slept.
    fn sleeps(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/self/task/{}/status", self.tid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        Ok(line.context("the kernel does not tell")?.trim().parse()?)
    }
}

pub(super) fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    Ok(stream)
}

/// The instance that serves the client says this.
pub(super) fn is_served(mut client: impl std::io::Read, by: &str) -> Result<()> {
    let mut said = String::new();
    client.read_to_string(&mut said)?;
    ensure!(said == by, "served by {said:?}, not {by:?}");
    Ok(())
}

pub(super) fn is_refused(addr: SocketAddr) -> bool {
    TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Connections that are established until no more are.
fn fill(addr: SocketAddr) -> Vec<TcpStream> {
    std::iter::from_fn(|| TcpStream::connect_timeout(&addr, MOMENT).ok()).take(64).collect()
}

#[test]
fn a1_bind_gives_the_held_socket() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    // It is held, and had by this instance: another of its sockets does not get it.
    one.expect("open b tcp", "ok")?;
    one.expect(&format!("bind b {addr}"), "EADDRINUSE (3)")?;
    // Another kind of socket at that address is another one.
    one.each(&["open c udp", &format!("bind c {addr}")])?;
    one.exit()?;
    let client = connect(addr)?;
    let mut two = site.start()?;
    ensure!(two.listen("a", &addr.to_string())? == addr, "it is somewhere else");
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    two.exit()
}

#[test]
fn a1_the_policy_is_asked_before_a_held_socket_is_given() -> Result<()> {
    let is_denied = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_denied);
    let mut site = Site::new(|builder| Ok(builder.check(move |_| !asked.load(SeqCst))))?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    one.exit()?;
    let client = connect(addr)?;
    let mut two = site.start()?;
    is_denied.store(true, SeqCst);
    two.expect("open a tcp", "ok")?;
    two.expect(&format!("bind a {addr}"), "EACCES (2)")?;
    // Nor does it get the port of the one before, where it leaves that to the host.
    is_denied.store(false, SeqCst);
    two.expect("bind a 127.0.0.1:0", "ok")?;
    is_denied.store(true, SeqCst);
    two.expect("listen a 4", "EACCES (2)")?;
    ensure!(site.service.held_listeners() == 1, "it is gone");
    is_denied.store(false, SeqCst);
    two.each(&["close a", "open a tcp", &format!("bind a {addr}"), "listen a 4"])?;
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    two.exit()
}

#[test]
fn a1_without_holding_a_listener_ends_with_its_instance() -> Result<()> {
    let mut site = Site::new(|builder| Ok(builder.keep_listeners(false)))?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    one.exit()?;
    ensure!(is_refused(addr), "a listener is there");
    ensure!(site.service.held_listeners() == 0, "it is held");
    Ok(())
}

#[test]
fn a1_a_service_that_is_gone_holds_nothing() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    one.exit()?;
    ensure!(site.service.held_listeners() == 1, "it is not held");
    let client = connect(addr)?;
    drop(site);
    let mut byte = [0];
    let read = (&client).read(&mut byte);
    ensure!(read.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{read:?}");
    ensure!(is_refused(addr), "a listener is there");
    Ok(())
}

#[test]
fn a2_ports_of_the_hosts_choice_survive_in_the_order_of_listen() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    // In the order in which they listen, and not in that of bind.
    one.each(&[
        "open a tcp",
        "bind a 127.0.0.1:0",
        "open b tcp",
        "bind b 127.0.0.1:0",
        "listen b 4",
        "listen a 4",
    ])?;
    let (a, b) = (one.ask("local a")?, one.ask("local b")?);
    one.exit()?;
    let mut two = site.start()?;
    // Datagrams and sockets that do not listen do not count.
    two.each(&["open u udp", "bind u 127.0.0.1:0", "open n tcp", "bind n 127.0.0.1:0"])?;
    two.each(&[
        "open x tcp",
        "bind x 127.0.0.1:0",
        "listen x 4",
        "open y tcp",
        "bind y 127.0.0.1:0",
        "listen y 4",
    ])?;
    ensure!((two.ask("local x")?, two.ask("local y")?) == (b.clone(), a.clone()), "other ports");
    let third = two.listen("z", "127.0.0.1:0")?.to_string();
    ensure!(third != a && third != b, "a third one has the port of another");
    two.exit()?;
    // One whose address the guest knows keeps it.
    let mut three = site.start()?;
    three.each(&["open x tcp", "bind x 127.0.0.1:0"])?;
    let known = three.ask("local x")?;
    three.expect("listen x 4", "ok")?;
    ensure!(three.ask("local x")? == known && known != b, "its port has changed");
    ensure!(three.listen("y", "127.0.0.1:0")?.to_string() == a, "the second one is not the second one");
    three.exit()
}

#[test]
fn a2_sockets_that_share_an_address_match_by_their_order() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    one.each(&["open a tcp", "shared a", "bind a 127.0.0.1:0", "listen a 64"])?;
    let addr: SocketAddr = one.ask("local a")?.parse()?;
    one.each(&["open b tcp", "shared b", &format!("bind b {addr}"), "listen b 64"])?;
    one.exit()?;
    ensure!(site.service.held_listeners() == 2, "one of the two is gone");
    // The kernel chooses the queue of each.
    let mut clients: Vec<_> = (0..64).map(|_| connect(addr)).collect::<Result<_>>()?;
    let mut two = site.start()?;
    let mut served = 0;
    for name in ["a", "b"] {
        two.each(&[
            &format!("open {name} tcp"),
            &format!("shared {name}"),
            &format!("bind {name} {addr}"),
            &format!("listen {name} 64"),
            &format!("nonblock {name}"),
        ])?;
        let mut of_this = 0;
        while two.ask(&format!("accept {name} two"))? == "ok" {
            of_this += 1;
        }
        ensure!(of_this > 0, "nobody waits at {name}");
        served += of_this;
    }
    ensure!(served == clients.len(), "{served} of {}", clients.len());
    clients.drain(..).try_for_each(|client| is_served(client, "two"))?;
    ensure!(site.service.held_listeners() == 2, "another socket was made");
    two.exit()
}

#[test]
fn a3_options_take_effect_when_the_instance_is_ready() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let adopts = |instance: &mut Instance| {
        instance.each(&["open a tcp", "keepalive a on", &format!("bind a {addr}"), "listen a 16"])
    };
    let mut two = site.start()?;
    adopts(&mut two)?;
    two.expect("is_kept_alive a", "true")?;
    one.expect("is_kept_alive a", "false")?;
    // A rollback leaves no trace.
    two.exit()?;
    one.expect("is_kept_alive a", "false")?;
    let mut three = site.start()?;
    adopts(&mut three)?;
    three.handle.ready();
    three.expect("is_kept_alive a", "true")?;
    one.expect("is_kept_alive a", "true")?;
    three.expect("keepalive a off", "ok")?;
    one.expect("is_kept_alive a", "false")?;
    one.exit()?;
    three.exit()?;
    // There is no other instance: it takes effect at once.
    let mut four = site.start()?;
    adopts(&mut four)?;
    four.expect("is_kept_alive a", "true")?;
    four.exit()
}

#[test]
fn a3_an_option_that_cannot_hold_is_no_adoption() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    one.each(&["open a tcp6", "bind a [::]:0", "listen a 4"])?;
    let addr = one.ask("local a")?;
    one.exit()?;
    let mut two = site.start()?;
    two.each(&["open a tcp6", "only_v6 a"])?;
    two.expect(&format!("bind a {addr}"), "EADDRINUSE (3)")?;
    two.each(&["open b tcp6", &format!("bind b {addr}"), "listen b 4"])?;
    two.exit()
}

#[test]
fn a4_the_backlog_is_the_largest_of_those_that_serve() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    one.each(&["open a tcp", "bind a 127.0.0.1:0", "listen a 2"])?;
    let addr: SocketAddr = one.ask("local a")?.parse()?;
    let mut two = site.start()?;
    two.each(&["open a tcp", &format!("bind a {addr}"), "listen a 5"])?;
    let clients = fill(addr);
    ensure!(clients.len() == 2, "{} wait, and the one that asks for more is not ready", clients.len());
    two.handle.ready();
    let more = fill(addr);
    ensure!(clients.len() + more.len() == 5, "{} more wait", more.len());
    one.exit()?;
    // The one that is left asks for less: connections that wait are kept, and no more come in.
    two.expect("listen a 1", "ok")?;
    (0..5).try_for_each(|_| two.expect("accept a two", "ok"))?;
    ensure!(fill(addr).len() == 1, "another backlog");
    two.exit()
}

#[test]
fn a4_a_queue_of_the_hosts_goes_over_whole() -> Result<()> {
    let mut site = Site::new(|builder| Ok(builder.listen_profile(ListenProfile::Winsock)))?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let clients: Vec<_> = (0..8).map(|_| connect(addr)).collect::<Result<_>>()?;
    one.expect("poll a 10000", "ready")?;
    one.exit()?;
    let late = connect(addr)?;
    let mut two = site.start()?;
    two.listen("a", "127.0.0.1:0")?;
    for client in clients.into_iter().chain([late]) {
        two.expect("accept a two", "ok")?;
        is_served(client, "two")?;
    }
    two.exit()
}

#[test]
fn a5_clients_between_two_instances_wait_and_are_served() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut addr = None;
    let mut waiting: Vec<TcpStream> = Vec::new();
    for round in 0..10 {
        let mut instance = site.start()?;
        let here = instance.listen("a", "127.0.0.1:0")?;
        ensure!(*addr.get_or_insert(here) == here, "another port");
        let word = round.to_string();
        for client in waiting.drain(..) {
            instance.expect(&format!("accept a {word}"), "ok")?;
            is_served(client, &word)?;
        }
        waiting.push(connect(here)?);
        instance.exit()?;
        waiting.extend((0..3).map(|_| connect(here)).collect::<Result<Vec<_>>>()?);
    }
    Ok(())
}

#[test]
fn a6_a_listener_that_a_living_guest_closes_is_let_go_of() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    // A duplicate has it still.
    one.each(&["dup a b", "close a"])?;
    thread::sleep(Duration::from_millis(2500));
    ensure!(site.service.held_listeners() == 1, "it was released");
    let begun = Instant::now();
    one.expect("close b", "ok")?;
    while site.service.held_listeners() > 0 {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "it is held for ever");
        thread::sleep(Duration::from_millis(10));
    }
    ensure!(begun.elapsed() >= Duration::from_secs(2), "released after {:?}", begun.elapsed());
    ensure!(is_refused(addr), "a listener is there");
    one.exit()
}

#[test]
fn a6_a_close_on_the_way_to_the_end_lets_go_of_nothing() -> Result<()> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    one.expect("close a", "ok")?;
    one.exit()?;
    // A retired one means nothing by it either, for as long as it lives.
    let mut two = site.start()?;
    two.listen("a", &addr.to_string())?;
    two.handle.retire();
    two.expect("close a", "ok")?;
    thread::sleep(Duration::from_millis(2500));
    let client = connect(addr)?;
    two.exit()?;
    let mut three = site.start()?;
    three.listen("a", &addr.to_string())?;
    three.expect("accept a three", "ok")?;
    is_served(client, "three")?;
    // It binds there again in time.
    three.each(&["close a", "open a tcp", &format!("bind a {addr}"), "listen a 4"])?;
    thread::sleep(Duration::from_millis(2500));
    ensure!(!is_refused(addr), "it was released");
    three.exit()
}

/// A site with a directory that its guests call `/run`.
fn with_run() -> Result<(tempfile::TempDir, Site)> {
    let folder = tempfile::tempdir()?;
    let site = Site::new(|builder| {
        let builder = builder.listen(&"unix:/run/*".parse()?);
        Ok(builder.preopened_dir(folder.path(), "/run", Access::ReadWrite)?)
    })?;
    Ok((folder, site))
}

#[test]
fn a8_a_unix_listener_keeps_its_name() -> Result<()> {
    let (folder, mut site) = with_run()?;
    let path = folder.path().join("s");
    let mut waiting = None;
    for word in ["one", "two", "three"] {
        let mut instance = site.start()?;
        // Before the bind, as most servers do.
        let there = if word == "one" { "ENOENT (44)" } else { "ok" };
        instance.expect("unlink /run/s", there)?;
        if word != "one" {
            // It is hidden from this one alone.
            instance.expect("is_there /run/s", "ENOENT (44)")?;
            instance.expect("unlink /run/s", "ENOENT (44)")?;
            ensure!(path.exists(), "the name is gone");
        }
        instance.each(&["open a unix", "bind a /run/s", "listen a 8", "is_there /run/s"])?;
        if let Some(client) = waiting.take() {
            instance.expect(&format!("accept a {word}"), "ok")?;
            is_served(client, word)?;
        }
        // And at the end.
        instance.expect("unlink /run/s", "ok")?;
        instance.exit()?;
        ensure!(path.exists(), "the name is gone");
        waiting = Some(UnixStream::connect(&path)?);
    }
    // The last one did not want it any more: it goes with the socket.
    site.service.release_listeners();
    ensure!(!path.exists(), "the name is left");
    Ok(())
}

#[test]
fn a8_a_retired_instance_does_nothing_to_the_name() -> Result<()> {
    let (folder, mut site) = with_run()?;
    let path = folder.path().join("s");
    let mut one = site.start()?;
    one.each(&["open a unix", "bind a /run/s", "listen a 8"])?;
    let mut two = site.start()?;
    two.each(&["unlink /run/s", "open a unix", "bind a /run/s", "listen a 8"])?;
    two.handle.ready();
    one.handle.retire();
    one.each(&["unlink /run/s", "is_there /run/s"])?;
    one.exit()?;
    let client = UnixStream::connect(&path)?;
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    two.exit()?;
    site.service.release_listeners();
    ensure!(path.exists(), "it was not removed");
    Ok(())
}

#[test]
fn a9_an_address_of_somebody_else_is_in_use() -> Result<()> {
    let other = TcpListener::bind("127.0.0.1:0")?;
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    one.expect("open a tcp", "ok")?;
    one.expect(&format!("bind a {}", other.local_addr()?), "EADDRINUSE (3)")?;
    // What one service holds is not another one's.
    let addr = one.listen("b", "127.0.0.1:0")?;
    let mut second = Site::new(Ok)?;
    let mut stranger = second.start()?;
    stranger.expect("open a tcp", "ok")?;
    stranger.expect(&format!("bind a {addr}"), "EADDRINUSE (3)")?;
    stranger.exit()?;
    one.exit()
}

/// A site whose unclaimed sockets are closed soon, and what is reported of them.
fn impatient(
    choose: impl FnOnce(WasockCtxBuilder) -> Result<WasockCtxBuilder>,
) -> Result<(Site, mpsc::Receiver<Event>)> {
    let (sender, events) = mpsc::channel();
    let site = Site::new(|builder| {
        let tell = move |event: &Event| {
            if let Event::Unclaimed { .. } = event {
                _ = sender.send(event.clone());
            }
        };
        choose(builder.unclaimed_timeout(MOMENT).observer(tell))
    })?;
    Ok((site, events))
}

#[test]
fn a9_what_an_instance_that_serves_leaves_unclaimed_is_closed() -> Result<()> {
    let (mut site, events) = impatient(Ok)?;
    let mut one = site.start()?;
    let kept = one.listen("a", "127.0.0.1:0")?;
    let left = one.listen("b", "127.0.0.1:0")?;
    let mut waiting = connect(left)?;
    let mut two = site.start()?;
    two.listen("a", &kept.to_string())?;
    // The one before serves, and this one is not ready: nothing is closed, however long it takes.
    ensure!(events.recv_timeout(2 * MOMENT).is_err(), "it was closed");
    one.handle.retire();
    two.handle.ready();
    let event = events.recv_timeout(WAIT_TIMEOUT)?;
    ensure!(event == Event::Unclaimed { local: left.into(), is_closed: true }, "{event:?}");
    // Although the retired one has it still.
    let read = waiting.read(&mut [0]);
    ensure!(read.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{read:?}");
    ensure!(is_refused(left) && !is_refused(kept), "the wrong one is closed");
    ensure!(site.service.held_listeners() == 1, "it is held");
    one.exit()?;
    two.exit()
}

#[test]
fn a9_an_instance_that_has_ended_closes_nothing() -> Result<()> {
    let (mut site, events) = impatient(Ok)?;
    let mut one = site.start()?;
    let (a, b) = (one.listen("a", "127.0.0.1:0")?, one.listen("b", "127.0.0.1:0")?);
    one.exit()?;
    let mut two = site.start()?;
    two.listen("a", &a.to_string())?;
    two.exit()?;
    ensure!(events.recv_timeout(2 * MOMENT).is_err(), "it was closed");
    ensure!(!is_refused(a) && !is_refused(b), "it was closed");
    Ok(())
}

/// Two workers at one listener.
fn workers() -> Result<(Site, Instance, Instance, SocketAddr)> {
    let mut site = Site::new(Ok)?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let mut two = site.run(site.service.worker(1)?)?;
    ensure!(two.listen("a", &addr.to_string())? == addr, "somewhere else");
    Ok((site, one, two, addr))
}

#[test]
fn a10_an_accept_after_a_report_that_finds_nothing_fails() -> Result<()> {
    let (_site, mut one, mut two, addr) = workers()?;
    for order in ["poll a 20000", "wait 20000"] {
        if order.starts_with("wait") {
            one.expect("watch a", "ok")?;
            two.expect("watch a", "ok")?;
        }
        let client = connect(addr)?;
        one.expect(order, "ready")?;
        two.expect(order, "ready")?;
        one.expect("accept a one", "ok")?;
        is_served(client, "one")?;
        // It blocks, and would wait for ever.
        two.expect("accept a two", "ECONNABORTED (13)")?;
    }
    // It is reported once: this one waits, and gets the next.
    two.tell("accept a two")?;
    is_served(connect(addr)?, "two")?;
    ensure!(two.answer()? == "ok", "not accepted");
    // A retired one after a report.
    let client = connect(addr)?;
    one.expect("poll a 20000", "ready")?;
    one.handle.retire();
    one.expect("accept a one", "ECONNABORTED (13)")?;
    one.each(&["nonblock a"])?;
    one.expect("accept a one", "EAGAIN (6)")?;
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    one.exit()?;
    two.exit()
}

#[test]
fn a10_with_several_takers_everybody_is_served_once() -> Result<()> {
    let (_site, mut one, mut two, addr) = workers()?;
    let clients: Vec<_> = (0..16).map(|_| connect(addr)).collect::<Result<_>>()?;
    for _ in 0..8 {
        one.expect("accept a w", "ok")?;
        two.expect("accept a w", "ok")?;
    }
    clients.into_iter().try_for_each(|client| is_served(client, "w"))?;
    one.exit()?;
    two.exit()
}

/// What "retired" means to each way to wait.
#[test]
fn a11_a_retired_instance_hears_of_nobody_and_a_rollback_undoes_it() -> Result<()> {
    for profile in [ListenProfile::Wasix, ListenProfile::Winsock] {
        let mut site = Site::new(|builder| Ok(builder.listen_profile(profile)))?;
        let mut one = site.start()?;
        let addr = one.listen("a", "127.0.0.1:0")?;
        one.expect("watch a", "ok")?;
        one.handle.retire();
        let client = connect(addr)?;
        one.expect("poll a 100", "nothing")?;
        one.expect("wait 100", "nothing")?;
        // It waits, and is woken by the rollback.
        for (order, answer) in [("poll a 20000", "ready"), ("wait 20000", "ready"), ("accept a one", "ok")] {
            one.handle.retire();
            if order.starts_with("accept") {
                // One was reported to it, and once only.
                one.expect(order, "ECONNABORTED (13)")?;
            }
            one.tell(order)?;
            thread::sleep(MOMENT);
            one.control.control.get_ref().set_nonblocking(true)?;
            let early = one.control.control.fill_buf().map(<[u8]>::len).map_err(|error| error.kind());
            one.control.control.get_ref().set_nonblocking(false)?;
            ensure!(early == Err(ErrorKind::WouldBlock), "{profile}: {order} has ended: {early:?}");
            one.handle.unretire();
            let found = one.answer()?;
            ensure!(found == answer, "{profile}: {order}: {found}");
        }
        is_served(client, "one")?;
        one.exit()?;
    }
    Ok(())
}

#[test]
fn a11_a_retired_instance_wakes_0_times_for_its_listener() -> Result<()> {
    let orders = ["accept a one", "poll a 60000", "wait 60000"];
    let profiles = [ListenProfile::Wasix, ListenProfile::Winsock];
    for (order, profile) in orders.into_iter().flat_map(|order| profiles.map(|profile| (order, profile))) {
        let mut site = Site::new(|builder| Ok(builder.listen_profile(profile)))?;
        let mut one = site.start()?;
        let addr = one.listen("a", "127.0.0.1:0")?;
        one.expect("watch a", "ok")?;
        let mut two = site.start()?;
        ensure!(two.listen("a", &addr.to_string())? == addr, "somewhere else");
        one.tell(order)?;
        two.handle.ready();
        one.handle.retire();
        // Until it sleeps.
        thread::sleep(MOMENT);
        let before = one.sleeps()?;
        for _ in 0..200 {
            let client = connect(addr)?;
            two.expect("accept a two", "ok")?;
            is_served(client, "two")?;
        }
        let woken = one.sleeps()? - before;
        ensure!(woken == 0, "{profile}, {order}: it was woken {woken} times");
        one.handle.terminate();
        two.exit()?;
    }
    Ok(())
}

/// The counters are the service's: they go on from one instance to the next.
#[test]
fn counters_of_a_listener_go_on_with_the_next_instance() -> Result<()> {
    let winsock = |builder: WasockCtxBuilder| {
        let builder = builder.listen_profile(ListenProfile::Winsock).max_connections(1);
        Ok(builder.max_connections_per_peer(4).max_backlog(2))
    };
    let mut site = Site::new(winsock)?;
    let mut one = site.start()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let handle = one.handle.clone();
    let clients: Vec<_> = (0..2).map(|_| connect(addr)).collect::<Result<_>>()?;
    one.expect("poll a 20000", "ready")?;
    // The queue is full, and this one is reset.
    let _reset = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT);
    let refused =
        |handle: &Handle| handle.metrics().listeners.iter().map(|it| it.refused_queue_full).sum::<u64>();
    let begun = Instant::now();
    while refused(&handle) == 0 {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "no client was refused");
        thread::sleep(Duration::from_millis(2));
    }
    one.expect("take a first", "ok")?;
    one.expect("take a second", "EMFILE (33)")?;
    one.expect("close first", "ok")?;
    one.exit()?;
    let mut two = site.start()?;
    two.listen("a", "127.0.0.1:0")?;
    two.expect("accept a two", "ok")?;
    two.exit()?;
    drop(clients);
    let metrics = handle.metrics();
    let [listener] = metrics.listeners.as_slice() else { bail!("{metrics:?}") };
    let counted =
        (listener.accepted, listener.refused_queue_full, listener.refused(), listener.limit_reached);
    ensure!(listener.local.inet() == Some(addr) && counted == (2, 1, 1, 1), "{metrics:?}");
    Ok(())
}
