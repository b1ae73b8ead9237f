//! Each of several threads polls hundreds of descriptors that others write to.

use crate::channel::{self, LAST, Reader, message};
use crate::{IS_OVER, note_move, watch_over};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use threaded::sync::Queue;
use threaded::{Dice, Fd, PollEvent, READING, Subscription, WAIT_TIMEOUT};

const POLLERS: u32 = 3;
/// For each of them.
const CHANNELS: u32 = 256;
const MESSAGES: u32 = 8;
const TOTAL: u32 = POLLERS * CHANNELS * MESSAGES;

static SENT: AtomicU32 = AtomicU32::new(0);
static ARRIVED: AtomicU32 = AtomicU32::new(0);

pub fn run(seed: u64) {
    watch_over(|| alloc::format!("{SENT:?} of {TOTAL} sent, {ARRIVED:?} arrived"));
    let writers: Arc<Queue<Vec<Fd>>> = Arc::default();
    threaded::together(POLLERS * 2, move |number| match number.checked_sub(POLLERS) {
        None => {
            let ends = (0..CHANNELS).map(|kind| channel::open(kind % 2, 0, 0).expect("a channel"));
            let (readers, mine): (Vec<_>, Vec<_>) = ends.unzip();
            writers.put(mine);
            poll(readers);
        }
        Some(number) => send(writers.take(), Dice::new(seed << 8 | u64::from(number))),
    });
    IS_OVER.store(true, SeqCst);
    let arrived = ARRIVED.load(SeqCst);
    assert!(arrived == TOTAL, "{arrived} of {TOTAL} messages arrived");
    threaded::say(&alloc::format!("all of {TOTAL} messages arrived\n"));
}

fn poll(fds: Vec<Fd>) {
    let reader = |(name, fd): (usize, &Fd)| {
        threaded::set_nonblocking(*fd).expect("a reader that does not wait");
        Some(Reader::new(*fd, name as u32))
    };
    let mut readers: Vec<Option<Reader>> = fds.iter().enumerate().map(reader).collect();
    loop {
        let alive = readers.iter().enumerate();
        let mut asked: Vec<_> = alive
            .filter_map(|(name, reader)| Some(Subscription::read(reader.as_ref()?.fd, name as u64)))
            .collect();
        if asked.is_empty() {
            return;
        }
        asked.push(Subscription::clock(WAIT_TIMEOUT, u64::MAX));
        let mut found = alloc::vec![PollEvent::default(); asked.len()];
        let count = threaded::poll(&asked, &mut found).expect("events");
        for event in found[..count].iter().filter(|event| event.kind == READING) {
            assert!(event.error == 0, "{event:?}");
            let place = &mut readers[event.userdata as usize];
            let Some(reader) = place else { continue };
            let found = reader.drain();
            note_move();
            ARRIVED.fetch_add(found.count, SeqCst);
            if found.is_over {
                threaded::close(reader.fd).expect("close");
                *place = None;
            }
        }
    }
}

fn send(mut fds: Vec<Fd>, mut dice: Dice) {
    let mut places: Vec<(usize, u32)> = (0..fds.len()).map(|name| (name, 0)).collect();
    while !fds.is_empty() {
        let chosen = dice.below(fds.len() as u32) as usize;
        let (name, place) = &mut places[chosen];
        let is_last = *place + 1 == MESSAGES;
        let bytes = message(*name as u32, *place | if is_last { LAST } else { 0 });
        threaded::write_all(fds[chosen], &bytes).expect("to send");
        SENT.fetch_add(1, SeqCst);
        *place += 1;
        if is_last {
            threaded::close(fds.swap_remove(chosen)).expect("close");
            places.swap_remove(chosen);
        }
        if dice.below(20) == 0 {
            threaded::sleep(u64::from(dice.below(100_000)));
        }
    }
}
