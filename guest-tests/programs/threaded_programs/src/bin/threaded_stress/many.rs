//! Several threads wait in one epoll. Others send through many channels, close them and
//! open new ones, and switch entries off and on, while the waits go on.

use crate::channel::{self, LAST, Reader, message};
use crate::{IS_OVER, note_move, watch_over};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use threaded::sync::{Door, Mutex};
use threaded::{ADD, DEL, Dice, ET, EpollEvent, FOR_EVER, Fd, IN, MOD, ONESHOT, RDHUP};

const WAITERS: u32 = 4;
const WRITERS: u32 = 3;
/// How many channels a writer has at once.
const OPEN: u32 = 8;
const SLOTS: usize = (WRITERS * OPEN) as usize;
/// How many a writer opens in all.
const CHANNELS: u32 = 60;
const MOST_MESSAGES: u32 = 80;

/// What stands for the event descriptor that ends it.
const WAKER: u64 = u64::MAX;

/// The reading end of each open channel. A thread that reads it, or modifies its entry, holds the
/// lock of the slot.
static SLOTS_OF_ALL: [Mutex<Option<Reader>>; SLOTS] = [const { Mutex::new(None) }; SLOTS];
static SENT: AtomicU32 = AtomicU32::new(0);
static ARRIVED: AtomicU32 = AtomicU32::new(0);
static ENDED: AtomicU32 = AtomicU32::new(0);
static DONE: Door = Door::new();

/// Every other slot is edge-triggered, all are one-shot.
fn wanted(slot: usize) -> u32 {
    IN | RDHUP | ONESHOT | if slot % 2 == 0 { ET } else { 0 }
}

pub fn run(seed: u64) {
    let listener = threaded::listen(([127, 0, 0, 1], 0).into(), 64).expect("a listener");
    let port = threaded::port(listener).expect("its port");
    let epoll = threaded::epoll().expect("an epoll");
    let waker = threaded::event(0, false).expect("an event descriptor");
    threaded::epoll_ctl(epoll, ADD, waker, &EpollEvent::new(IN, WAKER)).expect("to watch it");
    watch_over(|| {
        let open = SLOTS_OF_ALL.iter().filter(|slot| slot.lock().is_some()).count();
        alloc::format!("{SENT:?} sent, {ARRIVED:?} arrived, {ENDED:?} ended, {open} open")
    });
    let meddler = threaded::spawn(move || meddle(epoll, seed)).expect("a thread");
    let threads: Vec<_> = (0..WAITERS + WRITERS)
        .map(|number| {
            threaded::spawn(move || match number.checked_sub(WAITERS) {
                None => wait(epoll, number + 1),
                Some(number) => send(epoll, number, listener, port, seed),
            })
            .expect("a thread")
        })
        .collect();
    DONE.pass();
    // Level-triggered: it is reported to each of them.
    threaded::add(waker, 1).expect("to ring");
    threads.into_iter().for_each(threaded::Thread::join);
    IS_OVER.store(true, SeqCst);
    meddler.join();
    let (sent, arrived) = (SENT.load(SeqCst), ARRIVED.load(SeqCst));
    assert!(sent == arrived, "{sent} messages were sent, {arrived} arrived");
    threaded::say(&alloc::format!("all of {sent} messages arrived\n"));
}

fn wait(epoll: Fd, mark: u32) {
    threaded::set_mark(mark);
    let mut found = [EpollEvent::NONE; 4];
    loop {
        let count = threaded::epoll_wait(epoll, &mut found, FOR_EVER).expect("events");
        for event in &found[..count] {
            if event.data == WAKER {
                assert!(threaded::mark() == mark, "another thread's variables");
                return;
            }
            look(epoll, event.data as usize);
        }
    }
}

