//! The correctness model, tried: by a seeded scheduler on one thread, which lets things
//! happen in the middle of a take, and by many threads.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers are small")]

#[path = "tests/kernel.rs"]
mod kernel;
#[path = "tests/parks.rs"]
mod parks;
#[path = "tests/waiters.rs"]
mod waiters;

use std::io::IoSlice;
use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use super::*;
use crate::io::{Watchers, block_on};
use crate::ready::{EventFd, pipe};

const THINGS: u32 = 4;
const STEPS: u32 = 400;
const SEEDS: u64 = 2_000;
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Level,
    Edge,
    OneShot,
    EdgeOneShot,
}

fn request(mode: Mode) -> Request {
    let edge = matches!(mode, Mode::Edge | Mode::EdgeOneShot);
    let one_shot = matches!(mode, Mode::OneShot | Mode::EdgeOneShot);
    Request { events: Events::IN, edge, one_shot, data: Data::default() }
}

fn taken(epoll: &Epoll, most: usize) -> Vec<Happened> {
    let mut found = Vec::new();
    epoll.take(most, &mut found);
    found
}

/// What is watched, and what ought to be reported of it.
struct Thing {
    world: Weak<World>,
    watchers: Watchers,
    is_ready: AtomicBool,
    /// How often it became ready, and how often a poll saw that it had.
    edges: AtomicU32,
    seen: AtomicU32,
}

struct World {
    epoll: Arc<Epoll>,
    random: AtomicU64,
    things: Mutex<Vec<Arc<Thing>>>,
    /// What the epoll is asked to do, by the number of the thing; `None`: nothing.
    asked: Mutex<Vec<Option<ExpectedInterest>>>,
    /// How deep in calls into calls it is.
    depth: AtomicU32,
    /// Is this poll one that takes nothing, of `poll` or of another epoll?
    is_mere_look: AtomicBool,
    /// What happened, to find the cause of a failure.
    log: Mutex<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
struct ExpectedInterest {
    mode: Mode,
    is_on: bool,
    /// Edges up to this one were reported.
    told: u32,
    /// Added or modified and not looked at since: counts as an edge.
    is_new: bool,
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        let world = Arc::new(Self {
            epoll: Epoll::new(),
            random: AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            things: Mutex::default(),
            asked: Mutex::new(vec![None; THINGS as usize]),
            depth: AtomicU32::new(0),
            is_mere_look: AtomicBool::new(false),
            log: Mutex::default(),
        });
        let thing = |_| {
            Arc::new(Thing {
                world: Arc::downgrade(&world),
                watchers: Watchers::default(),
                is_ready: AtomicBool::new(false),
                edges: AtomicU32::new(0),
                seen: AtomicU32::new(0),
            })
        };
        *unpoisoned(&world.things) = (0..THINGS).map(thing).collect();
        world
    }

    fn any(&self, below: u32) -> u32 {
        let next = self
            .random
            .load(SeqCst)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random.store(next, SeqCst);
        u32::try_from(next >> 40).unwrap_or(0) % below
    }

    fn thing(&self, at: u32) -> Arc<Thing> {
        Arc::clone(&unpoisoned(&self.things)[at as usize])
    }

    fn note(&self, what: String) {
        unpoisoned(&self.log).push(what);
    }

    /// One thing happens, or a guest's thread makes one call.
    fn step(&self) {
        let at = self.any(THINGS);
        let thing = self.thing(at);
        let target: Arc<dyn Pollable> = Arc::<Thing>::clone(&thing);
        let known = unpoisoned(&self.asked)[at as usize];
        let mode = [Mode::Level, Mode::Edge, Mode::OneShot, Mode::EdgeOneShot][self.any(4) as usize];
        let fresh = ExpectedInterest { mode, is_on: true, told: 0, is_new: true };
        match self.any(12) {
            0..4 => {
                self.note(format!("{at} becomes ready"));
                thing.is_ready.store(true, SeqCst);
                thing.edges.fetch_add(1, SeqCst);
                thing.watchers.wake_all();
            }
            4 | 5 => {
                self.note(format!("{at} is read"));
                thing.is_ready.store(false, SeqCst);
            }
            6 if known.is_some() => {
                self.note(format!("{at} is modified: {mode:?}"));
                unpoisoned(&self.asked)[at as usize] = Some(fresh);
                self.epoll.modify(at, &target, request(mode)).unwrap();
            }
            6 => {
                self.note(format!("{at} is added: {mode:?}"));
                unpoisoned(&self.asked)[at as usize] = Some(fresh);
                self.epoll.add(at, &target, request(mode)).unwrap();
            }
            7 if known.is_some() => {
                self.note(format!("{at} is removed"));
                unpoisoned(&self.asked)[at as usize] = None;
                self.epoll.remove(at, &target).unwrap();
            }
            8 | 9 if self.depth.load(SeqCst) < 3 => {
                self.note("somebody looks".to_owned());
                self.check_events();
            }
            _ if self.depth.load(SeqCst) < 3 => {
                let most = 1 + self.any(3) as usize;
                self.take(most);
            }
            _ => {}
        }
    }

