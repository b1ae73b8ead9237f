//! The queue that the host owns for `winsock`: what the kernel's does not do.

use super::*;
use std::time::Instant;

const WINSOCK: Profile = Profile::WINSOCK;

/// A refusal that takes so long was not made at once. It is generous: it is to distinguish
/// a second or so from never, on a machine that does other things.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Queue: first come, first served, whatever the clients do meanwhile.
#[test]
fn first_come_first_served() -> Result<()> {
    let mut listener = Listener::start(WINSOCK, 16)?;
    let mut waiting = listener.fill(16)?;
    // What the clients send, and in which order, changes nothing.
    for client in waiting.iter_mut().rev() {
        client.say(&client.port()?.to_string())?;
    }
    for client in &waiting {
        listener.expect("accept_waiting", &client.name()?)?;
        listener.expect("read", &client.port()?.to_string())?;
    }
    // Freed space is given in the order of arrival too.
    let mut all = listener.fill(16)?;
    for _ in 0..40 {
        let first = all.remove(0);
        listener.expect("accept", &first.name()?)?;
        all.push(listener.connect()?);
    }
    listener.is_full()?;
    listener.accepts_all(&all)
}

/// Queue: one more is refused at once, also while the guest computes and never calls the host.
#[test]
fn refuses_while_the_guest_computes() -> Result<()> {
    let mut listener = Listener::start(WINSOCK, 3)?;
    listener.begin("compute")?;
    listener.running.wait_for_stdout("computing")?;
    let start = Instant::now();
    let waiting = listener.fill(3)?;
    for _ in 0..50 {
        is_refused(listener.addr)?;
    }
    ensure!(start.elapsed() < AT_ONCE, "after {:?}", start.elapsed());
    waiting.iter().try_for_each(Client::hears_nothing)
}

/// Queue: one more is refused at once, also while the guest waits for something else.
#[test]
fn refuses_while_the_guest_waits() -> Result<()> {
    // It waits for its standard input.
    let mut listener = Listener::start(WINSOCK, 3)?;
    let start = Instant::now();
    let waiting = listener.fill(3)?;
    for _ in 0..50 {
        is_refused(listener.addr)?;
    }
    ensure!(start.elapsed() < AT_ONCE, "after {:?}", start.elapsed());
    listener.accepts_all(&waiting)
}

/// Queue: a flood on one listener neither delays nor refuses clients of another.
#[test]
fn is_fair_between_listeners() -> Result<()> {
    let mut listener = Listener::start(WINSOCK, 2)?;
    let flooded = listener.addr;
    listener.also(2)?;
    let flood = Flood::on(flooded);
    for _ in 0..200 {
        // Two at a time, which is all that may wait.
        let clients = [listener.connect()?, listener.connect()?];
        for client in clients {
            listener.serves(client)?;
        }
    }
    let refused = flood.end()?;
    ensure!(refused > 10, "only {refused} were refused meanwhile");
    // The first clients of the other one are waiting still.
    listener.expect("use 0", "done")?;
    let accepted = listener.tell("accept_all")?;
    ensure!(accepted.split(' ').count() == 3, "{accepted}");
    Ok(())
}

/// Clients that want in at a full listener, one after the other.
struct Flood {
    ends: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Result<usize>>,
}

impl Flood {
    fn on(addr: SocketAddr) -> Self {
        let (ends, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _waiting = [Client::connect(addr)?, Client::connect(addr)?];
            let mut refused = 0;
            while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                is_refused(addr)?;
                refused += 1;
            }
            // They wait to the end, and beyond: none is to be dropped.
            std::mem::forget(_waiting);
            Ok(refused)
        });
        Self { ends, thread }
    }

    fn end(self) -> Result<usize> {
        drop(self.ends);
        self.thread.join().ok().context("a panic")?
    }
}

