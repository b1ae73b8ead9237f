//! Things that may be ready, and those that wait for them: as an epoll does, with a leader that
//! waits for the kernel's part too.

use std::sync::Arc;
use std::task::{Context, Poll};

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};

use super::leader::{Leadership, Waiter};
use crate::io::{Descriptor, Events, Node, Parker, Pollable, READ, ReadyList, WRITE, Watchers};
use crate::sync::atomic::Ordering::SeqCst;
use crate::sync::atomic::{AtomicBool, AtomicU32};
use crate::sync::thread;

/// How often each source changes.
const EACH: u32 = 2;

/// Something with data now and then.
#[derive(Default)]
struct Thing {
    data: AtomicU32,
    watchers: Watchers,
}

impl Thing {
    fn comes(&self) {
        self.data.fetch_add(1, SeqCst);
        self.watchers.wake_all();
    }

    fn take(&self) -> u32 {
        self.data.swap(0, SeqCst)
    }
}

impl Pollable for Thing {
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        if mask.are_of_readers() {
            self.watchers.add(context.waker());
        }
        false
    }

    fn look(&self) -> Events {
        Events::IN.when(self.data.load(SeqCst) > 0)
    }
}

/// Things that are watched, and what stands for the kernel's part.
struct World {
    list: Arc<ReadyList<usize>>,
    leadership: Leadership,
    things: Vec<Arc<Thing>>,
    nodes: Vec<Arc<Node<usize>>>,
    kernel: Thing,
    /// The kernel's part, for a thread that parks there.
    kernel_fd: Arc<Descriptor>,
    /// Is anything watched that is not the kernel's?
    has_own: AtomicBool,
    /// How much was found.
    found: AtomicU32,
}

impl World {
    fn new() -> Arc<Self> {
        let list = Arc::new(ReadyList::default());
        let things: Vec<Arc<Thing>> = (0..2).map(|_| Arc::default()).collect();
        let node = |(place, thing): (usize, &Arc<Thing>)| {
            let target: Arc<dyn Pollable> = Arc::<Thing>::clone(thing);
            let node = Node::new(&list, &target, place);
            list.mark_ready(&node, READ | WRITE);
            node
        };
        let nodes = things.iter().enumerate().map(node).collect();
        let (leadership, kernel, found) = (Leadership::default(), Thing::default(), AtomicU32::new(0));
        let (kernel_fd, has_own) = (Arc::default(), AtomicBool::new(true));
        Arc::new(Self { list, leadership, things, nodes, kernel, kernel_fd, has_own, found })
    }

    /// One in which everything is the kernel's yet.
    fn of_kernel_alone() -> Arc<Self> {
        let world = Self::new();
        world.list.keep(|_| false);
        world.has_own.store(false, SeqCst);
        world.leadership.need(&world.list);
        world
    }

    /// The kernel's part has something.
    fn comes_to_kernel(&self) {
        self.kernel.comes();
        self.kernel_fd.set_ready();
    }

    /// As the park of an epoll: nothing where the thread is to wait in the other way, or finds nothing.
    fn park(&self, parker: &Parker) -> u32 {
        let mut waiter = Waiter::new(&self.list, &self.leadership);
        waiter.take_slot(&parker.waker());
        if self.list.is_closed() || self.has_own.load(SeqCst) {
            return 0;
        }
        parker.park_in_poll(&[Arc::clone(&self.kernel_fd)]).expect("there is a descriptor");
        // Ready as long as something is there.
        self.kernel_fd.take();
        self.kernel.take()
    }

    /// Takes all that is listed, arms it, and looks.
    fn take_listed(&self) -> u32 {
        let mut found = 0;
        for _ in 0..self.list.len() {
            let Some(node) = self.list.pop() else { break };
            let _changed = node.take_changes();
            node.arm(node.target().expect("it is open").as_ref());
            found += self.things[node.value].take();
        }
        found
    }

    /// As the wait of an epoll: until something is found, or the list is closed.
    fn poll_wait(
        &self,
        waiter: &mut Waiter<'_, usize>,
        was_polled: &mut bool,
        context: &mut Context<'_>,
    ) -> Poll<u32> {
        waiter.take_slot(context.waker());
        if self.list.is_closed() {
            return Poll::Ready(0);
        }
        let mut found = self.take_listed();
        if waiter.lead() && std::mem::replace(was_polled, true) {
            found += self.kernel.take();
        }
        *was_polled = true;
        if waiter.is_leader() && !self.kernel.poll(Events::READ, context).is_empty() {
            found += self.kernel.take();
        }
        if found > 0 { Poll::Ready(found) } else { Poll::Pending }
    }

    /// Waits until something is found; gives up at any time where it `may_leave`.
    fn wait(&self, may_leave: bool) -> u32 {
        let mut was_polled = false;
        // What a try finds that comes before the wait.
        let found = self.take_listed() + self.kernel.take();
        if found > 0 {
            return found;
        }
        let mut waiter = Waiter::new(&self.list, &self.leadership);
        block_on(std::future::poll_fn(|context| {
            match self.poll_wait(&mut waiter, &mut was_polled, context) {
                Poll::Pending if may_leave && thread_rng().gen_bool(0.3) => Poll::Ready(0),
                Poll::Pending if may_leave => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                done => done,
            }
        }))
    }

