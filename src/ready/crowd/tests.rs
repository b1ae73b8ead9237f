use std::sync::Mutex;

use super::*;

/// A source that does as it is told.
#[derive(Default)]
struct Told {
    state: Mutex<ToldState>,
}

#[derive(Default)]
struct ToldState {
    has_news: bool,
    is_over: bool,
    waker: Option<Waker>,
    polls: u32,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, ToldState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happens.
    fn happen(&self) {
        let waker = {
            let mut state = self.lock();
            state.has_news = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.happen();
    }
}

impl Watchable for Told {
    fn poll_news(&self, _: Interest, context: &mut Context<'_>) -> Poll<Heard> {
        let mut state = self.lock();
        state.polls += 1;
        state.has_news = false;
        if state.is_over {
            return Poll::Ready(Heard::Last);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A crowd with members 0, 1 and so on, each told of once.
async fn crowd(count: u32) -> (Crowd<u32>, Vec<Arc<Told>>) {
    let mut crowd = Crowd::new();
    let mut members = Vec::new();
    for key in 0..count {
        let told = Arc::new(Told::default());
        insert(&mut crowd, key, &told);
        members.push(told);
    }
    for key in 0..count {
        assert_eq!(crowd.next().await, (key, Heard::Some));
    }
    (crowd, members)
}

fn insert(crowd: &mut Crowd<u32>, key: u32, told: &Arc<Told>) {
    let source: Arc<dyn Watchable> = Arc::<Told>::clone(told);
    crowd.insert(key, &source, Interest::Read);
}

/// What the crowd tells of now; nothing where it waits.
fn now(crowd: &mut Crowd<u32>) -> Option<(u32, Heard)> {
    let mut next = std::pin::pin!(crowd.next());
    match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(next) => Some(next),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn news_come_in_their_order_and_once() {
    let (mut crowd, members) = crowd(5).await;
    assert_eq!(now(&mut crowd), None);
    for key in [3, 1, 3, 4] {
        members.get(key).into_iter().for_each(|member| member.happen());
    }
    for expected in [Some((3, Heard::Some)), Some((1, Heard::Some)), Some((4, Heard::Some)), None] {
        assert_eq!(now(&mut crowd), expected);
    }
}

#[tokio::test]
async fn an_event_costs_the_same_in_a_crowd_of_thousands() {
    let (mut crowd, members) = crowd(5000).await;
    for member in members.iter().take(3) {
        member.happen();
    }
    for key in 0..3 {
        assert_eq!(crowd.next().await, (key, Heard::Some));
    }
    let polls: u32 = members.iter().map(|member| member.lock().polls).sum();
    assert_eq!(polls, 5003);
}

#[tokio::test]
async fn what_happens_ends_the_wait() {
    let (mut crowd, members) = crowd(2).await;
    let waiting = tokio::spawn(async move { crowd.next().await });
    tokio::task::yield_now().await;
    members.get(1).into_iter().for_each(|member| member.happen());
    assert_eq!(waiting.await.ok(), Some((1, Heard::Some)));
}

#[tokio::test]
async fn a_member_that_is_recalled_waits_for_its_turn() {
    let (mut crowd, members) = crowd(3).await;
    members.first().into_iter().for_each(|member| member.happen());
    crowd.recall(&2);
    crowd.recall(&0);
    assert_eq!(now(&mut crowd), Some((0, Heard::Some)));
    crowd.recall(&0);
    assert_eq!(now(&mut crowd), Some((2, Heard::Some)));
    assert_eq!(now(&mut crowd), Some((0, Heard::Some)));
    // Being armed anew is no news.
    assert_eq!(now(&mut crowd), None);
}

#[tokio::test]
async fn the_last_news_are_told_and_then_it_is_quiet() {
    let (mut crowd, members) = crowd(1).await;
    members.iter().for_each(|member| member.end());
    assert_eq!(now(&mut crowd), Some((0, Heard::Last)));
    assert_eq!(now(&mut crowd), None);
    crowd.recall(&0);
    assert_eq!(now(&mut crowd), Some((0, Heard::Last)));
    assert!(!crowd.is_empty());
}

#[tokio::test]
async fn a_source_that_goes_is_told() {
    let (mut crowd, mut members) = crowd(2).await;
    members.truncate(1);
    assert_eq!(now(&mut crowd), Some((1, Heard::Last)));
    assert_eq!(now(&mut crowd), None);
}

#[tokio::test]
async fn who_was_removed_is_not_told_of() {
    let (mut crowd, members) = crowd(2).await;
    members.iter().for_each(|member| member.happen());
    crowd.remove(&0);
    assert_eq!(now(&mut crowd), Some((1, Heard::Some)));
    crowd.remove(&1);
    assert!(crowd.is_empty());
    members.iter().for_each(|member| member.happen());
    assert_eq!(now(&mut crowd), None);
}

#[tokio::test]
async fn a_key_that_is_used_again_is_another_member() {
    let (mut crowd, members) = crowd(1).await;
    let other = Arc::new(Told::default());
    insert(&mut crowd, 0, &other);
    assert_eq!(now(&mut crowd), Some((0, Heard::Some)));
    // The earlier one still has a bell.
    members.iter().for_each(|member| member.happen());
    assert_eq!(now(&mut crowd), None);
    other.happen();
    assert_eq!(now(&mut crowd), Some((0, Heard::Some)));
}

/// A host's socket: what was there before it was watched, what comes, and its end.
#[tokio::test]
async fn a_socket_tells_of_data_and_of_its_end() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::{Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    let (mut near, far) = UnixStream::pair()?;
    far.set_nonblocking(true)?;
    let mut reader = far.try_clone()?;
    near.write_all(b"before")?;
    let registered = crate::socket::Registered::new(Arc::new(OwnedFd::from(far)))?;
    let source: Arc<dyn Watchable> = Arc::<crate::socket::Registered>::clone(&registered);
    let mut crowd = Crowd::new();
    crowd.insert(7, &source, Interest::Read);
    assert_eq!(crowd.next().await, (7, Heard::Some));
    let mut buffer = [0; 64];
    assert_eq!(reader.read(&mut buffer)?, 6);
    for _ in 0..3 {
        near.write_all(b"more")?;
        // The reactor may still have to tell of what was read already.
        while reader.read(&mut buffer).is_err() {
            assert_eq!(crowd.next().await, (7, Heard::Some));
        }
    }
    drop(near);
    while crowd.next().await != (7, Heard::Last) {}
    // Nobody else keeps it open.
    drop(source);
    assert_eq!(Arc::strong_count(&registered), 1);
    Ok(())
}
