//! Many connections, few of which say anything.
//!
//! Each makes one exchange when it is new. Then this process writes `ready` and waits for
//! a line, so that the memory of the server can be looked at while none is in use. Then the
//! active ones take turns.

use super::exchange::{Payload, Peer, Peers, WAIT_TIMEOUT, connected};
use super::turns::{Until, take_turns};
use super::{Measured, Options};
use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::time::Timespec;
use std::net::TcpStream;
use std::time::Instant;

pub(super) fn run(options: &Options) -> Result<Measured> {
    let payload = Payload::of(options)?;
    let active: usize = options.number("active")?;
    let idle: usize = options.number("idle")?;
    let mut idlers: Vec<TcpStream> = Vec::with_capacity(idle);
    let mut peers = Peers { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, all: Vec::new() };
    let mut chunk = vec![0; 64 * 1024];
    // The active ones are spread among the others.
    let every = (idle + active) / active.max(1);
    for number in 0..idle + active {
        let mut peer = Peer::new(connected(options.address, number)?);
        exchange(&mut peer, &payload, &mut chunk)?;
        if peers.all.len() < active && number % every == every / 2 {
            peers.watch(peer)?;
        } else {
            idlers.push(peer.stream);
        }
    }
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let measured = take_turns(&mut peers, &payload, Until::of(options)?)?;
    drop(idlers);
    Ok(measured)
}

fn exchange(peer: &mut Peer, payload: &Payload, chunk: &mut [u8]) -> Result<()> {
    peer.send(payload, Instant::now())?;
    let timeout = Timespec::try_from(WAIT_TIMEOUT)?;
    loop {
        let ready = poll(&mut [PollFd::new(&peer.stream, PollFlags::IN)], Some(&timeout))?;
        if ready == 0 {
            bail!("no answer in {WAIT_TIMEOUT:?}");
        }
        if peer.receive(chunk)? {
            return Ok(());
        }
    }
}
