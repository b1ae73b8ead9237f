//! `threaded_abuse WAY`: what no program should do with threads.
//!
//! * `bomb`: as many threads as there may be, twice.
//! * `trap`: a thread traps while it holds a lock that others wait for.
//! * `close`: two threads close every descriptor again and again while others accept,
//!   receive, poll and wait in epolls.
//! * `overflow`: counters that are full.
//! * `loops`: two threads try to make two epolls watch each other.

#![cfg_attr(target_os = "wasi", no_std, no_main)]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use threaded::sync::{Door, Mutex};
use threaded::{ADD, AGAIN, BADF, DEL, Dice, ET, EpollEvent, Fd, IN, INVAL, LOOP, OUT};
use threaded::{PollEvent, Subscription};

threaded::main!(run);

fn run() {
    let arguments = threaded::args();
    match arguments.get(1).map(|way| way.as_str()) {
        Some("bomb") => bomb(),
        Some("trap") => trap(),
        Some("close") => close(),
        Some("overflow") => overflow(),
        Some("loops") => loops(),
        way => panic!("{way:?} is not known"),
    }
}

fn bomb() {
    let first = explode();
    threaded::say(&alloc::format!("{first} threads\n"));
    for _ in 0..3 {
        let again = explode();
        assert!(again == first, "{first} threads, then {again}");
    }
}

/// Starts threads until there are no more, and lets all of them end.
fn explode() -> usize {
    let door = Arc::new(Door::new());
    let mut threads = Vec::new();
    let errno = loop {
        let mine = Arc::clone(&door);
        match threaded::spawn(move || mine.pass()) {
            Ok(thread) => threads.push(thread),
            Err(errno) => break errno,
        }
    };
    assert!(errno == AGAIN, "{errno:?}");
    let refused = threaded::spawn(|| panic!("one too many")).err();
    assert!(refused == Some(AGAIN), "{refused:?}");
    door.open();
    let count = threads.len();
    threads.into_iter().for_each(threaded::Thread::join);
    // Each has given back what it stood on.
    assert!(threaded::standing() == 0, "{} threads left something", threaded::standing());
    count
}

fn trap() {
    static LOCK: Mutex<u32> = Mutex::new(0);
    static WAITING: AtomicU32 = AtomicU32::new(0);
    let guard = LOCK.lock();
    for _ in 0..8 {
        threaded::spawn(|| {
            WAITING.fetch_add(1, SeqCst);
            *LOCK.lock() += 1;
        })
        .expect("a thread");
    }
    // The lock is still taken when this thread is gone.
    core::mem::forget(guard);
    threaded::spawn(|| {
        while WAITING.load(SeqCst) < 8 {
            threaded::sleep(1_000_000);
        }
        threaded::sleep(20_000_000);
        the_thread_that_traps()
    })
    .expect("a thread");
    LOCK.lock();
    panic!("the lock was not given back");
}

#[inline(never)]
fn the_thread_that_traps() {
    core::arch::wasm32::unreachable()
}

/// How often everything is closed.
const ROUNDS: u32 = 400;

/// All that there may be, by `--max-fds 64`, but the standard ones.
const DESCRIPTORS: core::ops::Range<Fd> = 3..64;

fn close() {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    static CLOSED: AtomicU32 = AtomicU32::new(0);
    let closers: Vec<_> = (0..2)
        .map(|_| {
            threaded::spawn(|| {
                for _ in 0..ROUNDS {
                    let closed = DESCRIPTORS.filter(|fd| threaded::close(*fd).is_ok()).count();
                    CLOSED.fetch_add(closed as u32, SeqCst);
                    // So that others come to wait.
                    threaded::sleep(300_000);
                }
            })
            .expect("a thread")
        })
        .collect();
    let victims: Vec<_> = (0..10)
        .map(|number| {
            threaded::spawn(move || {
                let mut dice = Dice::new(number);
                while !IS_OVER.load(SeqCst) {
                    suffer(number, &mut dice);
                }
            })
            .expect("a thread")
        })
        .collect();
    closers.into_iter().for_each(threaded::Thread::join);
    IS_OVER.store(true, SeqCst);
    // Until the last victim has seen it: some wait for what only this ends.
    let ended =
        threaded::spawn(move || victims.into_iter().for_each(threaded::Thread::join)).expect("a thread");
    static ALL_ENDED: AtomicBool = AtomicBool::new(false);
    let closer = threaded::spawn(|| {
        while !ALL_ENDED.load(SeqCst) {
            DESCRIPTORS.for_each(|fd| _ = threaded::close(fd));
            threaded::sleep(300_000);
        }
    })
    .expect("a thread");
    ended.join();
    ALL_ENDED.store(true, SeqCst);
    closer.join();
    let closed = CLOSED.load(SeqCst);
    assert!(closed > ROUNDS, "{closed} were closed");
    threaded::say(&alloc::format!("{closed} descriptors were closed\n"));
}

