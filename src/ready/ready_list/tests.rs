use std::sync::Mutex;

use super::*;

/// A source that the test controls.
#[derive(Default)]
struct ReportedChange {
    state: Mutex<ReportedState>,
}

#[derive(Default)]
struct ReportedState {
    has_news: bool,
    is_over: bool,
    waker: Option<Waker>,
    polls: u32,
}

impl ReportedChange {
    fn lock(&self) -> MutexGuard<'_, ReportedState> {
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

impl Watchable for ReportedChange {
    fn poll_change(&self, _: Interest, context: &mut Context<'_>) -> Poll<Change> {
        let mut state = self.lock();
        state.polls += 1;
        state.has_news = false;
        if state.is_over {
            return Poll::Ready(Change::Closed);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A ready list with members 0, 1 and so on, each returned once.
async fn ready_list(count: u32) -> (ReadyList<u32>, Vec<Arc<ReportedChange>>) {
    let mut ready_list = ReadyList::new();
    let mut members = Vec::new();
    for key in 0..count {
        let told = Arc::new(ReportedChange::default());
        insert(&mut ready_list, key, &told);
        members.push(told);
    }
    for key in 0..count {
        assert_eq!(ready_list.next().await, (key, Change::More));
    }
    (ready_list, members)
}

fn insert(ready_list: &mut ReadyList<u32>, key: u32, told: &Arc<ReportedChange>) {
    let source: Arc<dyn Watchable> = Arc::<ReportedChange>::clone(told);
    ready_list.insert(key, &source, Interest::Read);
}

/// What the ready list returns now; nothing if it waits.
fn now(ready_list: &mut ReadyList<u32>) -> Option<(u32, Change)> {
    let mut next = std::pin::pin!(ready_list.next());
    match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(next) => Some(next),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn changes_come_in_order_and_once() {
    let (mut ready_list, members) = ready_list(5).await;
    assert_eq!(now(&mut ready_list), None);
    for key in [3, 1, 3, 4] {
        members.get(key).into_iter().for_each(|member| member.happen());
    }
    for expected in [Some((3, Change::More)), Some((1, Change::More)), Some((4, Change::More)), None] {
        assert_eq!(now(&mut ready_list), expected);
    }
}

#[tokio::test]
async fn an_event_costs_the_same_among_thousands() {
    let (mut ready_list, members) = ready_list(5000).await;
    for member in members.iter().take(3) {
        member.happen();
    }
    for key in 0..3 {
        assert_eq!(ready_list.next().await, (key, Change::More));
    }
    let polls: u32 = members.iter().map(|member| member.lock().polls).sum();
    assert_eq!(polls, 5003);
}

#[tokio::test]
async fn what_happens_ends_the_wait() {
    let (mut ready_list, members) = ready_list(2).await;
    let waiting = tokio::spawn(async move { ready_list.next().await });
    tokio::task::yield_now().await;
    members.get(1).into_iter().for_each(|member| member.happen());
    assert_eq!(waiting.await.ok(), Some((1, Change::More)));
}

#[tokio::test]
async fn a_member_that_is_requeued_waits_for_its_turn() {
    let (mut ready_list, members) = ready_list(3).await;
    members.first().into_iter().for_each(|member| member.happen());
    ready_list.requeue(&2);
    ready_list.requeue(&0);
    assert_eq!(now(&mut ready_list), Some((0, Change::More)));
    ready_list.requeue(&0);
    assert_eq!(now(&mut ready_list), Some((2, Change::More)));
    assert_eq!(now(&mut ready_list), Some((0, Change::More)));
    // Being armed anew is no change.
    assert_eq!(now(&mut ready_list), None);
}

#[tokio::test]
async fn the_last_change_is_returned_and_then_it_is_quiet() {
    let (mut ready_list, members) = ready_list(1).await;
    members.iter().for_each(|member| member.end());
    assert_eq!(now(&mut ready_list), Some((0, Change::Closed)));
    assert_eq!(now(&mut ready_list), None);
    ready_list.requeue(&0);
    assert_eq!(now(&mut ready_list), Some((0, Change::Closed)));
    assert!(!ready_list.is_empty());
}

#[tokio::test]
async fn a_source_that_is_dropped_is_reported() {
    let (mut ready_list, mut members) = ready_list(2).await;
    members.truncate(1);
    assert_eq!(now(&mut ready_list), Some((1, Change::Closed)));
    assert_eq!(now(&mut ready_list), None);
}

#[tokio::test]
async fn a_removed_member_is_not_returned() {
    let (mut ready_list, members) = ready_list(2).await;
    members.iter().for_each(|member| member.happen());
    ready_list.remove(&0);
    assert_eq!(now(&mut ready_list), Some((1, Change::More)));
    ready_list.remove(&1);
    assert!(ready_list.is_empty());
    members.iter().for_each(|member| member.happen());
    assert_eq!(now(&mut ready_list), None);
}

#[tokio::test]
async fn a_key_that_is_used_again_is_another_member() {
    let (mut ready_list, members) = ready_list(1).await;
    let other = Arc::new(ReportedChange::default());
    insert(&mut ready_list, 0, &other);
    assert_eq!(now(&mut ready_list), Some((0, Change::More)));
    // The earlier one still has a token.
    members.iter().for_each(|member| member.happen());
    assert_eq!(now(&mut ready_list), None);
    other.happen();
    assert_eq!(now(&mut ready_list), Some((0, Change::More)));
}

/// A host's socket: what was there before it was watched, what comes, and its end.
#[tokio::test]
async fn a_socket_reports_data_and_its_end() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::{Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    let (mut near, far) = UnixStream::pair()?;
    far.set_nonblocking(true)?;
    let mut reader = far.try_clone()?;
    near.write_all(b"before")?;
    let registration = crate::io::AsyncFd::new(Arc::new(OwnedFd::from(far)))?;
    let source: Arc<dyn Watchable> = Arc::<crate::io::AsyncFd>::clone(&registration);
    let mut ready_list = ReadyList::new();
    ready_list.insert(7, &source, Interest::Read);
    assert_eq!(ready_list.next().await, (7, Change::More));
    let mut buffer = [0; 64];
    assert_eq!(reader.read(&mut buffer)?, 6);
    for _ in 0..3 {
        near.write_all(b"more")?;
        // The reactor may still report what was read already.
        while reader.read(&mut buffer).is_err() {
            assert_eq!(ready_list.next().await, (7, Change::More));
        }
    }
    drop(near);
    while ready_list.next().await != (7, Change::Closed) {}
    // Nothing else keeps it open.
    drop(source);
    assert_eq!(Arc::strong_count(&registration), 1);
    Ok(())
}