    /// Something happens at this very moment, on another thread.
    fn meanwhile(&self) {
        if self.depth.load(SeqCst) < 3 && self.any(3) == 0 {
            self.depth.fetch_add(1, SeqCst);
            self.step();
            self.depth.fetch_sub(1, SeqCst);
        }
    }

    fn take(&self, most: usize) {
        let before = self.is_mere_look.swap(false, SeqCst);
        let taken = taken(&self.epoll, most);
        self.is_mere_look.store(before, SeqCst);
        for happened in taken {
            self.told(happened.fd);
        }
    }

    /// As a poll does that has no time.
    fn check_events(&self) {
        let before = self.is_mere_look.swap(true, SeqCst);
        _ = self.epoll.look();
        self.is_mere_look.store(before, SeqCst);
    }

    /// As a poll does that waits.
    fn poll_look(&self, waker: &Waker) -> bool {
        let before = self.is_mere_look.swap(true, SeqCst);
        let mut context = Context::from_waker(waker);
        let found = self.epoll.poll(Events::READ, &mut context);
        self.is_mere_look.store(before, SeqCst);
        !found.is_empty()
    }

    fn told(&self, fd: u32) {
        self.note(format!("told of {fd}"));
        let seen = self.thing(fd).seen.load(SeqCst);
        if let Some(asked) = &mut unpoisoned(&self.asked)[fd as usize] {
            asked.told = seen;
            asked.is_new = false;
            asked.is_on = matches!(asked.mode, Mode::Level | Mode::Edge);
        }
    }

    /// Is there something that a wait has to return?
    fn ought_to_tell(&self) -> bool {
        let asked = unpoisoned(&self.asked).clone();
        asked.iter().enumerate().any(|(at, asked)| {
            let Some(asked) = asked else { return false };
            let thing = self.thing(at as u32);
            let is_edge = matches!(asked.mode, Mode::Edge | Mode::EdgeOneShot);
            let is_fresh = asked.is_new || thing.edges.load(SeqCst) > asked.told;
            asked.is_on && thing.is_ready.load(SeqCst) && (!is_edge || is_fresh)
        })
    }
}

impl Pollable for Thing {
    fn register(&self, _: Events, context: &mut Context<'_>) -> bool {
        let world = self.world.upgrade().unwrap();
        world.meanwhile();
        self.watchers.add(context.waker());
        world.meanwhile();
        false
    }

    fn look(&self) -> Events {
        let world = self.world.upgrade().unwrap();
        world.meanwhile();
        let (found, edges) = (self.is_ready.load(SeqCst), self.edges.load(SeqCst));
        if !world.is_mere_look.load(SeqCst) {
            self.seen.fetch_max(edges, SeqCst);
        }
        world.meanwhile();
        Events::IN.when(found)
    }
}

#[derive(Default)]
struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// No wake-up is lost: whenever there is something to return, a waiter was woken,
/// and finds it.
#[test]
fn a_seeded_scheduler_finds_no_lost_wake_up() {
    for seed in 0..SEEDS {
        let world = World::new(seed);
        for step in 0..STEPS {
            let flag = Arc::new(WakeFlag::default());
            let waker = Waker::from(Arc::clone(&flag));
            let mut wait = pin!(world.epoll.wait(2, None, false));
            let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(found) = polled {
                found.unwrap().iter().for_each(|happened| world.told(happened.fd));
            } else {
                world.step();
                let is_lost = world.ought_to_tell() && !flag.0.load(SeqCst);
                assert!(!is_lost, "seed {seed}, step {step}: {:#?}", last(&world));
            }
        }
        // Now nothing happens any more, and everything is reported, edges once.
        world.depth.store(9, SeqCst);
        for _ in 0..10 * THINGS {
            world.take(1);
        }
        let asked = unpoisoned(&world.asked).clone();
        let levels = asked.iter().enumerate().filter(|(at, asked)| {
            asked.is_some_and(|it| it.mode == Mode::Level) && world.thing(*at as u32).is_ready.load(SeqCst)
        });
        assert_eq!(world.ought_to_tell(), levels.count() > 0, "seed {seed}: {:#?}", last(&world));
    }
}