/// Opens something and waits for it, which ends with an error soon, whatever it is by then.
fn suffer(number: u64, dice: &mut Dice) {
    let mut bytes = [0; 8];
    let any = DESCRIPTORS.start + dice.below(DESCRIPTORS.len() as u32);
    match number % 5 {
        0 => {
            if let Ok(listener) = threaded::listen(([127, 0, 0, 1], 0).into(), 4) {
                _ = threaded::accept(listener, false);
            }
        }
        1 => {
            if let Ok((reader, _)) = threaded::pipe() {
                _ = threaded::read(reader, &mut bytes);
            }
        }
        2 => {
            let event = threaded::event(0, false).unwrap_or(any);
            let asked = [Subscription::read(event, 0), Subscription::read(any, 1)];
            _ = threaded::poll(&asked, &mut [PollEvent::default(); 2]);
        }
        3 => {
            if let Ok(epoll) = threaded::epoll() {
                for fd in DESCRIPTORS {
                    _ = threaded::epoll_ctl(epoll, ADD, fd, &EpollEvent::new(IN | ET, 0));
                }
                _ = threaded::epoll_ctl(epoll, DEL, any, &EpollEvent::NONE);
                _ = threaded::epoll_wait(epoll, &mut [EpollEvent::NONE; 4], threaded::FOR_EVER);
            }
        }
        _ => {
            if let Ok((near, _)) = threaded::pair() {
                _ = threaded::recv(near, &mut bytes);
            }
            _ = threaded::dup(any);
        }
    }
}

const MOST: u64 = u64::MAX - 1;

fn overflow() {
    let event = threaded::event(0, false).expect("an event descriptor");
    assert!(threaded::add(event, u64::MAX) == Err(INVAL));
    threaded::add(event, MOST).expect("space");
    // One waits for room until another one takes.
    let adding = threaded::spawn(move || threaded::add(event, 5).expect("room again")).expect("a thread");
    threaded::sleep(20_000_000);
    assert!(threaded::take(event) == Ok(MOST));
    adding.join();
    assert!(threaded::take(event) == Ok(5));
    threaded::add(event, MOST).expect("space");
    // No wait: no room.
    threaded::set_nonblocking(event).expect("no wait");
    assert!(threaded::add(event, 1) == Err(AGAIN));
    // It tells of room by an edge.
    let epoll = threaded::epoll().expect("an epoll");
    threaded::epoll_ctl(epoll, ADD, event, &EpollEvent::new(OUT | ET, 0)).expect("to watch it");
    let mut found = [EpollEvent::NONE; 2];
    assert!(threaded::epoll_wait(epoll, &mut found, 20_000_000) == Ok(0));
    let taking = threaded::spawn(move || assert!(threaded::take(event) == Ok(MOST))).expect("a thread");
    assert!(threaded::epoll_wait(epoll, &mut found, threaded::WAIT_TIMEOUT) == Ok(1));
    assert!(found[0].events & OUT != 0);
    taking.join();
    // A writer that waits learns that its counter is closed.
    let full = threaded::event(0, false).expect("an event descriptor");
    threaded::add(full, MOST).expect("space");
    let adding = threaded::spawn(move || assert!(threaded::add(full, 1) == Err(BADF))).expect("a thread");
    threaded::sleep(20_000_000);
    threaded::close(full).expect("close");
    adding.join();
}

fn loops() {
    for _ in 0..200 {
        let pair: [Fd; 2] = [0, 1].map(|_| threaded::epoll().expect("an epoll"));
        let door = Arc::new(Door::new());
        let watching = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&watching);
        threaded::together(2, move |number| {
            let (outer, inner) = (pair[number as usize], pair[1 - number as usize]);
            // Both at once, as far as that goes.
            if number == 0 {
                door.pass()
            } else {
                door.open()
            }
            match threaded::epoll_ctl(outer, ADD, inner, &EpollEvent::new(IN, 0)) {
                Ok(()) => _ = counted.fetch_add(1, SeqCst),
                Err(errno) => assert!(errno == LOOP, "{errno:?}"),
            }
        });
        assert!(watching.load(SeqCst) == 1, "{watching:?} of two watch each other");
        assert!(threaded::epoll_ctl(pair[0], ADD, pair[0], &EpollEvent::new(IN, 0)).is_err());
        pair.iter().for_each(|fd| threaded::close(*fd).expect("close"));
    }
}