    /// Waits again and again until `all` is found.
    fn wait_for(&self, all: u32) {
        while !self.list.is_closed() {
            let found = self.wait(false);
            if self.found.fetch_add(found, SeqCst) + found == all {
                self.list.close();
            }
        }
    }
}

/// Waiters park at the kernel's part, until something else is watched too: all of it is found.
pub fn what_is_listed_ends_a_park() {
    let world = World::of_kernel_alone();
    let theirs = Arc::clone(&world);
    let comes = thread::spawn(move || (0..EACH).for_each(|_| theirs.comes_to_kernel()));
    let theirs = Arc::clone(&world);
    let adds = thread::spawn(move || {
        theirs.has_own.store(true, SeqCst);
        theirs.list.mark_ready(&theirs.nodes[0], READ | WRITE);
        (0..EACH).for_each(|_| theirs.things[0].comes());
    });
    let parking: Vec<_> = (0..2)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let parker = Parker::new();
                while !world.list.is_closed() {
                    let parked = world.park(&parker);
                    let found =
                        if parked == 0 && world.has_own.load(SeqCst) { world.wait(false) } else { parked };
                    if world.found.fetch_add(found, SeqCst) + found == 2 * EACH {
                        world.list.close();
                    }
                }
            })
        })
        .collect();
    parking.into_iter().chain([comes, adds]).for_each(|thread| thread.join().expect("no panic"));
}

fn changes(world: &Arc<World>, of: impl Fn(&World) -> &Thing + Send + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || (0..EACH).for_each(|_| of(&world).comes()))
}

fn waiters(world: &Arc<World>, count: u32, all: u32) {
    let waiters: Vec<_> = (0..count)
        .map(|_| {
            let world = Arc::clone(world);
            thread::spawn(move || world.wait_for(all))
        })
        .collect();
    for waiter in waiters {
        waiter.join().expect("no panic");
    }
}

/// Things change, and waiters find all of it.
pub fn every_change_finds_a_waiter() {
    let world = World::new();
    let changing = [changes(&world, |world| &world.things[0]), changes(&world, |world| &world.things[1])];
    waiters(&world, 2, 2 * EACH);
    changing.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// So does the kernel's part, from some time on, of which one of the waiters is woken.
pub fn the_kernels_part_has_a_leader() {
    let world = World::new();
    let theirs = Arc::clone(&world);
    let begins = thread::spawn(move || {
        theirs.leadership.need(&theirs.list);
        (0..EACH).for_each(|_| theirs.kernel.comes());
    });
    let changing = changes(&world, |world| &world.things[0]);
    waiters(&world, 2, 2 * EACH);
    begins.join().expect("no panic");
    changing.join().expect("no panic");
}

/// One waiter is dropped at any time, woken or not, and the other one finds all that it leaves.
pub fn a_dropped_waiter_hands_on() {
    let world = World::new();
    world.leadership.need(&world.list);
    let theirs = Arc::clone(&world);
    let leaves = thread::spawn(move || theirs.wait(true));
    let changing = [changes(&world, |world| &world.things[0]), changes(&world, |world| &world.kernel)];
    let theirs = Arc::clone(&world);
    let stays = thread::spawn(move || {
        while theirs.found.load(SeqCst) < 2 * EACH {
            let found = theirs.wait(false);
            if theirs.found.fetch_add(found, SeqCst) + found == 2 * EACH || theirs.list.is_closed() {
                return;
            }
        }
    });
    let found = leaves.join().expect("no panic");
    if world.found.fetch_add(found, SeqCst) + found == 2 * EACH {
        world.list.close();
    }
    stays.join().expect("no panic");
    changing.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// One looks and takes nothing, which removes from the list what is not ready; what becomes ready
/// wakes it, and a waiter too.
pub fn a_look_takes_no_wake_up() {
    let world = World::new();
    let changing = changes(&world, |world| &world.things[0]);
    let theirs = Arc::clone(&world);
    let looks = thread::spawn(move || {
        block_on(std::future::poll_fn(|context| {
            theirs.list.watchers().add(context.waker());
            let mut first = theirs.list.first(2);
            let is_ready = |node: &Arc<Node<usize>>| {
                let target = node.target().expect("it is open");
                node.note_changes(node.arm(target.as_ref()));
                !target.look().is_empty()
            };
            let ready = first.iter().position(|(node, _)| is_ready(node));
            first.truncate(ready.unwrap_or(usize::MAX));
            theirs.list.unlist(&first);
            // It waits for something, or for all to be taken.
            if ready.is_some() || theirs.list.is_closed() { Poll::Ready(()) } else { Poll::Pending }
        }));
    });
    waiters(&world, 1, EACH);
    looks.join().expect("no panic");
    changing.join().expect("no panic");
}
