//! `threaded_pingpong WAY ROUNDS`: two threads wake each other in turn; says how long that
//! takes.
//!
//! The ways are `futex`, `event`, `pipe`, `pair`, `tcp`, and `epoll`, which is `event`
//! with a wait in an epoll. In `idle` no thread waits: the calls alone.

#![cfg_attr(target_os = "wasi", no_std, no_main)]

extern crate alloc;

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use threaded::{ADD, EpollEvent, FOR_EVER, Fd, IN};

threaded::main!(run);

fn run() {
    let arguments = threaded::args();
    let way = arguments.get(1).expect("a way").as_str();
    let rounds = threaded::argument(&arguments, 2, 1000);
    let begun = match way {
        "futex" => futex(rounds),
        "event" | "epoll" => events(rounds, way == "epoll"),
        "pipe" => {
            let ((near, to_near), (far, to_far)) =
                (threaded::pipe().expect("a pipe"), threaded::pipe().expect("a pipe"));
            bytes(rounds, (near, to_far), (far, to_near))
        }
        "pair" => {
            let (near, far) = threaded::pair().expect("a pair");
            bytes(rounds, (near, near), (far, far))
        }
        "tcp" => {
            let listener = threaded::listen(([127, 0, 0, 1], 0).into(), 1).expect("a listener");
            let near = threaded::connect(threaded::port(listener).expect("a port")).expect("a connection");
            let far = threaded::accept(listener, false).expect("a connection");
            bytes(rounds, (near, near), (far, far))
        }
        "idle" => {
            let (reader, writer) = threaded::pipe().expect("a pipe");
            bytes_alone(rounds, reader, writer)
        }
        way => panic!("{way:?} is not known"),
    };
    let each = (threaded::now() - begun) / u64::from(rounds);
    threaded::say(&alloc::format!("{way}: {each} ns a round trip\n"));
}

fn futex(rounds: u32) -> u64 {
    static WORD: AtomicU32 = AtomicU32::new(0);
    // The word counts turns: even ones are this thread's, odd ones the other's.
    let play = move |first: u32| {
        for turn in (first..2 * rounds).step_by(2) {
            while WORD.load(SeqCst) != turn {
                threaded::futex_wait(&WORD, turn.wrapping_sub(1), None);
            }
            WORD.store(turn + 1, SeqCst);
            threaded::futex_wake(&WORD);
        }
    };
    let other = threaded::spawn(move || play(1)).expect("a thread");
    let begun = threaded::now();
    play(0);
    other.join();
    begun
}

fn events(rounds: u32, by_epoll: bool) -> u64 {
    let wakers = [0, 1].map(|_| threaded::event(0, false).expect("an event descriptor"));
    let play = move |own: usize| {
        let epoll = threaded::epoll().expect("an epoll");
        threaded::epoll_ctl(epoll, ADD, wakers[own], &EpollEvent::new(IN, 0)).expect("to watch it");
        let mut found = [EpollEvent::NONE; 1];
        for _ in 0..rounds {
            if own == 0 {
                threaded::add(wakers[1], 1).expect("to ring");
            }
            if by_epoll {
                threaded::epoll_wait(epoll, &mut found, FOR_EVER).expect("events");
            }
            threaded::take(wakers[own]).expect("a wake-up");
            if own == 1 {
                threaded::add(wakers[0], 1).expect("to ring");
            }
        }
    };
    let other = threaded::spawn(move || play(1)).expect("a thread");
    let begun = threaded::now();
    play(0);
    other.join();
    begun
}

/// Each side has an end to read and one to write.
fn bytes(rounds: u32, near: (Fd, Fd), far: (Fd, Fd)) -> u64 {
    let other = threaded::spawn(move || {
        let mut byte = [0];
        for _ in 0..rounds {
            threaded::read(far.0, &mut byte).expect("a byte");
            threaded::write_all(far.1, &byte).expect("to send");
        }
    })
    .expect("a thread");
    let begun = threaded::now();
    let mut byte = [1];
    for _ in 0..rounds {
        threaded::write_all(near.1, &byte).expect("to send");
        threaded::read(near.0, &mut byte).expect("a byte");
    }
    other.join();
    begun
}

fn bytes_alone(rounds: u32, reader: Fd, writer: Fd) -> u64 {
    let begun = threaded::now();
    let mut byte = [1];
    for _ in 0..rounds {
        threaded::write_all(writer, &byte).expect("to send");
        threaded::read(reader, &mut byte).expect("a byte");
    }
    begun
}
