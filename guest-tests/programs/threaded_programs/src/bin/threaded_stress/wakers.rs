//! Tokens run round a ring of threads. Each waits for its event descriptor in a way of its
//! own, and rings the next one.

use crate::{IS_OVER, note_move, watch_over};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use threaded::{ADD, AGAIN, Dice, ET, EpollEvent, FOR_EVER, Fd, IN, PollEvent, Subscription};

const THREADS: u32 = 6;
const TOKENS: u64 = 3;
const HOPS: u32 = 3000;

static HOPPED: AtomicU32 = AtomicU32::new(0);

pub fn run(seed: u64) {
    watch_over(|| alloc::format!("{HOPPED:?} of {HOPS} hops"));
    // Every other one is read one at a time.
    let wakers: Arc<Vec<Fd>> = Arc::new(
        (0..THREADS)
            .map(|number| threaded::event(0, number % 2 == 1).expect("an event descriptor"))
            .collect(),
    );
    let ring = Arc::clone(&wakers);
    threaded::add(wakers[0], TOKENS).expect("to begin");
    threaded::together(THREADS, move |number| pass(number, &ring, seed));
    IS_OVER.store(true, SeqCst);
    let hopped = HOPPED.load(SeqCst);
    assert!(hopped >= HOPS, "{hopped} hops");
    threaded::say(&alloc::format!("{hopped} hops\n"));
}

fn pass(number: u32, wakers: &[Fd], seed: u64) {
    let mut dice = Dice::new(seed << 8 | u64::from(number));
    let (waker, next) = (wakers[number as usize], wakers[(number as usize + 1) % wakers.len()]);
    let epoll = threaded::epoll().expect("an epoll");
    let mode = if number % 3 == 0 { ET } else { 0 };
    threaded::epoll_ctl(epoll, ADD, waker, &EpollEvent::new(IN | mode, 0)).expect("to watch it");
    let waits_to_read = number % 3 == 2;
    if !waits_to_read {
        threaded::set_nonblocking(waker).expect("a waker that does not wait");
    }
    loop {
        let tokens = match threaded::take(waker) {
            Ok(tokens) => tokens,
            Err(AGAIN) => {
                sleep_until_it_rings(number, waker, epoll);
                continue;
            }
            Err(errno) => panic!("{errno:?}"),
        };
        note_move();
        HOPPED.fetch_add(tokens as u32, SeqCst);
        if dice.below(100) == 0 {
            threaded::sleep(u64::from(dice.below(50_000)));
        }
        if HOPPED.load(SeqCst) >= HOPS {
            // One token after the other ends all of them, round the ring.
            threaded::add(next, tokens + TOKENS).expect("to ring");
            return;
        }
        threaded::add(next, tokens).expect("to ring");
    }
}

fn sleep_until_it_rings(number: u32, waker: Fd, epoll: Fd) {
    if number % 3 == 0 {
        let mut found = [EpollEvent::NONE; 2];
        threaded::epoll_wait(epoll, &mut found, FOR_EVER).expect("events");
    } else {
        let mut found = [PollEvent::default()];
        threaded::poll(&[Subscription::read(waker, 0)], &mut found).expect("events");
    }
}
