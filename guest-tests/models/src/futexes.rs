//! Words that threads wait at.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};

use crate::process::{Futexes, Woken};
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::SeqCst;
use crate::sync::thread;

const WORD: u32 = 64;

/// Waiters of a word that is changed and woken once: all end, in any order.
pub fn a_change_ends_every_wait() {
    let futexes = Arc::new(Futexes::default());
    let word = Arc::new(AtomicU32::new(0));
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let (futexes, word) = (Arc::clone(&futexes), Arc::clone(&word));
            thread::spawn(move || {
                let look = || Ok(word.load(SeqCst));
                let woken = block_on(futexes.wait(WORD, 0, None, look)).expect("the word is there");
                assert_eq!(woken, Woken::Yes);
                assert_eq!(word.load(SeqCst), 1, "woken before the change");
            })
        })
        .collect();
    word.store(1, SeqCst);
    futexes.wake(WORD, usize::MAX);
    for waiter in waiters {
        waiter.join().expect("no panic");
    }
}

/// Waiters with limits, and wakers of one each: as many were woken as wakers say.
pub fn every_wake_up_arrives_once() {
    let futexes = Arc::new(Futexes::default());
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let futexes = Arc::clone(&futexes);
            thread::spawn(move || {
                let limit = Some(Duration::from_secs(1));
                block_on(futexes.wait(WORD, 0, limit, || Ok(0))).expect("the word is there")
            })
        })
        .collect();
    let wakers: Vec<_> = (0..2)
        .map(|_| {
            let futexes = Arc::clone(&futexes);
            thread::spawn(move || futexes.wake(WORD, 1))
        })
        .collect();
    let woken: usize = wakers.into_iter().map(|waker| waker.join().expect("no panic")).sum();
    let waited = waiters.into_iter().map(|waiter| waiter.join().expect("no panic"));
    assert_eq!(waited.filter(|woken| *woken == Woken::Yes).count(), woken);
}

/// One waiter is dropped at any time; the wake-up that it may have had goes to the other one.
pub fn a_dropped_waiter_hands_its_wake_up_on() {
    let futexes = Arc::new(Futexes::default());
    let there = Arc::new(AtomicU32::new(0));
    // Called with the lock that a waker needs: a thread that has looked is on the list.
    let look = |there: &Arc<AtomicU32>| {
        let there = Arc::clone(there);
        move || {
            there.fetch_add(1, SeqCst);
            Ok(0)
        }
    };
    let (theirs, looks) = (Arc::clone(&futexes), look(&there));
    let dropped = thread::spawn(move || {
        block_on(async {
            let mut wait = pin!(theirs.wait(WORD, 0, None, looks));
            std::future::poll_fn(|context| match wait.as_mut().poll(context) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending if thread_rng().gen_bool(0.3) => Poll::Ready(false),
                Poll::Pending => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await
        })
    });
    let (theirs, looks) = (Arc::clone(&futexes), look(&there));
    let other = thread::spawn(move || block_on(theirs.wait(WORD, 0, None, looks)));
    while there.load(SeqCst) < 2 {
        thread::yield_now();
    }
    assert_eq!(futexes.wake(WORD, 1), 1, "the other one is there");
    // Else the wake-up was the other one's from the start, or has been handed on to it.
    if dropped.join().expect("no panic") {
        assert_eq!(futexes.wake(WORD, 1), 1, "the other one is still there");
    }
    assert!(other.join().expect("no panic").is_ok());
}
