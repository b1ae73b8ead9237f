use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::thread;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::io::block_on;

const AT: u32 = 64;

fn waits(futexes: &Futexes, address: u32, word: &AtomicU32, expected: u32) -> Woken {
    waits_for(futexes, address, word, expected, None)
}

fn waits_for(
    futexes: &Futexes,
    address: u32,
    word: &AtomicU32,
    expected: u32,
    limit: Option<Duration>,
) -> Woken {
    let wait = futexes.wait(address, expected, limit, || Ok(word.load(SeqCst)));
    block_on(wait).ok().and_then(Result::ok).unwrap_or(Woken::No)
}

fn waiting(futexes: &Futexes, address: u32) -> usize {
    futexes.bucket(address).queues.get(&address).map_or(0, BTreeMap::len)
}

fn wait_until_waiting(futexes: &Futexes, address: u32, count: usize) {
    while waiting(futexes, address) != count {
        thread::yield_now();
    }
}

#[test]
fn a_word_that_has_changed_is_not_waited_for() {
    assert_eq!(waits(&Futexes::default(), AT, &AtomicU32::new(1), 0), Woken::Yes);
}

#[test]
fn a_limit_ends_a_wait_and_leaves_nothing_behind() {
    let (futexes, word) = (Futexes::default(), AtomicU32::new(0));
    for limit in [Duration::ZERO, Duration::from_micros(50)] {
        assert_eq!(waits_for(&futexes, AT, &word, 0, Some(limit)), Woken::No);
    }
    assert!(futexes.bucket(AT).queues.is_empty());
    assert_eq!(futexes.wake(AT, usize::MAX), 0);
}

#[test]
fn waiters_are_woken_in_order_and_no_more_than_requested() {
    let (futexes, word) = (Futexes::default(), AtomicU32::new(0));
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..8 {
            let (futexes, word, order) = (&futexes, &word, &order);
            scope.spawn(move || {
                assert_eq!(waits(futexes, AT, word, 0), Woken::Yes);
                unpoisoned(order).push(number);
            });
            wait_until_waiting(futexes, AT, number + 1);
        }
        // In the same bucket, and another word.
        assert_eq!(futexes.wake(AT + 64 * 4, usize::MAX), 0);
        for number in 0..4 {
            assert_eq!(futexes.wake(AT, 1), 1);
            while unpoisoned(&order).len() <= number {
                thread::yield_now();
            }
        }
        assert_eq!(*unpoisoned(&order), [0, 1, 2, 3]);
        assert_eq!(futexes.wake(AT, usize::MAX), 4);
    });
}

#[test]
fn thousands_wait_at_once() {
    let (futexes, word, woken) = (Futexes::default(), AtomicU32::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2000 {
            let (futexes, word, woken) = (&futexes, &word, &woken);
            let waiter = thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, move || {
                assert_eq!(waits(futexes, AT, word, 0), Woken::Yes);
                woken.fetch_add(1, SeqCst);
            });
            assert!(waiter.is_ok());
        }
        wait_until_waiting(&futexes, AT, 2000);
        assert_eq!(futexes.wake(AT, 1), 1);
        assert_eq!(futexes.wake(AT, usize::MAX), 1999);
    });
    assert_eq!(woken.into_inner(), 2000);
}

/// A waiter that was woken and dropped before it was polled passes the wake-up on.
#[test]
fn an_unused_wake_up_goes_to_the_next_waiter() {
    let (futexes, word) = (Futexes::default(), AtomicU32::new(0));
    let mut context = std::task::Context::from_waker(Waker::noop());
    let mut first = Box::pin(futexes.wait(AT, 0, None, || Ok(word.load(SeqCst))));
    let mut second = Box::pin(futexes.wait(AT, 0, None, || Ok(word.load(SeqCst))));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    assert_eq!(futexes.wake(AT, 1), 1);
    drop(first);
    assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Ok(Woken::Yes)));
    let third = Box::pin(futexes.wait(AT, 0, None, || Ok(word.load(SeqCst))));
    drop(third);
    assert!(futexes.bucket(AT).queues.is_empty());
}

/// A lock of the kind that C libraries have: 0 is free, 1 taken, 2 taken and waited
/// for.
struct Lock<'a> {
    futexes: &'a Futexes,
    word: &'a AtomicU32,
}

impl Lock<'_> {
    fn lock(&self, limit: Option<Duration>) {
        if self.word.compare_exchange(0, 1, SeqCst, SeqCst).is_ok() {
            return;
        }
        while self.word.swap(2, SeqCst) != 0 {
            let _either = waits_for(self.futexes, AT, self.word, 2, limit);
        }
    }

    fn unlock(&self) {
        if self.word.swap(0, SeqCst) == 2 {
            self.futexes.wake(AT, 1);
        }
    }
}

/// Many threads on one lock, some of whose waits end by their limit in the moment that
/// they are woken. A wake-up that was lost would stop this test forever.
#[test]
fn a_lock_holds_under_contention() {
    const THREADS: u64 = 16;
    const TIMES: u32 = 2000;
    for seed in 0..4 {
        let (futexes, word, guarded) = (Futexes::default(), AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (lock, guarded) = (Lock { futexes: &futexes, word: &word }, &guarded);
                let mut random = StdRng::seed_from_u64(seed * THREADS + number);
                scope.spawn(move || {
                    for _ in 0..TIMES {
                        let hurries = seed % 2 == 1 && random.random_range(0..4) == 0;
                        let limit = Duration::from_nanos(random.random_range(1..20_000));
                        lock.lock(hurries.then_some(limit));
                        // Not one step: another waiter that was queued in between would be lost.
                        let seen = guarded.load(SeqCst);
                        if random.random_range(0..8) == 0 {
                            thread::yield_now();
                        }
                        guarded.store(seen + 1, SeqCst);
                        lock.unlock();
                    }
                });
            }
        });
        assert_eq!(guarded.load(SeqCst), u32::try_from(THREADS).unwrap_or(0) * TIMES);
        assert_eq!(waiting(&futexes, AT), 0);
    }
}
