//! Who is woken, of the waiters on one epoll: one, and the next where that one goes or
//! leaves something.

use super::*;

#[derive(Default)]
struct WakeCount(AtomicU32);

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A waiter, polled when the test chooses.
pub(super) struct TestWaiter<'a> {
    wait: std::pin::Pin<Box<dyn Future<Output = Result<Vec<Happened>, Errno>> + 'a>>,
    woken: Arc<WakeCount>,
}

impl<'a> TestWaiter<'a> {
    pub(super) fn new(epoll: &'a Epoll, most: usize) -> Self {
        Self { wait: Box::pin(epoll.wait(most, None, false)), woken: Arc::default() }
    }

    pub(super) fn poll(&mut self) -> Poll<Vec<Happened>> {
        self.woken.0.store(0, SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        self.wait.as_mut().poll(&mut Context::from_waker(&waker)).map(Result::unwrap)
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.0.load(SeqCst) > 0
    }
}

/// A counter, which `epoll` watches as `fd`.
fn counter(epoll: &Arc<Epoll>, fd: u32, mode: Mode) -> Arc<EventFd> {
    let event = Arc::new(EventFd::new(0, false).unwrap());
    let target: Arc<dyn Pollable> = Arc::clone(&event) as Arc<dyn Pollable>;
    epoll.add(fd, &target, request(mode)).unwrap();
    assert!(taken(epoll, 8).is_empty());
    event
}

fn add_one(event: &EventFd) {
    let added = pin!(event.add(false, 1)).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(added, Poll::Ready(Ok(())));
}

#[test]
fn one_waiter_is_woken_and_wakes_the_next_if_it_goes() {
    let epoll = Epoll::new();
    let event = counter(&epoll, 7, Mode::Edge);
    let mut waiters: Vec<_> = (0..3).map(|_| TestWaiter::new(&epoll, 8)).collect();
    waiters.iter_mut().for_each(|waiter| assert!(waiter.poll().is_pending()));
    add_one(&event);
    let woken: Vec<_> = waiters.iter().map(TestWaiter::is_woken).collect();
    assert_eq!(woken, [false, false, true]);
    waiters.pop();
    let woken: Vec<_> = waiters.iter().map(TestWaiter::is_woken).collect();
    assert_eq!(woken, [false, true]);
    assert!(waiters[1].poll().is_ready());
    waiters.pop();
    assert!(!waiters[0].is_woken());
}

#[test]
fn what_is_still_ready_wakes_the_next_waiter() {
    let epoll = Epoll::new();
    let event = counter(&epoll, 7, Mode::Level);
    let mut waiters: Vec<_> = (0..2).map(|_| TestWaiter::new(&epoll, 8)).collect();
    waiters.iter_mut().for_each(|waiter| assert!(waiter.poll().is_pending()));
    add_one(&event);
    assert!(waiters[1].poll().is_ready());
    waiters.pop();
    assert!(waiters[0].is_woken());
}

/// Whatever waiters come, go, are polled late or never: while something is listed, one of
/// those that are there is woken.
#[test]
fn a_seeded_scheduler_finds_no_lost_wake_up() {
    for seed in 0..SEEDS {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut any = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 33) as usize % below
        };
        let epoll = Epoll::new();
        let modes = [Mode::Level, Mode::Edge, Mode::Edge, Mode::EdgeOneShot];
        let events: Vec<_> = (0..).zip(modes).map(|(fd, mode)| counter(&epoll, fd, mode)).collect();
        let mut waiters: Vec<TestWaiter<'_>> = Vec::new();
        for step in 0..200 {
            match any(6) {
                0 if waiters.len() < 5 => {
                    let mut waiter = TestWaiter::new(&epoll, 1 + any(2));
                    if waiter.poll().is_pending() {
                        waiters.push(waiter);
                    }
                }
                1 | 2 => add_one(&events[any(events.len())]),
                3 if !waiters.is_empty() => drop(waiters.swap_remove(any(waiters.len()))),
                4 => _ = taken(&epoll, 1),
                // One that was woken, with something or in vain.
                _ => {
                    let found =
                        waiters.iter_mut().position(|waiter| waiter.is_woken() && waiter.poll().is_ready());
                    if let Some(ready) = found {
                        drop(waiters.swap_remove(ready));
                        let event = &events[any(events.len())];
                        _ = pin!(event.take(false)).poll(&mut Context::from_waker(Waker::noop()));
                    }
                }
            }
            let is_seen = waiters.is_empty() || waiters.iter().any(TestWaiter::is_woken);
            assert!(is_seen || epoll.list.len() == 0, "seed {seed}, step {step}: nobody looks");
        }
    }
}