/// Queue: without descriptors it pauses, and goes on by itself when there are some; no connection
/// within N is lost.
#[test]
fn pauses_and_refills_without_descriptors() -> Result<()> {
    let mut listener = Listener::start_limited(WINSOCK, 40, 8)?;
    let mut waiting = vec![listener.connect()?, listener.connect()?];
    let answer = listener.tell("open 1000")?;
    ensure!(answer.ends_with("then ENFILE"), "{answer}");
    listener.connect_until(&mut waiting, 8)?;
    listener.rests("no descriptor is free")?;
    waiting.iter().try_for_each(Client::hears_nothing)?;
    // Descriptors are freed while the guest never polls the listener: pending connections are
    // kept, and one more is refused.
    for _ in 0..10 {
        listener.expect("give_back", "done")?;
    }
    listener.is_full()?;
    listener.accepts_all(&waiting)?;
    listener.expect("close_all", "done")?;
    listener.fill(8).map(drop)
}

/// Queue: while it pauses, and one descriptor after the other is freed, all are served in order.
#[test]
fn serves_in_order_without_descriptors() -> Result<()> {
    let mut listener = Listener::start_limited(WINSOCK, 40, 8)?;
    let answer = listener.tell("open 1000")?;
    ensure!(answer.ends_with("then ENFILE"), "{answer}");
    listener.expect("give_back", "done")?;
    let mut waiting = Vec::new();
    listener.connect_until(&mut waiting, 8)?;
    for client in &waiting {
        listener.expect("accept_waiting", &client.name()?)?;
        listener.expect("close", "done")?;
    }
    listener.expect("accept", "EAGAIN")
}

/// Five listeners of a guest on a host without descriptors, and a client at each.
fn five_without_descriptors() -> Result<(Listener, Vec<Client>)> {
    let mut listener = Listener::start_limited(WINSOCK, 44, 2)?;
    listener.tell("poll 1")?;
    let mut addrs = vec![listener.addr];
    for _ in 1..5 {
        listener.also(2)?;
        addrs.push(listener.addr);
    }
    let answer = listener.tell("open 1000")?;
    ensure!(answer.ends_with("then ENFILE"), "{answer}");
    let clients = addrs.into_iter().map(Client::connect).collect::<Result<Vec<_>>>()?;
    Ok((listener, clients))
}

/// Queue: one descriptor is enough for a guest that goes round its listeners to serve them all.
#[test]
fn one_descriptor_serves_all_listeners() -> Result<()> {
    let (mut listener, clients) = five_without_descriptors()?;
    listener.expect("give_back", "done")?;
    let mut served = Vec::new();
    for round in 0..500 {
        listener.expect(&format!("use {}", round % 5), "done")?;
        let answer = listener.tell("accept")?;
        if !matches!(answer.as_str(), "ENFILE" | "EAGAIN") {
            served.push(answer);
            listener.expect("close", "done")?;
        }
        if served.len() == clients.len() {
            break;
        }
    }
    let mut names = clients.iter().map(Client::name).collect::<Result<Vec<_>>>()?;
    names.sort();
    served.sort();
    ensure!(served == names, "{served:?} were served, not {names:?}");
    Ok(())
}

/// Queue: the descriptor that comes free is for the listener where the guest asked in vain.
#[test]
fn the_free_descriptor_is_for_the_listener_that_was_asked() -> Result<()> {
    let (mut listener, clients) = five_without_descriptors()?;
    for (asked, client) in clients.iter().enumerate() {
        listener.expect(&format!("use {asked}"), "done")?;
        listener.expect("accept", "ENFILE")?;
        listener.expect("give_back", "done")?;
        listener.expect("accept", &client.name()?)?;
    }
    Ok(())
}

/// Queue: a connection that was reset makes space for a live client, instead of a refusal.
#[test]
fn reset_connections_make_space() -> Result<()> {
    let mut listener = Listener::start(WINSOCK, 4)?;
    for _ in 0..3 {
        let mut waiting = listener.fill(4)?;
        // One of those that live on, at each place in turn.
        let first = waiting.remove(0);
        for dead in waiting {
            dead.reset()?;
        }
        let live = [listener.connect()?, listener.connect()?, listener.connect()?];
        listener.is_full()?;
        let all: Vec<Client> = std::iter::once(first).chain(live).collect();
        listener.accepts_all(&all)?;
        listener.expect("close_all", "done")?;
    }
    Ok(())
}