fn look(epoll: Fd, slot: usize) {
    let mut place = SLOTS_OF_ALL[slot].lock();
    // Switched on by the meddler, it may be reported twice: the first one has ended it.
    let Some(reader) = place.as_mut() else { return };
    let found = reader.drain();
    note_move();
    let fd = reader.fd;
    ARRIVED.fetch_add(found.count, SeqCst);
    if !found.is_over {
        let event = EpollEvent::new(wanted(slot), slot as u64);
        threaded::epoll_ctl(epoll, MOD, fd, &event).expect("to watch it on");
        return;
    }
    // Some are taken out before they are closed, others go by themselves.
    if slot % 3 == 0 {
        threaded::epoll_ctl(epoll, DEL, fd, &EpollEvent::NONE).expect("to watch it no more");
    }
    *place = None;
    threaded::close(fd).expect("close");
    drop(place);
    if ENDED.fetch_add(1, SeqCst) + 1 == WRITERS * CHANNELS {
        DONE.open();
    }
}

/// Sends through some channels in turn; opens another one when one is done.
fn send(epoll: Fd, writer: u32, listener: Fd, port: u16, seed: u64) {
    struct Sender {
        fd: Fd,
        name: u32,
        next: u32,
        length: u32,
    }
    let mut dice = Dice::new(seed << 8 | u64::from(writer));
    let (mut opened, mut closed) = (0, 0);
    let mut senders: [Option<Sender>; OPEN as usize] = [const { None }; OPEN as usize];
    while closed < CHANNELS {
        let place = dice.below(OPEN);
        let slot = (writer * OPEN + place) as usize;
        let sender = &mut senders[place as usize];
        match sender {
            Some(Sender { fd, name, next, length }) => {
                let is_last = next == length;
                let number = *next | if is_last { LAST } else { 0 };
                threaded::write_all(*fd, &message(*name, number)).expect("to send");
                SENT.fetch_add(1, SeqCst);
                *next += 1;
                if is_last {
                    threaded::close(*fd).expect("close");
                    *sender = None;
                    closed += 1;
                }
            }
            // The reader of the last one may not have come to its end yet.
            None if opened < CHANNELS && SLOTS_OF_ALL[slot].lock().is_none() => {
                let name = writer << 16 | opened;
                let (reader, fd) = channel::open(dice.below(3), listener, port).expect("a channel");
                threaded::set_nonblocking(reader).expect("a reader that does not wait");
                let mut place = SLOTS_OF_ALL[slot].lock();
                *place = Some(Reader::new(reader, name));
                let event = EpollEvent::new(wanted(slot), slot as u64);
                threaded::epoll_ctl(epoll, ADD, reader, &event).expect("to watch it");
                *sender = Some(Sender { fd, name, next: 0, length: dice.below(MOST_MESSAGES) });
                opened += 1;
            }
            None => threaded::sleep(10_000),
        }
        if dice.below(50) == 0 {
            // So that the waiters come to sleep.
            threaded::sleep(u64::from(dice.below(200_000)));
        }
    }
}

/// Switches entries off and on, and watches what goes away again.
fn meddle(epoll: Fd, seed: u64) {
    let mut dice = Dice::new(seed ^ 0xdead);
    while !IS_OVER.load(SeqCst) {
        let slot = dice.below(SLOTS as u32) as usize;
        if let Some(reader) = SLOTS_OF_ALL[slot].lock().as_ref() {
            let (fd, data) = (reader.fd, slot as u64);
            threaded::epoll_ctl(epoll, MOD, fd, &EpollEvent::new(ONESHOT, data)).expect("to switch it off");
            let copy = threaded::dup(fd).expect("another descriptor");
            threaded::epoll_ctl(epoll, ADD, copy, &EpollEvent::new(0, data)).expect("to watch it");
            threaded::epoll_ctl(epoll, DEL, copy, &EpollEvent::NONE).expect("to watch it no more");
            threaded::close(copy).expect("close");
            threaded::epoll_ctl(epoll, MOD, fd, &EpollEvent::new(wanted(slot), data))
                .expect("to switch it on");
        }
        threaded::sleep(u64::from(dice.below(100_000)));
    }
}
