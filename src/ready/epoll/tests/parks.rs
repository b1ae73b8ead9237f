//! Threads that park in the kernel's epoll itself, and all that ends it.

use super::kernel::{pair, target, write};
use super::*;
use crate::io::with_waker;

/// What a park that is to end has found; nothing where the thread is to wait in the other way.
type Parked = Option<Vec<u32>>;

fn park(epoll: &Epoll, limit: Option<Duration>) -> Parked {
    let mut found = Vec::new();
    let parked = with_waker(|waker| epoll.park(8, limit, &mut found, waker));
    parked.map(|()| found.iter().map(|happened| happened.fd).collect())
}

/// A thread that parks, and its waker. It has its slot by then.
fn parking(epoll: &Arc<Epoll>) -> (mpsc::Receiver<Parked>, Waker) {
    let (told, waker) = mpsc::channel();
    let (ended, outcome) = mpsc::channel();
    let theirs = Arc::clone(epoll);
    let before = epoll.list.waiters();
    thread::spawn(move || {
        told.send(with_waker(Waker::clone)).unwrap();
        ended.send(park(&theirs, None)).unwrap();
    });
    let waker = waker.recv_timeout(WAIT_TIMEOUT).unwrap();
    while epoll.list.waiters() == before {
        thread::yield_now();
    }
    (outcome, waker)
}

/// An epoll that watches one of a pair as 4, and the other one.
fn watched() -> (Arc<Epoll>, Arc<dyn Pollable>, Arc<crate::socket::Socket>) {
    let epoll = Epoll::new();
    let [near, far] = pair();
    let near = target(&near);
    epoll.add(4, &near, request(Mode::Level)).unwrap();
    (epoll, near, far)
}

#[test]
fn a_park_finds_what_is_there_and_what_comes() {
    let (epoll, _near, far) = watched();
    let (outcome, _) = parking(&epoll);
    write(&far);
    assert_eq!(outcome.recv_timeout(WAIT_TIMEOUT), Ok(Some(vec![4])));
    assert_eq!(park(&epoll, None), Some(vec![4]));
    assert_eq!(park(&epoll, Some(Duration::from_nanos(1))), Some(vec![4]));
}

#[test]
fn a_limit_ends_a_park() {
    let (epoll, _near, _far) = watched();
    assert_eq!(park(&epoll, Some(Duration::from_millis(2))), Some(vec![]));
}

#[test]
fn what_the_kernel_does_not_watch_ends_a_park() {
    let (epoll, _near, _far) = watched();
    let (outcome, _) = parking(&epoll);
    let event: Arc<dyn Pollable> = Arc::new(EventFd::new(0, false).unwrap());
    epoll.add(5, &event, request(Mode::Level)).unwrap();
    assert_eq!(outcome.recv_timeout(WAIT_TIMEOUT), Ok(None));
    // The next one waits as for everything else.
    assert_eq!(park(&epoll, None), None);
    epoll.remove(5, &event).unwrap();
    assert_eq!(park(&epoll, Some(Duration::from_millis(1))), Some(vec![]));
}

#[test]
fn closing_an_epoll_ends_its_parks() {
    let (epoll, _near, _far) = watched();
    let parks = [parking(&epoll).0, parking(&epoll).0];
    epoll.close();
    for outcome in parks {
        assert_eq!(outcome.recv_timeout(WAIT_TIMEOUT), Ok(None));
    }
    assert_eq!(park(&epoll, None), None);
}

/// What wakes one is in the epoll, where the other one sees it too: that one may wait in the other way, but misses nothing.
#[test]
fn a_woken_thread_ends_its_park_and_leaves_no_event() {
    for _ in 0..50 {
        let (epoll, _near, far) = watched();
        let (first, waker) = parking(&epoll);
        let (second, _) = parking(&epoll);
        waker.wake();
        assert_eq!(first.recv_timeout(WAIT_TIMEOUT), Ok(None));
        // It has seen its ring, so nothing is there for anybody.
        assert_eq!(taken(&epoll, 1), []);
        assert!(!epoll.has_ready());
        write(&far);
        let found = second.recv_timeout(WAIT_TIMEOUT).unwrap();
        assert!([None, Some(vec![4])].contains(&found), "{found:?}");
        assert_eq!(taken(&epoll, 1).len(), 1);
    }
}

/// A thread that was woken while it was away does not park.
#[test]
fn a_wake_up_before_a_park_ends_it() {
    let (epoll, _near, _far) = watched();
    with_waker(Waker::wake_by_ref);
    assert_eq!(park(&epoll, None), None);
    assert_eq!(park(&epoll, Some(Duration::from_millis(1))), Some(vec![]));
}

/// A thread that has parked in more epolls than it notes is woken in each.
#[test]
fn a_thread_is_woken_in_each_of_many_epolls() {
    bounded(|| {
        let epolls: Vec<_> = (0..9).map(|_| watched()).collect();
        let (send, wakers) = mpsc::channel::<Waker>();
        thread::scope(|scope| {
            scope.spawn(move || wakers.iter().for_each(Waker::wake));
            for (epoll, ..) in epolls.iter().chain(&epolls) {
                assert_eq!(park(epoll, Some(Duration::from_nanos(1))), Some(vec![]));
                send.send(with_waker(Waker::clone)).unwrap();
                assert_eq!(park(epoll, None), None);
            }
            drop(send);
        });
    });
}
