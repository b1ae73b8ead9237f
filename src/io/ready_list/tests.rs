use std::future::poll_fn;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;

use super::*;
use crate::io::AsyncFd;

/// A thing that the test controls.
#[derive(Default)]
struct Thing {
    watchers: Watchers,
    registrations: AtomicU32,
}

impl Pollable for Thing {
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        if mask.are_of_readers() {
            self.registrations.fetch_add(1, SeqCst);
            self.watchers.add(context.waker());
        }
        false
    }

    fn look(&self) -> Events {
        Events::IN
    }
}

/// A list, its things and their nodes.
type Listed = (Arc<ReadyList<u32>>, Vec<Arc<Thing>>, Vec<Arc<Node<u32>>>);

/// A list with things 0, 1 and so on, each armed and not listed.
fn ready_list(count: u32) -> Listed {
    let list = Arc::new(ReadyList::default());
    let (things, nodes) = (0..count).map(|number| insert(&list, number)).unzip();
    (list, things, nodes)
}

fn insert(list: &Arc<ReadyList<u32>>, number: u32) -> (Arc<Thing>, Arc<Node<u32>>) {
    let thing = Arc::new(Thing::default());
    let target: Arc<dyn Pollable> = Arc::<Thing>::clone(&thing);
    let node = Node::new(list, &target, number);
    node.arm(target.as_ref());
    (thing, node)
}

/// What is taken from the list now: its number, and what changed.
fn take(list: &ReadyList<u32>) -> Option<(u32, u8)> {
    let node = list.pop()?;
    let changed = node.take_changes();
    if let Some(target) = node.target() {
        node.arm(target.as_ref());
    }
    Some((node.value, changed))
}

#[test]
fn changes_come_in_order_and_once() {
    let (list, things, _nodes) = ready_list(5);
    assert_eq!(take(&list), None);
    for number in [3, 1, 3, 4] {
        things.get(number).into_iter().for_each(|thing| thing.watchers.wake_all());
    }
    for expected in [Some((3, READ)), Some((1, READ)), Some((4, READ)), None] {
        assert_eq!(take(&list), expected);
    }
}

#[test]
fn an_event_costs_the_same_among_thousands() {
    let (list, things, _nodes) = ready_list(5000);
    for thing in things.iter().take(3) {
        thing.watchers.wake_all();
    }
    for number in 0..3 {
        assert_eq!(take(&list), Some((number, READ)));
    }
    let registrations: u32 = things.iter().map(|thing| thing.registrations.load(SeqCst)).sum();
    assert_eq!(registrations, 5003);
}

#[test]
fn what_is_listed_again_waits_for_its_turn() {
    let (list, things, nodes) = ready_list(3);
    things.iter().take(1).for_each(|thing| thing.watchers.wake_all());
    for node in nodes.iter().rev() {
        list.mark_ready(node, 0);
    }
    assert_eq!(take(&list), Some((0, READ)));
    nodes.iter().take(1).for_each(|node| list.mark_ready(node, 0));
    for expected in [Some((2, 0)), Some((1, 0)), Some((0, 0)), None] {
        assert_eq!(take(&list), expected);
    }
}

/// What a look without a take has found idle leaves the list, unless it was woken since.
#[test]
fn what_is_idle_leaves_unless_it_was_woken() {
    let (list, things, nodes) = ready_list(2);
    nodes.iter().for_each(|node| list.mark_ready(node, READ));
    let first = list.first(2);
    for (node, _) in &first {
        node.target().into_iter().for_each(|target| _ = node.arm(target.as_ref()));
    }
    things.iter().skip(1).for_each(|thing| thing.watchers.wake_all());
    list.unlist(&first);
    assert_eq!(take(&list).map(|(number, _)| number), Some(1));
    assert_eq!(list.len(), 0);
}

#[test]
fn what_is_removed_is_not_taken() {
    let (list, things, _nodes) = ready_list(2);
    things.iter().for_each(|thing| thing.watchers.wake_all());
    list.keep(|node| node.value == 1);
    assert_eq!(take(&list), Some((1, READ)));
    assert_eq!(take(&list), None);
}

#[test]
fn a_list_keeps_no_thing_open() {
    let (list, things, nodes) = ready_list(1);
    nodes.iter().for_each(|node| list.mark_ready(node, READ));
    drop(things);
    assert!(nodes.iter().all(|node| !node.is_open()));
    assert_eq!(take(&list), Some((0, READ)));
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
    let io = AsyncFd::new(Arc::new(OwnedFd::from(far)))?;
    let target: Arc<dyn Pollable> = Arc::<AsyncFd>::clone(&io);
    let list = Arc::new(ReadyList::default());
    let node = Node::new(&list, &target, 7);
    list.mark_ready(&node, READ | WRITE);
    // What it is ready for, once something is listed.
    let next = async || {
        let mut slot = list.slot();
        poll_fn(|context| {
            slot.take(context.waker());
            match list.pop() {
                Some(node) => {
                    node.arm(io.as_ref());
                    Poll::Ready(io.look())
                }
                None => Poll::Pending,
            }
        })
        .await
    };
    assert_eq!(next().await.and(Events::IN), Events::IN);
    let mut buffer = [0; 64];
    assert_eq!(reader.read(&mut buffer)?, 6);
    for _ in 0..3 {
        near.write_all(b"more")?;
        // The reactor may still report what was read already.
        while reader.read(&mut buffer).is_err() {
            next().await;
        }
    }
    drop(near);
    while next().await.and(Events::HUP).is_empty() {}
    // Nothing else keeps it open.
    drop((target, node));
    assert_eq!(Arc::strong_count(&io), 1);
    Ok(())
}
