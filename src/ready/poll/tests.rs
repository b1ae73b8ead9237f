//! One connection, and many threads that wait for it in different ways.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::io::{IoSlice, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;

use super::*;
use crate::address::Address;
use crate::io::{ASKED, block_on};
use crate::policy::Policy;
use crate::ready::{Data, Epoll, Request, finish_connect, interrupting, recv, send};
use crate::socket::{Domain, Kind, Received, RecvFlags};

const BYTES: usize = 20_000;
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// Receives one byte, without waiting.
fn take(socket: &Socket, left: &AtomicUsize) {
    let flags = RecvFlags::default();
    if let Ok(Ok(Received { count: 1, .. })) = block_on(recv(socket, false, &mut [0; 1], flags, false)) {
        left.fetch_sub(1, SeqCst);
    }
}

fn poll_for(socket: &Socket, left: &AtomicUsize) {
    let mut timer = None;
    let before = Before { has_looked: false, are_shared: true };
    while left.load(SeqCst) > 0 {
        let watched = [Watched { source: PollSource::Thing(socket), mask: Events::READ }];
        block_on(poll(&watched, None, &mut timer, before)).unwrap().unwrap();
        take(socket, left);
    }
}

fn epoll_for(socket: &Arc<Socket>, left: &AtomicUsize) {
    let epoll = Epoll::new();
    let target: Arc<dyn Pollable> = Arc::clone(socket) as Arc<dyn Pollable>;
    let request = Request { events: Events::IN, edge: false, one_shot: false, data: Data::default() };
    epoll.add(1, &target, request).unwrap();
    while left.load(SeqCst) > 0 {
        block_on(epoll.wait(1, None, false)).unwrap().unwrap();
        take(socket, left);
    }
}

fn recv_for(socket: &Socket, left: &AtomicUsize) {
    while left.load(SeqCst) > 0 {
        if block_on(recv(socket, true, &mut [0; 1], RecvFlags::default(), false))
            == Ok(Ok(Received::bytes(1)))
        {
            left.fetch_sub(1, SeqCst);
        }
    }
}

/// Byte by byte: were one wake-up lost, the next byte would not be read. The last one is
/// followed by the end of the stream, which wakes all.
#[test]
fn polls_epolls_and_reads_of_one_socket_take_no_wake_up_from_each_other() {
    let (done, ended) = mpsc::channel();
    let runner = thread::spawn(move || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut policy = Policy::default();
        policy.allow_connect(&"127.0.0.1:*".parse().unwrap());
        let socket = Arc::new(Socket::open(Domain::Inet4, Kind::Stream, 0).unwrap());
        let address = Address::Inet(listener.local_addr().unwrap());
        if socket.try_connect(&address, &policy).is_err() {
            block_on(finish_connect(&socket)).unwrap().unwrap();
        }
        let (mut far, _) = listener.accept().unwrap();
        far.set_nodelay(true).unwrap();
        let left = AtomicUsize::new(BYTES);
        thread::scope(|scope| {
            scope.spawn(|| poll_for(&socket, &left));
            scope.spawn(|| poll_for(&socket, &left));
            scope.spawn(|| epoll_for(&socket, &left));
            scope.spawn(|| epoll_for(&socket, &left));
            scope.spawn(|| recv_for(&socket, &left));
            for sent in 1..=BYTES {
                far.write_all(b"x").unwrap();
                while left.load(SeqCst) > BYTES - sent {
                    thread::yield_now();
                }
            }
            drop(far);
        });
        done.send(()).unwrap();
    });
    assert!(ended.recv_timeout(WAIT_TIMEOUT).is_ok(), "a wake-up is lost, or it panicked");
    runner.join().unwrap();
}

/// The kernel says it when it wakes the thread: that is no news to be asked for.
#[test]
fn a_thread_that_parks_takes_what_the_kernel_reported_there() {
    let [near, far] = block_on(async { Socket::pair(&Domain::Inet4, Kind::Stream).unwrap() }).unwrap();
    let watched = [(&far, Events::READ), (&near, Events::READ)]
        .map(|(socket, mask)| Watched { source: PollSource::Thing(socket), mask });
    let mut timer = None;
    let before = Before { has_looked: false, are_shared: false };
    let mut polling = std::pin::pin!(poll(&watched, None, &mut timer, before));
    let mut asked = 0;
    let found = block_on(poll_fn(|context| {
        let polled = polling.as_mut().poll(context);
        if polled.is_pending() {
            assert_eq!(asked, 0, "it does not find what is there");
            rustix::net::send(near.poll_fd(), b"x", rustix::net::SendFlags::empty()).unwrap();
            asked = ASKED.get();
        }
        polled
    }));
    assert_eq!(found, Ok(Ok(vec![Some(Readiness { bytes: 1, hangup: false }), None])));
    assert_eq!(ASKED.get(), asked);
}

