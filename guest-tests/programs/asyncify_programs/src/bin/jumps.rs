//! `jumps CASE`: jumps to a place further up the stack, by what the module does with its own stack.

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use asyncify_programs::{Place, jump, set, try_set};
use wasix::errno::ENOMEM;
use wasix::signal::{ALRM, USR1, handle, interval, raise};
use wasix::{check, check_eq, check_ok};

/// Where a handler jumps to, and what it does.
static mut PLACE: Place = Place::NONE;
static HANDLER: AtomicU32 = AtomicU32::new(0);
static SEEN: AtomicU32 = AtomicU32::new(0);

const RETURNS: u32 = 0;
const JUMPS: u32 = 1;
const PREPARES: u32 = 2;
const JUMPS_IN_ITSELF: u32 = 3;

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(_signal: i32) {
    SEEN.fetch_add(1, SeqCst);
    match HANDLER.load(SeqCst) {
        JUMPS => jump(unsafe { &*(&raw const PLACE) }, SEEN.load(SeqCst).into()),
        PREPARES => check_eq!(set(&raw mut PLACE), 0),
        JUMPS_IN_ITSELF => {
            let mut own = Place::NONE;
            let value = set(&raw mut own);
            if value < 3 {
                jump(&own, value + 1);
            }
        }
        _ => {}
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("values") => values(),
        Some("deep") => deep(),
        Some("places") => places(),
        Some("loop") => loops(),
        Some("handler") => handler(),
        Some("interrupted") => interrupted(),
        Some("inside") => inside(),
        Some("forged") => jump(&Place { user: 0, hash: [7, 1] }, 1),
        Some("returned") => returned(),
        Some("handler-returned") => handler_returned(),
        Some("too-deep") => too_deep(),
        Some("many") => many(),
        other => panic!("{other:?}: no such case"),
    }
    println!("holds");
}

/// What a jump brings is what is returned; memory stays as it is.
fn values() {
    let times = Box::leak(Box::new(AtomicU64::new(0)));
    let mut place = Place::NONE;
    let value = set(&raw mut place);
    check_eq!(value, times.swap(value + 1, SeqCst));
    check!(place != Place::NONE, "a place with a name");
    if value < 5 {
        // The host knows it by its content.
        let copy = black_box(place);
        jump(&copy, value + 1);
    }
    check_eq!(times.load(SeqCst), 6);
    let value = set(&raw mut place);
    if value == 0 {
        jump(&place, u64::MAX);
    }
    check_eq!(value, u64::MAX);
}

#[inline(never)]
fn down(levels: u32, place: &Place, text: &str) -> usize {
    // What the way down holds in its frames.
    let own = black_box(format!("{text}{levels}"));
    if levels == 0 {
        jump(place, own.len() as u64);
    }
    down(levels - 1, place, &own) + own.len()
}

fn deep() {
    let rounds = Box::leak(Box::new(AtomicU32::new(0)));
    let mut place = Place::NONE;
    let before = black_box([1_u64, 2, 3]);
    let value = set(&raw mut place);
    check_eq!(before, [1, 2, 3]);
    match rounds.fetch_add(1, SeqCst) {
        0 => check_eq!(value, 0),
        _ => check_eq!(value, 92),
    }
    if rounds.load(SeqCst) < 100 {
        down(50, &place, "");
    }
}

/// Places of several depths, of which the outer ones last.
fn places() {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    #[inline(never)]
    fn inner(outer: &Place) {
        let mut own = Place::NONE;
        if set(&raw mut own) == 0 {
            jump(&own, 1);
        }
        COUNT.fetch_add(1, SeqCst);
        if COUNT.load(SeqCst) < 10 {
            jump(outer, 1);
        }
    }
    let mut outer = Place::NONE;
    set(&raw mut outer);
    inner(&outer);
    check_eq!(COUNT.load(SeqCst), 10);
}

