//! The kernel's part: what goes there, that it is reported as everything else is, and that
//! there is a leader for it.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::*;
use crate::address::Address;
use crate::policy::Policy;
use crate::ready::{finish_connect, recv, send};
use crate::socket::{Domain, Inherited, Kind, RecvFlags, Socket};

pub(super) fn pair() -> [Arc<Socket>; 2] {
    Socket::pair(&Domain::Inet4, Kind::Stream).unwrap().map(Arc::new)
}

pub(super) fn target(socket: &Arc<Socket>) -> Arc<dyn Pollable> {
    Arc::clone(socket) as Arc<dyn Pollable>
}

pub(super) fn write(socket: &Socket) {
    assert_eq!(block_on(send(socket, true, &mut [IoSlice::new(b"x")])), Ok(Ok(1)));
}

fn read(socket: &Socket) -> bool {
    let received = block_on(recv(socket, false, &mut [0; 1], RecvFlags::default(), false)).unwrap();
    received.is_ok_and(|received| received.count > 0)
}

/// How many of its things are the kernel's, and how many are entries.
fn parts(epoll: &Epoll) -> (usize, usize) {
    let entries = unpoisoned(&epoll.entries);
    (entries.of_kernel.len(), entries.own.len())
}

fn numbers(epoll: &Epoll) -> Vec<u32> {
    let mut numbers: Vec<u32> = taken(epoll, 8).iter().map(|happened| happened.fd).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn the_kernel_watches_what_is_stable() {
    let epoll = Epoll::new();
    let [near, far] = pair();
    epoll.add(4, &target(&near), request(Mode::Level)).unwrap();
    assert_eq!(parts(&epoll), (1, 0));
    assert!(epoll.is_kernels_alone());
    // The kernel knows a socket by one number alone.
    epoll.add(5, &target(&near), request(Mode::Level)).unwrap();
    assert_eq!(parts(&epoll), (1, 1));
    let fresh = Arc::new(Socket::open(Domain::Inet4, Kind::Stream, 0).unwrap());
    epoll.add(6, &target(&fresh), request(Mode::Level)).unwrap();
    // It is shared: it would remain in the kernel's epoll when it is closed here.
    let outside: OwnedFd = UnixStream::pair().unwrap().0.into();
    let looked = Inherited::inspect(std::os::fd::AsFd::as_fd(&outside)).unwrap();
    let inherited =
        block_on(async { Socket::from_inherited(outside, looked, Domain::Inet4, None) }).unwrap().unwrap();
    epoll.add(7, &target(&Arc::new(inherited)), request(Mode::Level)).unwrap();
    assert_eq!(parts(&epoll), (1, 3));
    assert!(!epoll.is_kernels_alone());
    epoll.remove(6, &target(&fresh)).unwrap();
    write(&far);
    assert_eq!(numbers(&epoll), [4, 5]);
    epoll.remove(4, &target(&near)).unwrap();
    assert_eq!(epoll.remove(4, &target(&near)), Err(Errno::ENOENT));
    assert_eq!(numbers(&epoll), [5]);
}

#[test]
fn a_thread_that_parks_need_not_look_before_it_sleeps() {
    let epoll = Epoll::new();
    let [near, far] = pair();
    epoll.add(4, &target(&near), request(Mode::Level)).unwrap();
    write(&far);
    // Nobody has looked, and the time may be over before the first sleep.
    for limit in [None, Some(Duration::from_secs(20)), Some(Duration::from_nanos(1))] {
        let found = block_on(epoll.wait(8, limit, true)).unwrap().unwrap();
        assert_eq!(found.iter().map(|happened| happened.fd).collect::<Vec<_>>(), [4], "{limit:?}");
    }
    assert!(read(&near));
    assert_eq!(block_on(epoll.wait(8, Some(Duration::from_millis(1)), true)), Ok(Ok(Vec::new())));
}

#[test]
fn the_kernel_reports_levels_edges_and_one_shots() {
    for (mode, twice, again) in [(Mode::Level, 1, 1), (Mode::Edge, 0, 1), (Mode::OneShot, 0, 0)] {
        let epoll = Epoll::new();
        let [near, far] = pair();
        let data = Data { ptr: 1, data1: 2, data2: u64::MAX };
        let request = Request { data, ..request(mode) };
        epoll.add(9, &target(&near), request).unwrap();
        assert_eq!(epoll.add(9, &target(&near), request), Err(Errno::EEXIST));
        assert_eq!(taken(&epoll, 8), [], "{mode:?}");
        write(&far);
        assert_eq!(taken(&epoll, 8), [Happened { fd: 9, events: Events::IN, data }], "{mode:?}");
        assert_eq!(taken(&epoll, 8).len(), twice, "{mode:?}");
        write(&far);
        assert_eq!(taken(&epoll, 8).len(), again, "{mode:?}");
        let data = Data { ptr: 7, ..data };
        epoll.modify(9, &target(&near), Request { data, ..request }).unwrap();
        assert_eq!(taken(&epoll, 8), [Happened { fd: 9, events: Events::IN, data }], "{mode:?}");
        drop(far);
        let events = Events::IN.or(Events::HUP);
        epoll.modify(9, &target(&near), Request { data, ..request }).unwrap();
        assert_eq!(taken(&epoll, 8), [Happened { fd: 9, events, data }], "{mode:?}");
    }
}

#[test]
fn a_connection_goes_to_the_kernel_when_it_is_modified() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut policy = Policy::default();
    policy.allow_connect(&"127.0.0.1:*".parse().unwrap());
    let socket = Arc::new(Socket::open(Domain::Inet4, Kind::Stream, 0).unwrap());
    let epoll = Epoll::new();
    let writes = Request { events: Events::OUT, ..request(Mode::Edge) };
    epoll.add(3, &target(&socket), writes).unwrap();
    assert_eq!(parts(&epoll), (0, 1));
    let address = Address::Inet(listener.local_addr().unwrap());
    if socket.try_connect(&address, &policy).is_err() {
        block_on(finish_connect(&socket)).unwrap().unwrap();
    }
    epoll.modify(3, &target(&socket), writes).unwrap();
    assert_eq!(parts(&epoll), (1, 0));
    assert_eq!(numbers(&epoll), [3]);
    assert_eq!(numbers(&epoll), [], "the entry tells no more");
}

