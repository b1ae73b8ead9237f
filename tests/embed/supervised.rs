//! A service that starts, restarts, reloads and drains its instances: the rows of "Restart, reload,
//! drain" and "Workers" in the operations contract. Each test is named as its row.

use super::adoption::{Control, connect, is_refused, is_served};
use super::{WAIT_TIMEOUT, plain};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use wasock::observe::DrainEnd;
use wasock::{
    Ended, Event, Guest, ReloadError, ReloadMode, Restart, Service, ServiceBuilder, Signal, Terminated,
    WasockCtx,
};

/// How long something that must not happen is waited for.
const MOMENT: Duration = Duration::from_millis(200);

/// A service that runs, and what it reports.
struct Running {
    service: Service,
    control: TcpListener,
    events: mpsc::Receiver<Event>,
    thread: JoinHandle<wasmtime::Result<Ended>>,
}

/// A reload that goes on.
struct Reload(JoinHandle<Result<u32, ReloadError>>);

impl Reload {
    fn done(self) -> Result<Result<u32, ReloadError>> {
        self.0.join().ok().context("it panicked")
    }
}

/// The guest, in an engine of its own.
fn guest() -> Result<Guest> {
    let engine = Guest::new_engine(&Guest::engine_config()).map_err(plain)?;
    Ok(Guest::load(&engine, Path::new(guest_tests::ADOPTION))?)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => std::panic::resume_unwind(Box::new(error)),
    }
}

impl Running {
    fn start(choose: impl FnOnce(ServiceBuilder) -> ServiceBuilder) -> Result<Self> {
        let control = TcpListener::bind("127.0.0.1:0")?;
        let addr = control.local_addr()?.to_string();
        let (sender, events) = mpsc::channel();
        let ctx = WasockCtx::builder()
            .listen(&"127.0.0.1:*".parse()?)
            .udp_bind(&"127.0.0.1:*".parse()?)
            .connect(&addr.parse()?)
            .args(["guest", &addr])
            .inherit_stdio()
            .ignore_signal(Signal::Usr1)
            .ignore_signal(Signal::Int)
            .observer(move |event: &Event| _ = sender.send(event.clone()));
        let service = choose(Service::builder(ctx)).build()?;
        let (runs, guest) = (service.clone(), guest()?);
        let thread = thread::spawn(move || block_on(runs.run(guest)));
        Ok(Self { service, control, events, thread })
    }

    /// The next instance that begins.
    fn next(&self) -> Result<Control> {
        Control::accept(&self.control)
    }

    /// Does no instance begin for a while?
    fn nobody_begins(&self) -> Result<()> {
        self.control.set_nonblocking(true)?;
        thread::sleep(MOMENT);
        let found = self.control.accept();
        self.control.set_nonblocking(false)?;
        ensure!(found.is_err(), "an instance began");
        Ok(())
    }

    fn reload(&self) -> Result<Reload> {
        let (service, guest) = (self.service.clone(), guest()?);
        Ok(Reload(thread::spawn(move || block_on(service.reload(guest)))))
    }

    /// The next event of those that `wanted` takes.
    fn event<T>(&self, wanted: impl Fn(&Event) -> Option<T>) -> Result<T> {
        loop {
            if let Some(found) = wanted(&self.events.recv_timeout(WAIT_TIMEOUT)?) {
                return Ok(found);
            }
        }
    }

    fn restarted(&self) -> Result<(u32, String, Duration)> {
        self.event(|event| match event {
            Event::InstanceRestarted { worker, why, after, .. } => Some((*worker, why.clone(), *after)),
            _ => None,
        })
    }

    /// The exit code, once it has ended.
    fn ended(self) -> Result<u32> {
        let begun = Instant::now();
        while !self.thread.is_finished() {
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "it runs for ever");
            thread::sleep(Duration::from_millis(2));
        }
        match self.thread.join() {
            Ok(ended) => Ok(ended.map_err(plain)?.code),
            Err(_) => bail!("it panicked"),
        }
    }
}