/// The same for a poll of the epoll, which removes from the list what is not ready.
#[test]
fn a_seeded_scheduler_finds_no_lost_wake_up_of_a_poll() {
    for seed in 0..SEEDS {
        let world = World::new(seed);
        for step in 0..STEPS {
            let flag = Arc::new(WakeFlag::default());
            let waker = Waker::from(Arc::clone(&flag));
            if world.poll_look(&waker) {
                world.take(2);
                continue;
            }
            world.step();
            let is_lost = world.ought_to_tell() && !flag.0.load(SeqCst);
            assert!(!is_lost, "seed {seed}, step {step}: {:#?}", last(&world));
        }
    }
}

/// As on Linux, what is not ready leaves the list when it is looked at.
#[test]
fn a_poll_unlists_what_is_not_ready() {
    let world = World::new(1);
    world.depth.store(9, SeqCst);
    for at in 0..THINGS {
        let target: Arc<dyn Pollable> = world.thing(at);
        world.epoll.add(at, &target, request(Mode::Level)).unwrap();
    }
    assert_eq!(world.epoll.list.len(), THINGS as usize);
    assert!(world.epoll.look().is_empty());
    assert_eq!(world.epoll.list.len(), 0);
    world.thing(2).is_ready.store(true, SeqCst);
    world.thing(2).watchers.wake_all();
    assert_eq!(world.epoll.list.len(), 1);
    assert_eq!(world.epoll.look(), Events::IN);
    assert_eq!(world.epoll.list.len(), 1);
    assert_eq!(taken(&world.epoll, 9).len(), 1);
}

/// However many entries are listed and not ready, a wait leaves its thread to others in
/// between, and finds the one that is.
#[test]
fn a_wait_goes_through_many_entries_in_turns() {
    const MANY: u32 = 10_000;
    let epoll = Epoll::new();
    let events: Vec<Arc<dyn Pollable>> = (0..MANY)
        .map(|number| -> Arc<dyn Pollable> {
            Arc::new(EventFd::new(u64::from(number == MANY - 1), false).unwrap())
        })
        .collect();
    for (number, event) in (0..).zip(&events) {
        epoll.add(number, event, request(Mode::Level)).unwrap();
    }
    let flag = Arc::new(WakeFlag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let mut wait = pin!(epoll.wait(8, None, true));
    let mut turns = 0;
    let found = loop {
        match wait.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(found) => break found.unwrap(),
            Poll::Pending => assert!(flag.0.swap(false, SeqCst), "nobody wakes it"),
        }
        turns += 1;
    };
    assert_eq!(found.iter().map(|happened| happened.fd).collect::<Vec<_>>(), [MANY - 1]);
    assert!(turns >= 9, "{turns} turns");
    // All others have left the list.
    assert_eq!(epoll.list.len(), 1);
}

fn last(world: &World) -> Vec<String> {
    let log = unpoisoned(&world.log);
    log.iter().rev().take(30).rev().cloned().collect()
}

/// Runs `test` on its own thread, and fails where it does not end.
fn bounded(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let runner = thread::spawn(move || {
        test();
        let _listening = done.send(());
    });
    assert!(ended.recv_timeout(WAIT_TIMEOUT).is_ok(), "a wake-up is lost, or it panicked");
    runner.join().unwrap();
}

/// Threads wait on one epoll; others write, and one adds, removes and modifies what is
/// watched. Every byte arrives.
fn every_byte_arrives(mode: Mode) {
    const PIPES: usize = 6;
    const BYTES: usize = 30_000;
    let epoll = Epoll::new();
    let stop = Arc::new(EventFd::new(0, false).unwrap());
    let received = Arc::new(AtomicUsize::new(0));
    let (readers, writers): (Vec<_>, Vec<_>) = (0..PIPES).map(|_| pipe()).unzip();
    let readers: Vec<_> = readers.into_iter().map(Arc::new).collect();
    let target = |at: usize| -> Arc<dyn Pollable> { Arc::clone(&readers[at]) as Arc<dyn Pollable> };
    for at in 0..PIPES {
        epoll.add(at as u32, &target(at), request(mode)).unwrap();
    }
    let stop_target: Arc<dyn Pollable> = Arc::clone(&stop) as Arc<dyn Pollable>;
    epoll.add(99, &stop_target, request(Mode::Level)).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| consume(&epoll, mode, &readers, &received, &stop, PIPES * BYTES));
        }
        for (seed, writer) in writers.into_iter().enumerate() {
            scope.spawn(move || {
                let mut left = BYTES;
                let mut size = seed;
                while left > 0 {
                    size = (size * 31 + 17) % 97;
                    let block = vec![1; (size + 1).min(left)];
                    let written = block_on(writer.write(true, &mut [IoSlice::new(&block)]));
                    left -= written.unwrap().unwrap();
                }
            });
        }
        scope.spawn(|| {
            while received.load(SeqCst) < PIPES * BYTES {
                // It is never lost for long: added again, it counts as new.
                epoll.remove(0, &target(0)).unwrap();
                epoll.add(0, &target(0), request(mode)).unwrap();
                epoll.modify(1, &target(1), request(mode)).unwrap();
                thread::yield_now();
            }
        });
    });
}