/// A loop that prepares each round, and jumps in some.
fn loops() {
    let round = Box::leak(Box::new(AtomicU32::new(0)));
    let jumped = Box::leak(Box::new(AtomicU32::new(0)));
    let mut place = Place::NONE;
    while round.fetch_add(1, SeqCst) < 20_000 {
        if set(&raw mut place) != 0 {
            jumped.fetch_add(1, SeqCst);
        } else if round.load(SeqCst).is_multiple_of(10) {
            jump(&place, 1);
        }
    }
    check_eq!(jumped.load(SeqCst), 2_000);
}

/// Out of a handler, again and again: the signal is not taken for one that is being handled.
fn handler() {
    handle();
    HANDLER.store(JUMPS, SeqCst);
    let value = set(&raw mut PLACE);
    check_eq!(value, u64::from(SEEN.load(SeqCst)));
    if value < 3 {
        let _ = raise(USR1);
        panic!("the handler did not jump");
    }
    HANDLER.store(RETURNS, SeqCst);
    check_ok!(raise(USR1));
    check_eq!(SEEN.load(SeqCst), 4);
}

/// Out of a handler that interrupts code which makes no call.
fn interrupted() {
    handle();
    HANDLER.store(JUMPS, SeqCst);
    let value = set(&raw mut PLACE);
    if value < 3 {
        check_ok!(interval(ALRM, 1_000_000, false));
        let mut state = 1_u64;
        loop {
            state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
    HANDLER.store(RETURNS, SeqCst);
    // All else goes on as before.
    values();
    handler_jumps_once();
}

fn handler_jumps_once() {
    HANDLER.store(JUMPS, SeqCst);
    if set(&raw mut PLACE) == 0 {
        let _ = raise(USR1);
        panic!("the handler did not jump");
    }
}

/// A handler that jumps within itself.
fn inside() {
    handle();
    HANDLER.store(JUMPS_IN_ITSELF, SeqCst);
    let mut place = Place::NONE;
    let value = set(&raw mut place);
    check_ok!(raise(USR1));
    if value == 0 {
        jump(&place, 1);
    }
    check_eq!(SEEN.load(SeqCst), 2);
}

/// To a function that has returned.
fn returned() {
    #[inline(never)]
    fn prepares() {
        let mut room = [0_u8; 4096];
        black_box(&mut room);
        check_eq!(set(&raw mut PLACE), 0);
        black_box(&mut room);
    }
    prepares();
    jump(unsafe { &*(&raw const PLACE) }, 1);
}

/// To a handler that has returned.
fn handler_returned() {
    handle();
    HANDLER.store(PREPARES, SeqCst);
    check_ok!(raise(USR1));
    jump(unsafe { &*(&raw const PLACE) }, 1);
}

/// A recursion whose frames have no room.
fn too_deep() {
    // Not in each level's frame, for the stack in the memory would be full first.
    #[inline(never)]
    fn prepares(a: u64) -> u64 {
        let mut place = Place::NONE;
        check_eq!(set(&raw mut place), 0);
        a
    }
    /// All that it keeps is in its locals.
    #[inline(never)]
    fn recurses(levels: u64, a: u64, b: u64, c: u64) -> u64 {
        if levels == 0 {
            return prepares(a);
        }
        let below = recurses(levels - 1, b, c.wrapping_mul(levels), a ^ levels);
        below.wrapping_mul(a).wrapping_add(b.rotate_left(7)) ^ c
    }
    black_box(recurses(25_000, black_box(1), 2, 3));
}

/// A recursion that prepares on each of its levels, until the host takes no more.
fn many() {
    static REFUSED: Mutex<u32> = Mutex::new(0);
    #[inline(never)]
    fn recurses(levels: u32) {
        let mut room = [levels; 256];
        black_box(&mut room);
        let mut place = Place::NONE;
        match try_set(&raw mut place) {
            Ok(_) if levels > 0 => recurses(levels - 1),
            Ok(_) => {}
            Err(error) => {
                check_eq!(error, ENOMEM);
                *REFUSED.lock().unwrap() += 1;
            }
        }
        black_box(&mut room);
    }
    recurses(500);
    check_eq!(*REFUSED.lock().unwrap(), 1);
}
