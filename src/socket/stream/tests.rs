//! What watches an attempt to connect, where the reactor can't tell of its end.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::runtime::{Builder, EnterGuard, Runtime};

use super::*;
use crate::io::{Events, Pollable, can_drive, no_longer_drives};
use crate::socket::Socket;

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// A reactor that drives the sockets which are opened inside of it, and never runs.
struct StoppedReactor(Runtime);

impl StoppedReactor {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        can_drive(runtime.handle());
        Self(runtime)
    }

    fn enter(&self) -> EnterGuard<'_> {
        self.0.enter()
    }
}

impl Drop for StoppedReactor {
    fn drop(&mut self) {
        no_longer_drives(self.0.handle());
    }
}

/// A listener whose queue is full: an attempt to connect goes on until the listener is closed.
fn full_listener() -> (TcpListener, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    (listener, TcpStream::connect(address).unwrap(), address)
}

fn connecting_to(address: SocketAddr) -> Socket {
    let mut policy = Policy::default();
    policy.allow_connect(&"127.0.0.1:*".parse().unwrap());
    let socket = Socket::open(Domain::Inet4, Kind::Stream, 0).unwrap();
    let begun = socket.try_connect(&Address::Inet(address), &policy);
    assert_eq!(begun.unwrap_err().errno(), Errno::EINPROGRESS);
    socket
}

/// Watches `socket`, which has not changed yet.
fn watch(socket: &Socket) -> Arc<Woken> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let events = socket.poll(Events::READ.or(Events::WRITE), &mut Context::from_waker(&waker));
    assert!(events.is_empty(), "{events:?}");
    assert!(!woken.0.load(SeqCst), "nothing has changed yet");
    woken
}

#[test]
fn a_call_that_finds_an_attempt_failed_wakes_what_watches_it() {
    let reactor = StoppedReactor::new();
    let _inside = reactor.enter();
    let (listener, _first, address) = full_listener();
    let socket = connecting_to(address);
    let woken = watch(&socket);
    drop(listener);
    let mut fds = [PollFd::from_borrowed_fd(socket.poll_fd(), PollFlags::OUT)];
    let most = Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&most)), Ok(1));
    assert!(!woken.0.load(SeqCst), "the reactor is stopped");
    assert_eq!(socket.status(), Ok(Status::Failed));
    assert!(woken.0.load(SeqCst));
}

#[test]
fn the_end_of_a_socket_wakes_what_watches_its_attempt() {
    let reactor = StoppedReactor::new();
    let _inside = reactor.enter();
    let (_listener, _first, address) = full_listener();
    let socket = connecting_to(address);
    let woken = watch(&socket);
    socket.close();
    assert!(woken.0.load(SeqCst));
}