fn is_reset(mut client: &TcpStream) -> Result<()> {
    let read = client.read(&mut [0]);
    ensure!(read.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{read:?}");
    Ok(())
}

#[test]
fn r1_a_failure_starts_the_guest_anew_and_nobody_is_refused() -> Result<()> {
    let running = Running::start(|builder| builder.restart(Restart::OnFailure))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let client = connect(addr)?;
    one.tell("exit 3")?;
    ensure!(running.restarted()? == (0, "exit code 3".to_owned(), Duration::ZERO), "another event");
    let mut two = running.next()?;
    // By the port of its own choice, as the one before had it.
    ensure!(two.listen("a", "127.0.0.1:0")? == addr, "another port");
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    // A trap, after which it waits for a moment.
    let client = connect(addr)?;
    two.tell("unreachable")?;
    let (_, why, after) = running.restarted()?;
    ensure!(why.contains("unreachable") && after == Duration::from_millis(100), "{why} {after:?}");
    let mut three = running.next()?;
    three.listen("a", &addr.to_string())?;
    three.expect("accept a three", "ok")?;
    is_served(client, "three")?;
    ensure!(running.service.metrics().restarts == 2, "{:?}", running.service.metrics());
    // No failure.
    three.tell("exit 0")?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn r1_never_and_always() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    running.next()?.tell("exit 3")?;
    ensure!(running.ended()? == 3, "another code");
    let running = Running::start(|builder| builder.restart(Restart::Always))?;
    running.next()?.tell("exit 0")?;
    ensure!(running.restarted()?.1 == "exit code 0", "another event");
    let mut two = running.next()?;
    running.service.drain();
    two.is_gone()?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn r1_a_signal_that_a_guest_lives_on_with_leaves_restarts_on() -> Result<()> {
    let running = Running::start(|builder| builder.restart(Restart::OnFailure))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    running.service.signal(Signal::Usr1);
    running.service.signal(Signal::Int);
    one.expect("poll a 50", "nothing")?;
    one.tell("unreachable")?;
    ensure!(running.restarted()?.0 == 0, "another worker");
    let mut two = running.next()?;
    two.listen("a", &addr.to_string())?;
    // What it ends does not start anew.
    running.service.signal(Signal::Term);
    two.is_gone()?;
    ensure!(running.ended()? == 143, "another code");
    Ok(())
}

#[test]
fn r1_workers_that_are_still_to_start_do_so_after_a_signal() -> Result<()> {
    let running = Running::start(|builder| builder.workers(2))?;
    let mut one = running.next()?;
    running.service.signal(Signal::Int);
    running.service.signal(Signal::Usr1);
    one.listen("a", "127.0.0.1:0")?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    running.service.terminate();
    running.thread.join().ok().context("it panicked")?.map(drop).err().context("no order").map(drop)
}

/// One that ends under `Restart::Never` is told of.
#[test]
fn r1_a_worker_that_stays_ended_is_reported() -> Result<()> {
    let (running, mut one, mut two, _) = two_workers(|builder| builder)?;
    two.tell("exit 3")?;
    let ended = running.event(|event| match event {
        Event::InstanceEnded { generation, worker, why, left } => {
            Some((*generation, *worker, why.clone(), *left))
        }
        _ => None,
    })?;
    ensure!(ended == (1, 1, "exit code 3".to_owned(), 1), "{ended:?}");
    one.tell("exit 0")?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn r1_five_short_lives_end_the_service_with_the_guests_code() -> Result<()> {
    let running = Running::start(|builder| builder.restart(Restart::OnFailure))?;
    for _ in 0..5 {
        running.next()?.tell("exit 9")?;
    }
    ensure!(running.ended()? == 9, "another code");
    Ok(())
}

/// R3, R4 and R6: who accepts when.
#[test]
fn r4_a_reload_has_the_new_one_accept_and_the_old_one_go_on() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let kept = connect(addr)?;
    one.expect("take a kept", "ok")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.each(&["open a tcp", &format!("bind a {addr}")])?;
    // It does not listen yet: the old one serves.
    let client = connect(addr)?;
    one.expect("accept a one", "ok")?;
    is_served(client, "one")?;
    two.expect("listen a 16", "ok")?;
    ensure!(reload.done()? == Ok(2), "another generation");
    ensure!(running.event(|it| matches!(it, Event::Reloaded { generation: 2 }).then_some(())).is_ok());
    let client = connect(addr)?;
    one.expect("poll a 50", "nothing")?;
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    // It goes on with its connection, and ends with it.
    one.expect("say kept one", "ok")?;
    one.tell("close kept")?;
    is_served(kept, "one")?;
    one.is_gone()?;
    ensure!(running.service.metrics().reloads == 1, "{:?}", running.service.metrics());
    two.tell("exit 4")?;
    ensure!(running.ended()? == 4, "another code");
    Ok(())
}

#[test]
fn r3_a_new_one_that_ends_is_rolled_back() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.each(&["open a tcp", &format!("bind a {addr}")])?;
    two.tell("exit 7")?;
    ensure!(reload.done()? == Err(ReloadError::Ended("exit code 7".to_owned())), "another outcome");
    let client = connect(addr)?;
    one.expect("accept a one", "ok")?;
    is_served(client, "one")?;
    ensure!(running.service.metrics().failed_reloads == 1, "{:?}", running.service.metrics());
    // The next attempt is as good as the first.
    let reload = running.reload()?;
    let mut three = running.next()?;
    three.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(3), "another generation");
    one.is_gone()?;
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r3_a_new_one_that_listens_and_dies_at_once_is_rolled_back() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    two.tell("exit 7")?;
    ensure!(reload.done()? == Err(ReloadError::Ended("exit code 7".to_owned())), "another outcome");
    let client = connect(addr)?;
    one.expect("accept a one", "ok")?;
    is_served(client, "one")?;
    one.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r3_while_the_old_one_is_between_two_instances_the_new_one_must_listen_where_that_did() -> Result<()> {
    let running = Running::start(|builder| builder.restart(Restart::OnFailure).ready_timeout(4 * MOMENT))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    one.tell("exit 1")?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    two.tell("exit 1")?;
    running.restarted()?;
    ensure!(running.restarted()?.2 == Duration::from_millis(100), "another delay");
    // The one that begins first is the new generation, or not: neither listens.
    let reload = running.reload()?;
    let mut next = [running.next()?, running.next()?];
    ensure!(reload.done()? == Err(ReloadError::NotListening), "another outcome");
    let mut old = next.iter_mut().filter_map(|it| it.listen("a", &addr.to_string()).ok().map(|_| it));
    let old = old.next().context("the old one is gone")?;
    old.tell("exit 0")?;
    running.ended().map(drop)
}

/// A new one that has nowhere to listen is to live for a second.
#[test]
fn r3_a_new_one_of_an_old_one_that_has_not_listened_shows_by_its_life_that_it_is_good() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    let mut one = running.next()?;
    let reload = running.reload()?;
    running.next()?.tell("exit 7")?;
    ensure!(reload.done()? == Err(ReloadError::Ended("exit code 7".to_owned())), "another outcome");
    let reload = running.reload()?;
    let mut three = running.next()?;
    ensure!(reload.done()? == Ok(3), "another outcome");
    one.is_gone()?;
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r3_an_old_one_that_ends_for_good_leaves_its_place_to_one_that_lives() -> Result<()> {
    let running = Running::start(|builder| builder.ready_timeout(2 * MOMENT))?;
    let mut one = running.next()?;
    one.listen("a", "127.0.0.1:0")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    let begun = Instant::now();
    one.tell("exit 1")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    ensure!(begun.elapsed() > MOMENT, "it was ready after {:?}", begun.elapsed());
    two.tell("exit 4")?;
    ensure!(running.ended()? == 4, "another code");
    Ok(())
}

#[test]
fn r9_where_only_what_drains_is_left_whoever_comes_is_refused() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let kept = connect(addr)?;
    one.expect("take a kept", "ok")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    two.tell("exit 6")?;
    let ends = running.event(|event| match event {
        Event::ServiceEnds { why, generations } => Some((why.clone(), *generations)),
        _ => None,
    })?;
    ensure!(ends == ("exit code 6".to_owned(), 1), "{ends:?}");
    ensure!(is_refused(addr), "it lets clients in");
    let again = block_on(running.service.reload(guest()?));
    ensure!(again == Err(ReloadError::NotRunning), "{again:?}");
    one.expect("say kept one", "ok")?;
    one.tell("close kept")?;
    is_served(kept, "one")?;
    ensure!(running.ended()? == 6, "another code");
    Ok(())
}

