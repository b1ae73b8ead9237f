//! Which signals may be sent, when a handler runs, and what waits for it.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};
use wasix::errno::*;
use wasix::poll::{MONOTONIC, now};
use wasix::signal::*;
use wasix::{check, check_eq, check_ok, outcome, raw};

/// What the handlers saw: `signal` at the start, `-signal` at the end. No lock: a handler
/// may run in the midst of anything.
static SEEN: [AtomicI32; 256] = [const { AtomicI32::new(0) }; 256];
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn note(number: i32) {
    SEEN[COUNT.fetch_add(1, SeqCst) % SEEN.len()].store(number, SeqCst);
}

fn seen() -> Vec<i32> {
    let count = COUNT.swap(0, SeqCst);
    SEEN.iter().take(count).map(|number| number.load(SeqCst)).collect()
}

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(signal: i32) {
    note(signal);
    if signal == USR1 as i32 {
        // This one waits for the end of the handler; others do not.
        check_ok!(raise(USR1));
        check_ok!(raise(USR2));
    }
    note(-signal);
    if signal == USR1 as i32 {
        callback("another_handler");
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn another_handler(signal: i32) {
    note(1000 + signal);
    handle();
}

fn main() {
    // SIGPIPE is ignored from the start.
    check_eq!(dispositions(), Ok(vec![[13, 1]]));
    numbers();
    targets();
    // Handled before the call returns.
    handle();
    check_ok!(raise(TERM));
    check_eq!(seen(), [15, -15]);
    nested();
    blocked();
    intervals();
    never_caught();
}

fn numbers() {
    for unknown in [32, 33, 64, 255, 256, 256 + 15, u32::MAX] {
        check_eq!(raise(unknown), Err(EINVAL), "{unknown}");
        check_eq!(to_thread(1, unknown), Err(EINVAL), "{unknown}");
        check_eq!(to_process(1, unknown), Err(EINVAL), "{unknown}");
        check_eq!(interval(unknown, 1, false), Err(EINVAL), "{unknown}");
    }
    check_eq!(interval(0, 1, false), Err(EINVAL));
    check_eq!(outcome(unsafe { raw::wasix::proc_raise_interval(ALRM, 1, 2) }), Err(EINVAL));
    // Asks, and sends nothing.
    check_eq!(raise(0), Ok(()));
    check_eq!(to_thread(1, 0), Ok(()));
    check_eq!(to_process(1, 0), Ok(()));
    // Each of today's numbers arrives as it was sent.
    handle();
    for signal in (1..=SYS).filter(|signal| ![KILL, 10, 19].contains(signal)) {
        check_ok!(raise(signal));
        check_eq!(seen(), [signal as i32, -(signal as i32)]);
    }
}

fn targets() {
    check_eq!(to_process(4711, 0), Err(ESRCH));
    check_eq!(to_process(4711, TERM), Err(ESRCH));
    check_eq!(to_thread(4711, TERM), Ok(()));
    check_eq!(seen().len(), 0);
    for pid in [0, 1, u32::MAX] {
        check_ok!(to_process(pid, TERM));
        check_eq!(seen(), [15, -15], "{pid}");
    }
    for tid in [1, WHOLE_PROCESS] {
        check_ok!(to_thread(tid, TERM));
        check_eq!(seen(), [15, -15], "{tid}");
    }
}

fn nested() {
    check_ok!(raise(USR1));
    check_eq!(seen(), [10, 12, -12, -10, 1010], "the last one by the other handler");
    check_ok!(raise(TERM));
    check_eq!(seen(), [15, -15]);
}

fn blocked() {
    block();
    for _ in 0..3 {
        check_ok!(raise(TERM));
        check_ok!(to_process(1, HUP));
    }
    check_ok!(raise(CHLD));
    check_eq!(seen().len(), 0);
    handle();
    // Its own, then the process's.
    check_eq!(seen(), [15, -15, 17, -17, 1, -1], "once each");
    // No text, no name, a name that is too long: nothing of that is an export.
    for unknown in ["", "no such export", "memory", &"x".repeat(100_000)] {
        callback(unknown);
        check_ok!(raise(TERM));
        check_eq!(seen().len(), 0);
        handle();
        check_eq!(seen(), [15, -15]);
    }
}

/// Waits until so many were seen, each start and end.
fn wait_for(count: usize) {
    let begun = check_ok!(now(MONOTONIC));
    while COUNT.load(SeqCst) < 2 * count {
        check!(check_ok!(now(MONOTONIC)) - begun < 15_000_000_000, "signals by the clock");
        let _ = outcome(unsafe { raw::wasix::thread_sleep(1_000_000_000) });
    }
}

fn intervals() {
    let begun = check_ok!(now(MONOTONIC));
    // Nanoseconds.
    check_ok!(interval(ALRM, 20_000_000, false));
    wait_for(1);
    let took = check_ok!(now(MONOTONIC)) - begun;
    check!((20_000_000..10_000_000_000).contains(&took), "after {took} ns");
    check_eq!(seen(), [14, -14]);
    // Again and again, until it is cancelled; the shortest interval does no harm.
    for nanoseconds in [5_000_000, 1] {
        check_ok!(interval(ALRM, nanoseconds, true));
        wait_for(5);
        check_ok!(interval(ALRM, 0, false));
        // One may be on its way.
        let _ = outcome(unsafe { raw::wasix::thread_sleep(5_000_000) });
        seen();
        check_eq!(outcome(unsafe { raw::wasix::thread_sleep(30_000_000) }), Ok(()));
        check_eq!(seen().len(), 0);
    }
    // A second one takes the place of the first, and each signal has its own.
    check_ok!(interval(ALRM, u64::MAX, true));
    check_ok!(interval(USR2, 15_000_000_000, true));
    check_ok!(interval(ALRM, 1_000_000, false));
    wait_for(1);
    check_eq!(seen(), [14, -14]);
}

fn never_caught() {
    // There is nothing that could be stopped.
    check_ok!(raise(19));
    check_eq!(seen().len(), 0);
    println!("the end");
    let _ = raise(KILL);
    println!("not reached");
}
