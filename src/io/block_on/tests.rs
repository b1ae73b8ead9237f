use super::*;
use crate::io::{AsyncFd, Events, Pollable as _, sleep, yield_now};
use std::future::poll_fn;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Wake;
use std::thread;
use std::time::Duration;

#[test]
fn it_waits_outside_of_a_runtime() {
    assert_eq!(block_on(sleep(Duration::from_millis(1))), Ok(()));
}

#[tokio::test]
async fn it_waits_inside_a_runtime_of_one_thread() {
    assert_eq!(block_on(sleep(Duration::from_millis(1))), Ok(()));
}

#[tokio::test]
async fn a_long_run_inside_a_runtime_ends() {
    let run = block_on(async {
        for _ in 0..1000 {
            tokio::task::consume_budget().await;
            yield_now().await;
        }
    });
    assert_eq!(run, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_waits_inside_a_runtime_of_many_threads() {
    assert_eq!(block_on(sleep(Duration::from_millis(1))), Ok(()));
}

/// What `event` is, or `EAGAIN` after `limit`.
async fn before<T>(limit: Duration, event: impl Future<Output = T>) -> Result<T, Errno> {
    tokio::select! {
        biased;
        done = event => Ok(done),
        () = sleep(limit) => Err(Errno::EAGAIN),
    }
}

/// A socket, and the other end.
fn watched() -> std::io::Result<(Arc<AsyncFd>, UnixStream)> {
    let (near, far) = UnixStream::pair()?;
    let reactor = own_reactor().map_err(std::io::Error::other)?;
    Ok((AsyncFd::with(&reactor, Arc::new(near.into())), far))
}

/// Says something after a moment, in which the thread most likely falls asleep.
fn later<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::spawn(|| {
        thread::sleep(Duration::from_millis(10));
        act()
    })
}

#[test]
fn it_watches_a_descriptor_without_the_reactor() -> std::io::Result<()> {
    let (near, mut far) = watched()?;
    let saying = later(move || far.write_all(b"news"));
    assert_eq!(block_on(near.ready(Events::READ)), Ok(Ok(())));
    assert!(!near.is_registered());
    assert!(matches!(saying.join(), Ok(Ok(()))), "it was not said");
    Ok(())
}

/// Returns when there is something to read. A wait alone may end for nothing: the sender of the round before
/// may have woken the thread after that had what was sent.
async fn news(near: &AsyncFd) {
    while near.look().and(Events::IN).is_empty() {
        assert_eq!(near.ready(Events::READ).await, Ok(()));
    }
}

/// Many times, so that some of the wake-ups come while it falls asleep.
#[test]
fn another_thread_wakes_it_at_a_descriptor() -> std::io::Result<()> {
    let (near, _far) = watched()?;
    for _ in 0..2000 {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let waking = thread::spawn(move || sender.send(()));
        let woken = block_on(async {
            tokio::select! {
                biased;
                woken = receiver => woken,
                () = news(&near) => panic!("there is no news"),
            }
        });
        assert_eq!(woken, Ok(Ok(())));
        assert!(matches!(waking.join(), Ok(Ok(()))), "nobody waits");
    }
    assert!(!near.is_registered());
    Ok(())
}

/// The interest of a wait does not keep the descriptor open, nor the thread awake.
#[test]
fn a_wait_that_was_dropped_is_not_watched() -> std::io::Result<()> {
    let (near, mut far) = watched()?;
    let turns = block_on(async {
        {
            let mut ready = pin!(near.ready(Events::READ));
            poll_fn(|context| Poll::Ready(ready.as_mut().poll(context).is_pending())).await;
        }
        drop(near);
        // The other end sees that it is closed while this goes on.
        assert!(far.write_all(b"news").is_err());
        let mut turns = 0;
        let slept = before(
            Duration::from_millis(5),
            poll_fn(|_| {
                turns += 1;
                Poll::<()>::Pending
            }),
        );
        assert_eq!(slept.await, Err(Errno::EAGAIN));
        turns
    });
    assert!(turns.is_ok_and(|turns| turns < 5), "{turns:?} turns");
    Ok(())
}

/// A part of the future with a waker of its own is not polled in each round.
#[test]
fn a_part_that_is_polled_when_it_is_woken_goes_to_the_reactor() -> std::io::Result<()> {
    struct Flag(AtomicBool, Waker);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
            self.1.wake_by_ref();
        }
    }
    let (near, mut far) = watched()?;
    let saying = later(move || far.write_all(b"news"));
    let mut ready = pin!(near.ready(Events::READ));
    let mut flag: Option<Arc<Flag>> = None;
    let heard = block_on(poll_fn(|context| {
        let flag = flag.get_or_insert_with(|| Arc::new(Flag(true.into(), context.waker().clone())));
        if !flag.0.swap(false, SeqCst) {
            return Poll::Pending;
        }
        ready.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(flag))))
    }));
    assert_eq!(heard, Ok(Ok(())));
    assert!(near.is_registered());
    assert!(matches!(saying.join(), Ok(Ok(()))), "it was not said");
    Ok(())
}

/// A nested `block_on` restores the interests of the outer one.
#[test]
fn one_inside_of_another_leaves_it_alone() -> std::io::Result<()> {
    let (outer, mut far) = watched()?;
    let saying = later(move || far.write_all(b"news"));
    let mut ready = pin!(outer.ready(Events::READ));
    let mut has_been_inside = false;
    let heard = block_on(poll_fn(|context| {
        let heard = ready.as_mut().poll(context);
        if !std::mem::replace(&mut has_been_inside, true) {
            assert_eq!(block_on(sleep(Duration::from_millis(1))), Ok(()));
        }
        heard
    }));
    assert_eq!(heard, Ok(Ok(())));
    assert!(matches!(saying.join(), Ok(Ok(()))), "it was not said");
    Ok(())
}

/// It does not spin while it waits for nothing that comes.
#[test]
fn it_parks_while_nothing_changes() -> std::io::Result<()> {
    let (near, _far) = watched()?;
    let mut turns = 0;
    let mut looking = pin!(async {
        loop {
            assert_eq!(near.ready(Events::READ).await, Ok(()));
        }
    });
    let counted = poll_fn(|context| {
        turns += 1;
        looking.as_mut().poll(context)
    });
    let slept: Result<Result<(), _>, _> = block_on(before(Duration::from_millis(5), counted));
    assert_eq!(slept, Ok(Err(Errno::EAGAIN)));
    assert!(turns < 5, "{turns} turns");
    Ok(())
}