#[test]
fn r3_after_a_while_one_listener_is_enough_and_none_is_not() -> Result<()> {
    let running = Running::start(|builder| builder.ready_timeout(MOMENT))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    one.listen("b", "127.0.0.1:0")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    ensure!(reload.done()? == Err(ReloadError::NotListening), "another outcome");
    two.is_gone()?;
    let reload = running.reload()?;
    let mut three = running.next()?;
    three.listen("a", &addr.to_string())?;
    ensure!(reload.done()? == Ok(3), "another outcome");
    one.is_gone()?;
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r5_a_drain_signal_is_sent_to_what_is_retired() -> Result<()> {
    // Without a handler it ends the guest, whatever connections there are.
    let running = Running::start(|builder| builder.drain_signal(Signal::Term))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let kept = connect(addr)?;
    one.expect("take a kept", "ok")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    one.is_gone()?;
    drop(kept);
    two.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r6_what_is_left_at_the_deadline_is_reset_and_counted() -> Result<()> {
    let running = Running::start(|builder| builder.drain_timeout(MOMENT))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let kept = connect(addr)?;
    one.expect("take a kept", "ok")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
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
    let running = Running::start(|builder| builder.restart(Restart::Always))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let kept = connect(addr)?;
    one.expect("take a kept", "ok")?;
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
    let running = Running::start(|builder| builder.drain_timeout(MOMENT))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let kept = connect(addr)?;
    one.expect("take a kept", "ok")?;
    running.service.drain();
    is_reset(&kept)?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn r8_an_order_ends_what_drains_at_once() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let _kept = connect(addr)?;
    one.expect("take a kept", "ok")?;
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
fn r9_one_generation_more_than_may_be_ends_the_oldest() -> Result<()> {
    let running = Running::start(|builder| builder.max_generations(2))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let kept = connect(addr)?;
    one.expect("take a kept", "ok")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    one.expect("poll a 50", "nothing")?;
    let reload = running.reload()?;
    is_reset(&kept)?;
    let cause = running.event(|event| match event {
        Event::DrainTimeout { generation: 1, cause, .. } => Some(*cause),
        _ => None,
    })?;
    ensure!(cause == DrainEnd::Generations, "{cause:?}");
    one.is_gone()?;
    let mut three = running.next()?;
    three.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(3), "another outcome");
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r9_a_reload_waits_for_the_one_before() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let first = running.reload()?;
    let mut two = running.next()?;
    let second = running.reload()?;
    running.nobody_begins()?;
    two.listen("a", &addr.to_string())?;
    ensure!(first.done()? == Ok(2), "another outcome");
    let mut three = running.next()?;
    three.listen("a", &addr.to_string())?;
    ensure!(second.done()? == Ok(3), "another outcome");
    two.is_gone()?;
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r11_a_sequential_reload_ends_the_old_one_first_and_clients_wait() -> Result<()> {
    let running = Running::start(|builder| builder.reload_mode(ReloadMode::Sequential))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let reload = running.reload()?;
    // By SIGTERM, before the new one begins.
    one.is_gone()?;
    let client = connect(addr)?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    // One that fails is followed by the program before it.
    let reload = running.reload()?;
    two.is_gone()?;
    let client = connect(addr)?;
    running.next()?.tell("exit 5")?;
    ensure!(reload.done()? == Err(ReloadError::Ended("exit code 5".to_owned())), "another outcome");
    let mut again = running.next()?;
    again.listen("a", "127.0.0.1:0")?;
    again.expect("accept a again", "ok")?;
    is_served(client, "again")?;
    again.tell("exit 0")?;
    running.ended().map(drop)
}

/// Two workers, and where they listen.
fn two_workers(
    choose: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
) -> Result<(Running, Control, Control, SocketAddr)> {
    let running = Running::start(|builder| choose(builder.workers(2)))?;
    let mut one = running.next()?;
    let addr = one.listen("a", "127.0.0.1:0")?;
    let mut two = running.next()?;
    ensure!(two.listen("a", "127.0.0.1:0")? == addr, "another port");
    Ok((running, one, two, addr))
}

#[test]
fn w1_workers_serve_at_the_same_sockets() -> Result<()> {
    let (running, mut one, mut two, addr) = two_workers(|builder| builder)?;
    let clients: Vec<_> = (0..8).map(|_| connect(addr)).collect::<Result<_>>()?;
    for _ in 0..4 {
        one.expect("accept a w", "ok")?;
        two.expect("accept a w", "ok")?;
    }
    clients.into_iter().try_for_each(|client| is_served(client, "w"))?;
    // A reload replaces both.
    let reload = running.reload()?;
    let mut three = running.next()?;
    three.listen("a", "127.0.0.1:0")?;
    let mut four = running.next()?;
    four.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    one.is_gone()?;
    two.is_gone()?;
    three.tell("exit 0")?;
    four.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn w1_a_worker_gets_what_another_one_has_bound_and_not_listened_at_yet() -> Result<()> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let running = Running::start(|builder| builder.workers(2))?;
    let mut one = running.next()?;
    one.listen("a", "127.0.0.1:0")?;
    one.each(&["open b tcp", &format!("bind b {free}")])?;
    let mut two = running.next()?;
    two.each(&["open b tcp", &format!("bind b {free}"), "listen b 16"])?;
    let client = connect(free)?;
    two.expect("accept b two", "ok")?;
    is_served(client, "two")?;
    one.expect("listen b 16", "ok")?;
    let client = connect(free)?;
    one.expect("accept b one", "ok")?;
    is_served(client, "one")?;
    // It is one held socket, and a reload gets it.
    let reload = running.reload()?;
    let mut next = [running.next()?, running.next()?];
    for worker in &mut next {
        worker.listen("a", "127.0.0.1:0")?;
        worker.listen("b", &free.to_string())?;
    }
    ensure!(reload.done()? == Ok(2), "another outcome");
    running.service.drain();
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn w2_a_failure_is_that_workers_own() -> Result<()> {
    let (running, mut one, mut two, addr) = two_workers(|builder| builder.restart(Restart::OnFailure))?;
    two.tell("unreachable")?;
    ensure!(running.restarted()?.0 == 1, "another worker");
    let client = connect(addr)?;
    one.expect("accept a one", "ok")?;
    is_served(client, "one")?;
    let mut three = running.next()?;
    three.listen("a", "127.0.0.1:0")?;
    let client = connect(addr)?;
    three.expect("accept a three", "ok")?;
    is_served(client, "three")?;
    one.tell("exit 0")?;
    // The other one goes on alone.
    let client = connect(addr)?;
    three.expect("accept a three", "ok")?;
    is_served(client, "three")?;
    three.tell("exit 2")?;
    let mut four = running.next()?;
    four.tell("exit 0")?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}