/// Threads wait on one epoll, of which the kernel keeps a part, while others write and one
/// adds, removes and modifies. Every byte arrives.
fn every_byte_arrives(mode: Mode) {
    const PAIRS: usize = 5;
    const BYTES: usize = 10_000;
    let epoll = Epoll::new();
    let (near, far): (Vec<_>, Vec<_>) = (0..PAIRS).map(|_| pair().into()).unzip();
    let stop = Arc::new(EventFd::new(0, false).unwrap());
    let stop_target: Arc<dyn Pollable> = Arc::clone(&stop) as Arc<dyn Pollable>;
    epoll.add(99, &stop_target, request(Mode::Level)).unwrap();
    for (fd, socket) in (0..).zip(&near) {
        epoll.add(fd, &target(socket), request(mode)).unwrap();
    }
    let left = AtomicUsize::new(PAIRS * BYTES);
    let (epoll, near, left, stop) = (&epoll, &near, &left, &stop);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                loop {
                    for happened in block_on(epoll.wait(2, None, false)).unwrap().unwrap() {
                        let Some(socket) = near.get(happened.fd as usize) else { return };
                        while read(socket) {
                            if left.fetch_sub(1, SeqCst) == 1 {
                                block_on(stop.add(true, 1)).unwrap().unwrap();
                            }
                            if mode == Mode::Level {
                                break;
                            }
                        }
                        if request(mode).one_shot {
                            let _gone = epoll.modify(happened.fd, &target(socket), request(mode));
                        }
                    }
                }
            });
        }
        for socket in far {
            scope.spawn(move || (0..BYTES).for_each(|_| write(&socket)));
        }
        scope.spawn(move || {
            while left.load(SeqCst) > 0 {
                epoll.remove(0, &target(&near[0])).unwrap();
                epoll.add(0, &target(&near[0]), request(mode)).unwrap();
                epoll.modify(1, &target(&near[1]), request(mode)).unwrap();
                thread::yield_now();
            }
        });
    });
}

