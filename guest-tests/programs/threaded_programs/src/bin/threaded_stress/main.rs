//! `threaded_stress WAY SEED`: threads that share what they wait in, and lose nothing.
//!
//! * `epoll`: several threads wait in one epoll, others send, close and modify meanwhile.
//! * `wakers`: tokens run round a ring of threads that wake each other by event descriptors.
//! * `poll`: each of several threads polls hundreds of descriptors.
//!
//! Each counts what was sent and what arrived, and ends with 1 where it differs, or where
//! nothing moves any more.

#![cfg_attr(target_os = "wasi", no_std, no_main)]

extern crate alloc;

mod channel;
mod many;
mod poll;
mod wakers;

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

threaded::main!(run);

fn run() {
    let arguments = threaded::args();
    let seed = threaded::argument(&arguments, 2, 1);
    match arguments.get(1).map(|way| way.as_str()) {
        Some("epoll") => many::run(seed),
        Some("bells") => wakers::run(seed),
        Some("poll") => poll::run(seed),
        way => panic!("{way:?} is not known"),
    }
}

/// How often anything has moved: a watchman looks at it.
static MOVES: AtomicU32 = AtomicU32::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);

fn note_move() {
    MOVES.fetch_add(1, SeqCst);
}

/// Ends the program where nothing moves for long, and tells of `state`.
fn watch_over(state: impl Fn() -> alloc::string::String + Send + 'static) {
    threaded::spawn(move || {
        let mut still = 0;
        let mut seen = MOVES.load(SeqCst);
        while !IS_OVER.load(SeqCst) {
            threaded::sleep(threaded::WAIT_TIMEOUT / 1000);
            let now = MOVES.load(SeqCst);
            still = if now == seen { still + 1 } else { 0 };
            seen = now;
            assert!(still < 1000 || IS_OVER.load(SeqCst), "nothing moves any more: {}", state());
        }
    })
    .expect("a thread");
}