/// Queue: a client that has finished sending is alive, and is still queued.
#[test]
fn finished_clients_stay_queued() -> Result<()> {
    let mut listener = Listener::start(WINSOCK, 2)?;
    let mut clients = [listener.connect()?, listener.connect()?];
    for client in &mut clients {
        client.say("last words")?;
        client.finish()?;
    }
    listener.is_full()?;
    for client in &mut clients {
        listener.expect("accept", &client.name()?)?;
        listener.expect("read", "last words")?;
        listener.expect("close", "done")?;
        client.hears_the_end()?;
    }
    Ok(())
}

/// Queue: the host uses no processor time while clients wait that are not accepted, whatever they send.
#[test]
fn rests_while_clients_wait() -> Result<()> {
    let listener = Listener::start(WINSOCK, 4)?;
    let mut waiting = listener.fill(4)?;
    listener.rests("four wait")?;
    for client in &mut waiting {
        client.say("hurry")?;
        client.finish()?;
    }
    listener.rests("four have said all")?;
    for client in waiting {
        client.reset()?;
    }
    listener.rests("four are dead")
}

/// Queue: a smaller backlog resets the newest, and the others are served in their order.
#[test]
fn shrinks_from_the_newest() -> Result<()> {
    let mut listener = Listener::start(WINSOCK, 16)?;
    let mut waiting = listener.fill(16)?;
    for smaller in [15, 8, 3, 1, 0] {
        listener.expect(&format!("listen {smaller}"), "done")?;
        for client in &mut waiting.split_off(smaller.max(1)) {
            client.is_reset()?;
        }
        waiting.iter().try_for_each(Client::hears_nothing)?;
        listener.is_full()?;
    }
    // Larger again, before the oldest was served.
    listener.expect("listen 3", "done")?;
    listener.connect_until(&mut waiting, 3)?;
    listener.is_full()?;
    listener.accepts_all(&waiting)
}

/// Queue: closing a listener resets its own pending connections, and no others.
#[test]
fn close_resets_its_own() -> Result<()> {
    let mut listener = Listener::start(WINSOCK, 4)?;
    let others = listener.fill(4)?;
    let others_addr = listener.addr;
    listener.also(4)?;
    let mut waiting = listener.fill(4)?;
    listener.expect("close_listener", "done")?;
    for client in &mut waiting {
        client.is_reset()?;
    }
    listener.addr = others_addr;
    listener.is_full()?;
    listener.accepts_all(&others)
}

/// Queue: refused peers take no space.
#[test]
fn refused_peers_take_no_space() -> Result<()> {
    let host = host(WINSOCK).args(["--accept-from", "127.0.0.2/32"]);
    let mut listener = Listener::start_on(WINSOCK, host, "127.0.0.1:0", 1)?;
    for _ in 0..5 {
        is_refused(listener.addr)?;
    }
    listener.expect("accept", "EAGAIN")?;
    let welcome = Client::connect_from("127.0.0.2:0".parse()?, listener.addr)?;
    is_refused(listener.addr)?;
    listener.expect("accept_waiting", &welcome.name()?)
}

/// Queue: it has one thread for all listeners, and none in the other profiles.
#[test]
fn one_thread_which_the_others_do_not_pay_for() -> Result<()> {
    for profile in Profile::ALL {
        let mut listener = Listener::start(profile, 4)?;
        for _ in 0..3 {
            listener.also(4)?;
            listener.still_serves()?;
        }
        let expected = usize::from(profile.one_more == OneMore::Reset);
        // A thread gives itself its name, when it first runs.
        let deadline = Instant::now() + WAIT_TIMEOUT;
        let mut threads = threads_named(&listener, "wasock-reactor")?;
        while threads < expected && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            threads = threads_named(&listener, "wasock-reactor")?;
        }
        ensure!(threads == expected, "{}: {threads} threads", profile.name);
    }
    Ok(())
}

fn threads_named(listener: &Listener, name: &str) -> Result<usize> {
    let mut count = 0;
    for thread in std::fs::read_dir(format!("/proc/{}/task", listener.running.id()))? {
        // One that has ended meanwhile has no name.
        let comm = std::fs::read_to_string(thread?.path().join("comm")).unwrap_or_default();
        count += usize::from(comm.trim() == name);
    }
    Ok(count)
}
