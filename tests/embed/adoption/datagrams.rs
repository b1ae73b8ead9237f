//! Datagram sockets that a service holds: the row A8.

use super::*;
use std::net::UdpSocket;

/// A site whose guests may have any UDP socket here and send anywhere here, and an address that
/// is free.
fn site() -> Result<(Site, SocketAddr)> {
    let free = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let site = Site::new(|builder| {
        let builder = builder.udp_bind(&"127.0.0.1:*".parse()?).udp_send(&"127.0.0.1:*".parse()?);
        Ok(builder.connect(&"127.0.0.1:*".parse()?))
    })?;
    Ok((site, free))
}

fn client(to: SocketAddr) -> Result<UdpSocket> {
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(to)?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    Ok(client)
}

impl Instance {
    fn receives_at(&mut self, name: &str, at: SocketAddr) -> Result<()> {
        self.each(&[&format!("open {name} udp"), &format!("bind {name} {at}")])
    }

    fn receives(&mut self, name: &str, message: &str, from: &UdpSocket) -> Result<()> {
        self.expect(&format!("receive {name}"), &format!("{message} from {}", from.local_addr()?))
    }
}

#[test]
fn a8_datagrams_that_wait_go_to_the_next_instance() -> Result<()> {
    let (mut site, addr) = site()?;
    let mut one = site.start()?;
    one.receives_at("a", addr)?;
    let client = client(addr)?;
    client.send(b"early")?;
    one.receives("a", "early", &client)?;
    one.exit()?;
    client.send(b"late")?;
    let mut two = site.start()?;
    two.receives_at("a", addr)?;
    two.receives("a", "late", &client)?;
    two.exit()
}

#[test]
fn a8_a_port_of_the_hosts_choice_is_not_held_for_datagrams() -> Result<()> {
    let (mut site, addr) = site()?;
    let mut one = site.start()?;
    one.each(&["open a udp", "bind a 127.0.0.1:0"])?;
    ensure!(site.service.held_listeners() == 0, "it is held");
    one.receives_at("b", addr)?;
    ensure!(site.service.held_listeners() == 1, "it is not held");
    one.exit()
}

#[test]
fn a8_a_retired_instance_is_told_of_no_datagram_and_sends() -> Result<()> {
    let (mut site, addr) = site()?;
    let mut one = site.start()?;
    one.receives_at("a", addr)?;
    one.each(&["watch a", "nonblock a"])?;
    let mut two = site.start()?;
    two.receives_at("a", addr)?;
    two.handle.ready();
    one.handle.retire();
    let client = client(addr)?;
    client.send(b"new")?;
    two.expect("poll a 20000", "ready")?;
    one.expect("poll a 100", "nothing")?;
    one.expect("wait 100", "nothing")?;
    one.expect("receive a", "EAGAIN (6)")?;
    one.expect("poll_write a", "ready")?;
    one.expect(&format!("send a {} old", client.local_addr()?), "ok")?;
    let mut answer = [0; 8];
    let (count, from) = client.recv_from(&mut answer)?;
    ensure!((answer.get(..count), from) == (Some(&b"old"[..]), addr), "{answer:?} from {from}");
    two.receives("a", "new", &client)?;
    // A rollback: what waits is its own again, in each way to wait.
    two.exit()?;
    for (order, answer) in [("poll a 20000", "ready"), ("wait 20000", "ready")] {
        one.handle.retire();
        client.send(b"next")?;
        one.tell(order)?;
        thread::sleep(MOMENT);
        one.handle.unretire();
        let found = one.answer()?;
        ensure!(found == answer, "{order}: {found}");
        one.receives("a", "next", &client)?;
    }
    one.exit()
}

#[test]
fn a8_a_retired_instance_wakes_0_times_for_datagrams() -> Result<()> {
    for order in ["receive a", "poll a 60000", "wait 60000"] {
        let (mut site, addr) = site()?;
        let mut one = site.start()?;
        one.receives_at("a", addr)?;
        one.expect("watch a", "ok")?;
        let mut two = site.start()?;
        two.receives_at("a", addr)?;
        one.tell(order)?;
        two.handle.ready();
        one.handle.retire();
        thread::sleep(MOMENT);
        let before = one.sleeps()?;
        let client = client(addr)?;
        for _ in 0..100 {
            client.send(b"m")?;
            two.receives("a", "m", &client)?;
        }
        let woken = one.sleeps()? - before;
        ensure!(woken == 0, "{order}: it was woken {woken} times");
        one.handle.terminate();
        two.exit()?;
    }
    Ok(())
}

#[test]
fn a8_a_datagram_socket_that_connects_is_one_of_its_own() -> Result<()> {
    let (mut site, addr) = site()?;
    let mut one = site.start()?;
    one.receives_at("a", addr)?;
    let mut two = site.start()?;
    two.receives_at("a", addr)?;
    let (peer, other) = (client(addr)?, client(addr)?);
    two.expect(&format!("connect a {}", peer.local_addr()?), "ok")?;
    two.expect("local a", &addr.to_string())?;
    // The first one receives from everybody else, as before.
    other.send(b"other")?;
    one.receives("a", "other", &other)?;
    peer.send(b"peer")?;
    two.receives("a", "peer", &peer)?;
    two.expect(&format!("send a {} back", peer.local_addr()?), "ok")?;
    let mut answer = [0; 8];
    ensure!(peer.recv(&mut answer)? == 4, "{answer:?}");
    // Another one may have the held socket now.
    two.receives_at("b", addr)?;
    ensure!(site.service.held_listeners() == 1, "another socket is held");
    one.exit()?;
    two.exit()
}
