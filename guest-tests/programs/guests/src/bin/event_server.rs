//! `event_server PLACE [print]`: a server without an accept loop. It does what the
//! lines that its clients send say, and answers each with a line. With `print` it
//! tells of each event on standard output.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::socket::*;
use wasix::{Errno, Fd, check_ok, descriptor, ends};

#[derive(Default)]
struct State {
    prints: bool,
    listens: Vec<(Fd, u32)>,
    clients: HashMap<Fd, Client>,
    accepted: u64,
    closed: u64,
    trap_at: String,
}

#[derive(Default)]
struct Client {
    input: Vec<u8>,
    readable: u64,
    closed: u64,
    /// How much one call reads.
    appetite: Option<usize>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn state() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let prints = args.any(|arg| arg == "print");
    if addr == "trap" {
        panic!("a trap in the start");
    }
    *state() = Some(State { prints, ..State::default() });
    check_ok!(ends::serve_at(&addr));
    if prints {
        println!("started");
    }
}

/// Takes note of an event, and traps where a client asked for it.
fn event(name: &str, first: Fd, second: Option<u32>) -> MutexGuard<'static, Option<State>> {
    let guard = state();
    let state = guard.as_ref().unwrap();
    if state.prints {
        let second = second.map(|second| format!(" {second}")).unwrap_or_default();
        println!("{name} {first}{second}");
    }
    if state.trap_at == name {
        panic!("a trap in {name}");
    }
    guard
}

#[unsafe(no_mangle)]
pub extern "C" fn wasock_on_listen(fd: Fd, errno: u32) {
    event("listen", fd, Some(errno)).as_mut().unwrap().listens.push((fd, errno));
}

#[unsafe(no_mangle)]
pub extern "C" fn wasock_on_accept(listener: Fd, fd: Fd) {
    let mut state = event("accept", listener, Some(fd));
    let state = state.as_mut().unwrap();
    state.accepted += 1;
    state.clients.insert(fd, Client::default());
}

#[unsafe(no_mangle)]
pub extern "C" fn wasock_on_readable(fd: Fd) {
    drop(event("readable", fd, None));
    let appetite = {
        let mut state = state();
        let client = state.as_mut().unwrap().clients.entry(fd).or_default();
        client.readable += 1;
        client.appetite.unwrap_or(4096)
    };
    if appetite == 0 {
        return;
    }
    let mut buf = vec![0; appetite];
    let count = match recv(fd, &mut buf, 0) {
        Ok(count) => count,
        Err(_) => return,
    };
    let mut state = state();
    let Some(client) = state.as_mut().unwrap().clients.get_mut(&fd) else { return };
    client.input.extend_from_slice(&buf[..count]);
    drop(state);
    while let Some(line) = next_line(fd) {
        let answer = obey(fd, &line).unwrap_or_else(|errno| errno.name().to_owned());
        // The client may be gone, or have been closed.
        let _ = send_all(fd, format!("{answer}\n").as_bytes());
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn wasock_on_closed(fd: Fd) {
    let mut state = event("closed", fd, None);
    let state = state.as_mut().unwrap();
    state.closed += 1;
    let client = state.clients.entry(fd).or_default();
    client.closed += 1;
    if client.appetite != Some(0) {
        forget(state, fd);
        let _ = descriptor::close(fd);
    }
}

fn forget(state: &mut State, fd: Fd) {
    state.clients.remove(&fd);
}

fn next_line(fd: Fd) -> Option<String> {
    let mut state = state();
    let client = state.as_mut().unwrap().clients.get_mut(&fd)?;
    let end = client.input.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = client.input.drain(..=end).collect();
    Some(String::from_utf8_lossy(&line[..end]).into_owned())
}

fn obey(fd: Fd, line: &str) -> Result<String, Errno> {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<u32>().expect("a number");
    let done = || "done".to_owned();
    match words[0] {
        "echo" => Ok(line[5..].to_owned()),
        "self" => Ok(fd.to_string()),
        "trap" => panic!("a trap that client {fd} asked for"),
        // In another handler: the next one of that name.
        "trap_at" => {
            state().as_mut().unwrap().trap_at = words[1].to_owned();
            Ok(done())
        }
        "exit" => std::process::exit(number(1) as i32),
        "spin" => loop {
            std::hint::black_box(());
        },
        "slow" => {
            poll(&[Subscription::clock(MONOTONIC, u64::from(number(1)) * 1_000_000, 1)])?;
            Ok(done())
        }
        "close" => {
            forget(state().as_mut().unwrap(), number(1));
            descriptor::close(number(1)).map(|()| done())
        }
        // Closes, and has something else at that number before the handler returns.
        "replace" => {
            descriptor::close(number(1))?;
            open(INET4, STREAM, TCP).map(|fd| fd.to_string())
        }
        "listen" => {
            let fd = open(INET4, STREAM, TCP)?;
            bind(fd, loopback(0))?;
            listen(fd, 16)?;
            Ok(format!("{fd} {}", addr_local(fd)?))
        }
        "listen_again" => listen(number(1), number(2)).map(|()| done()),
        "dup" => descriptor::dup(number(1)).map(|fd| fd.to_string()),
        "open" => open(INET4, STREAM, TCP).map(|fd| fd.to_string()),
        "connect" => {
            let fd = open(INET4, STREAM, TCP)?;
            connect(fd, loopback(number(1) as u16))?;
            Ok(fd.to_string())
        }
        // Likewise, with another connection at that number.
        "reconnect" => {
            descriptor::close(number(1))?;
            let fd = open(INET4, STREAM, TCP)?;
            connect(fd, loopback(number(2) as u16))?;
            Ok(fd.to_string())
        }
        "connect_later" => {
            let fd = open(INET4, STREAM, TCP)?;
            descriptor::set_nonblocking(fd)?;
            match connect(fd, loopback(number(1) as u16)) {
                Ok(()) => Ok(fd.to_string()),
                Err(errno) => Ok(format!("{fd} {}", errno.name())),
            }
        }
        "send" => send_all(number(1), line.splitn(3, ' ').nth(2).unwrap().as_bytes()).map(|()| done()),
        // How much each call reads of a connection from now on.
        "appetite" => {
            let mut state = state();
            let client = state.as_mut().unwrap().clients.entry(number(1)).or_default();
            client.appetite = Some(number(2) as usize);
            Ok(done())
        }
        "read" => {
            let mut buf = [0; 4096];
            let count = recv(number(1), &mut buf, RECV_DONT_WAIT)?;
            Ok(String::from_utf8_lossy(&buf[..count]).into_owned())
        }
        "client" => {
            let state = state();
            let client = state.as_ref().unwrap().clients.get(&number(1));
            Ok(client.map_or("unknown".to_owned(), |it| format!("{} {}", it.readable, it.closed)))
        }
        "counts" => {
            let state = state();
            let state = state.as_ref().unwrap();
            Ok(format!("{} {} {}", state.accepted, state.closed, state.clients.len()))
        }
        "listens" => Ok(format!("{:?}", state().as_ref().unwrap().listens)),
        _ => panic!("{line}: no such verb"),
    }
}