#[test]
fn every_byte_of_sockets_arrives() {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::EdgeOneShot] {
        bounded(move || every_byte_arrives(mode));
    }
}

#[test]
fn a_leader_that_returns_is_followed_by_another() {
    let epoll = Epoll::new();
    let [near, _far] = pair();
    epoll.add(3, &target(&near), request(Mode::Level)).unwrap();
    let mut waiters: Vec<_> = (0..3).map(|_| waiters::TestWaiter::new(&epoll, 8)).collect();
    waiters.iter_mut().for_each(|waiter| assert!(waiter.poll().is_pending()));
    assert!(waiters.iter().all(|waiter| !waiter.is_woken()));
    drop(waiters.remove(0));
    let woken: Vec<_> = waiters.iter().map(waiters::TestWaiter::is_woken).collect();
    assert_eq!(woken, [false, true]);
    // It is dropped before it could poll.
    waiters.pop();
    assert!(waiters[0].is_woken());
    assert!(waiters[0].poll().is_pending());
    assert!(!epoll.leadership.is_vacant());
    waiters.pop();
    assert!(epoll.leadership.is_vacant());
}

/// The first socket is added while a waiter sleeps that saw no kernel's part.
#[test]
fn a_sleeping_waiter_is_woken_by_the_first_socket() {
    bounded(|| {
        let epoll = Epoll::new();
        let [near, far] = pair();
        write(&far);
        thread::scope(|scope| {
            let waits = scope.spawn(|| block_on(epoll.wait(8, None, false)).unwrap().unwrap());
            while epoll.list.waiters() == 0 {
                thread::yield_now();
            }
            epoll.add(3, &target(&near), request(Mode::Level)).unwrap();
            assert_eq!(waits.join().unwrap().len(), 1);
        });
    });
}

#[test]
fn an_epoll_that_watches_an_epoll_is_woken_by_its_sockets() {
    bounded(|| {
        let (outer, inner) = (Epoll::new(), Epoll::new());
        let watched: Arc<dyn Pollable> = Arc::clone(&inner) as Arc<dyn Pollable>;
        outer.add(8, &watched, request(Mode::Level)).unwrap();
        assert_eq!(taken(&outer, 8), []);
        let [near, far] = pair();
        inner.add(3, &target(&near), request(Mode::Level)).unwrap();
        for _ in 0..500 {
            thread::scope(|scope| {
                let waits = scope.spawn(|| block_on(outer.wait(8, None, false)).unwrap().unwrap());
                write(&far);
                assert_eq!(waits.join().unwrap().len(), 1);
            });
            assert_eq!(numbers(&inner), [3]);
            assert!(read(&near));
            assert_eq!(taken(&outer, 8), []);
        }
    });
}

#[test]
fn closed_sockets_are_forgotten() {
    let epoll = Epoll::new();
    for fd in 0..5_000 {
        let [near, far] = pair();
        write(&far);
        epoll.add(fd, &target(&near), request(Mode::Level)).unwrap();
        assert_eq!(numbers(&epoll), [fd]);
    }
    assert_eq!(taken(&epoll, 8), []);
    assert!(parts(&epoll).0 <= 2 * FIRST_SWEEP);
    assert!(epoll.kernel.count() <= 2 * FIRST_SWEEP);
}