fn consume(
    epoll: &Epoll,
    mode: Mode,
    readers: &[Arc<crate::ready::PipeReader>],
    received: &AtomicUsize,
    stop: &EventFd,
    total: usize,
) {
    let mut buffer = [0; 256];
    loop {
        for happened in block_on(epoll.wait(3, None, false)).unwrap().unwrap() {
            let Some(reader) = readers.get(happened.fd as usize) else { return };
            while let Ok(count @ 1..) = block_on(reader.read(false, &mut buffer)).unwrap() {
                if received.fetch_add(count, SeqCst) + count == total {
                    block_on(stop.add(true, 1)).unwrap().unwrap();
                }
                if mode == Mode::Level {
                    break;
                }
            }
            if request(mode).one_shot {
                let target: Arc<dyn Pollable> = Arc::clone(reader) as Arc<dyn Pollable>;
                // The one that removes and adds may be between the two.
                let _gone = epoll.modify(happened.fd, &target, request(mode));
            }
        }
    }
}

#[test]
fn every_byte_arrives_by_levels() {
    bounded(|| every_byte_arrives(Mode::Level));
}

#[test]
fn every_byte_arrives_by_edges() {
    bounded(|| every_byte_arrives(Mode::Edge));
}

#[test]
fn every_byte_arrives_by_single_shots() {
    bounded(|| every_byte_arrives(Mode::OneShot));
    bounded(|| every_byte_arrives(Mode::EdgeOneShot));
}

/// A one-shot is reported to one of the waiters.
#[test]
fn a_one_shot_is_reported_once() {
    bounded(|| {
        let epoll = Epoll::new();
        let told = AtomicUsize::new(0);
        for round in 0..500 {
            let event = Arc::new(EventFd::new(0, false).unwrap());
            let target: Arc<dyn Pollable> = Arc::clone(&event) as Arc<dyn Pollable>;
            epoll.add(round, &target, request(Mode::OneShot)).unwrap();
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let found = block_on(epoll.wait(8, Some(Duration::from_millis(2)), false));
                        told.fetch_add(found.unwrap().unwrap().len(), SeqCst);
                    });
                }
                block_on(event.add(true, 1)).unwrap().unwrap();
            });
            told.fetch_add(taken(&epoll, 8).len(), SeqCst);
            assert_eq!(told.load(SeqCst), round as usize + 1);
        }
    });
}

/// "EBADF": docs/listen.md, rule 13, for an epoll as for a listener.
#[test]
fn closing_an_epoll_ends_a_wait() {
    bounded(|| {
        let epoll = Epoll::new();
        thread::scope(|scope| {
            let waits = scope.spawn(|| block_on(epoll.wait(1, None, false)).unwrap());
            epoll.close();
            assert_eq!(waits.join().unwrap(), Err(Errno::EBADF));
        });
    });
}

#[test]
fn what_is_closed_is_forgotten() {
    let epoll = Epoll::new();
    for fd in 0..10_000 {
        let event: Arc<dyn Pollable> = Arc::new(EventFd::new(1, false).unwrap());
        epoll.add(fd, &event, request(Mode::Level)).unwrap();
        assert_eq!(epoll.add(fd, &event, request(Mode::Level)), Err(Errno::EEXIST));
    }
    assert!(unpoisoned(&epoll.entries).count() <= 2 * FIRST_SWEEP);
    assert!(epoll.list.len() <= 2 * FIRST_SWEEP);
    assert_eq!(taken(&epoll, usize::MAX), []);
    assert_eq!(unpoisoned(&epoll.entries).count(), 0);
}