/// It sleeps at once, and what is ready already ends the sleep: each time anew, and before a signal does.
#[test]
fn a_thread_that_parks_need_not_look_before_it_sleeps() {
    let [near, far] = block_on(async { Socket::pair(&Domain::Inet4, Kind::Stream).unwrap() }).unwrap();
    let watched = [Watched { source: PollSource::Thing(&far), mask: Events::READ }];
    let ready = vec![Some(Readiness { bytes: 1, hangup: false })];
    let mut timer = None;
    let before = Before { has_looked: true, are_shared: false };
    assert_eq!(block_on(send(&near, false, &mut [IoSlice::new(b"x")])), Ok(Ok(1)));
    for _ in 0..2 {
        assert!(PollSet::is_new_to_reactor(&far, Events::READ));
        let asked = ASKED.get();
        assert_eq!(block_on(poll(&watched, None, &mut timer, before)), Ok(Ok(ready.clone())));
        assert_eq!(ASKED.get(), asked);
    }
    let mut polling = std::pin::pin!(poll(&watched, None, &mut timer, before));
    let interrupted =
        block_on(poll_fn(|context| interrupting(Errno::EINTR, || polling.as_mut().poll(context))));
    assert_eq!(interrupted, Ok(Ok(ready)));
    // A reactor may have reported it before, and that may have been cleared.
    let waits = poll_fn(|context| Poll::Ready(far.register(Events::READ, context)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(waits);
    assert!(!PollSet::is_new_to_reactor(&far, Events::READ));
}

/// A poll finds what is ready, also if its readiness was cleared, and the buffer keeps its
/// capacity.
#[test]
fn a_poll_set_reports_what_is_ready_and_keeps_its_buffer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let [near, far] = Socket::pair(&Domain::Inet4, Kind::Stream).unwrap();
    assert_eq!(block_on(send(&near, false, &mut [IoSlice::new(b"x")])), Ok(Ok(1)));
    let mut buffer = PollSetBuffer::new();
    let mut places = Vec::new();
    for _ in 0..2 {
        let mut poll_set = PollSet::new(&mut buffer, 3);
        for (socket, mask) in [(&near, Events::READ), (&far, Events::READ), (&far, Events::WRITE)] {
            poll_set.add(socket, mask).unwrap();
        }
        assert_eq!(poll_set.poll(), Some(2));
        let are_ready: Vec<bool> = poll_set.answers().map(|answer| !answer.revents().is_empty()).collect();
        assert_eq!(are_ready, [false, true, true]);
        PollSet::clear_ready(&far, Events::READ);
        poll_set.end(&mut buffer);
        assert!(buffer.is_empty() && buffer.capacity() >= 3);
        places.push(buffer.as_ptr());
    }
    assert_eq!(places.first(), places.last());
}

/// What wakes the thread is told from what the set is of, in every order.
#[test]
fn a_poll_set_waits_until_something_is_ready_or_the_thread_is_woken() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let [near, far] = Socket::pair(&Domain::Inet4, Kind::Stream).unwrap();
    let [rings, woken] = Socket::pair(&Domain::Inet4, Kind::Stream).unwrap();
    let mut buffer = PollSetBuffer::new();
    let mut wait = |sockets: &[&Socket]| {
        let mut poll_set = PollSet::new(&mut buffer, sockets.len());
        for socket in sockets {
            poll_set.add(socket, Events::READ).unwrap();
        }
        let found = poll_set.wait(woken.poll_fd());
        let are_ready: Vec<bool> = poll_set.answers().map(|answer| !answer.revents().is_empty()).collect();
        poll_set.end(&mut buffer);
        found.map(|found| (found, are_ready))
    };
    assert_eq!(wait(&[]), None);
    assert_eq!(wait(&vec![&far; MOST_WATCHED + 1]), None);
    let sender = |socket: &Socket| {
        let fd = socket.poll_fd().try_clone_to_owned().unwrap();
        thread::spawn(move || {
            rustix::net::send(fd, b"x", rustix::net::SendFlags::empty()).unwrap();
        })
    };
    // One that sleeps already, or is about to.
    let sending = sender(&rings);
    assert_eq!(wait(&[&far, &near]), Some((0, vec![false, false])));
    sending.join().unwrap();
    let sending = sender(&near);
    sending.join().unwrap();
    assert_eq!(wait(&[&near, &far]), Some((1, vec![false, true])));
    rustix::net::recv(woken.poll_fd(), &mut [0; 1], rustix::net::RecvFlags::empty()).unwrap();
    assert_eq!(wait(&[&far, &near]), Some((1, vec![true, false])));
    rustix::net::recv(far.poll_fd(), &mut [0; 1], rustix::net::RecvFlags::empty()).unwrap();
    let sending = sender(&near);
    assert_eq!(wait(&[&near, &far]), Some((1, vec![false, true])));
    sending.join().unwrap();
}
