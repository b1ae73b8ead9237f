//! `signal_handlers CASE`: what a handler may do. It runs before the call that sent the
//! signal returns, in the midst of a call that waits, or in the midst of a loop that
//! never calls the host.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use wasix::errno::*;
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::signal::*;
use wasix::socket::*;
use wasix::{Fd, check_eq, check_ok, descriptor, outcome, raw, wait};

static WHAT: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);
static FD: AtomicU32 = AtomicU32::new(0);

const EXIT: u32 = 1;
const TRAP: u32 = 2;
const WAIT: u32 = 3;
const INTERRUPTED: u32 = 4;
const WRITE: u32 = 5;
const ASK: u32 = 6;
const LOOP: u32 = 7;

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(signal: i32) {
    // Once: it may be sent again before the alarm is off.
    if signal == USR2 as i32 || DONE.load(SeqCst) > 0 {
        return;
    }
    match WHAT.load(SeqCst) {
        EXIT => std::process::exit(7),
        TRAP => the_handler_that_traps(),
        // Its own waits are interrupted by other signals.
        INTERRUPTED => {
            check_ok!(interval(USR2, 20_000_000, true));
            check_eq!(outcome(unsafe { raw::wasix::thread_sleep(u64::MAX) }), Err(EINTR));
            check_ok!(interval(USR2, 0, false));
        }
        WAIT => {
            check_eq!(outcome(unsafe { raw::wasix::thread_sleep(20_000_000) }), Ok(()));
            let fd = FD.load(SeqCst);
            check_eq!(descriptor::read(fd, &mut [0; 8]), Ok(1));
        }
        WRITE => {
            say("handled\n");
            check_eq!(descriptor::write(FD.load(SeqCst), b"x"), Ok(1));
        }
        ASK => ask(FD.load(SeqCst)),
        LOOP => loop {
            say("computing in the handler\n");
            compute(u64::MAX);
        },
        _ => {}
    }
    DONE.fetch_add(1, SeqCst);
}

/// As `println`, which no handler may use: the code that it interrupts may be in it.
fn say(line: &str) {
    check_eq!(descriptor::write(1, line.as_bytes()), Ok(line.len()));
}

/// What is ready is had; what is not can't be waited for while code that computes is
/// interrupted.
fn ask(reader: Fd) {
    let mut buf = [0; 8];
    check_eq!(descriptor::read(reader, &mut buf), Ok(1));
    check_eq!(descriptor::read(reader, &mut buf), Err(EAGAIN));
    check_eq!(outcome(unsafe { raw::wasix::thread_sleep(1_000_000) }), Err(EAGAIN));
    check_eq!(poll(&[Subscription::clock(MONOTONIC, 1_000_000, 1)]).err(), Some(EAGAIN));
    check_eq!(outcome(unsafe { raw::preview1::sched_yield() }), Ok(()));
    // A socket of the handler's own works afterwards.
    let (listener, addr) = check_ok!(listener());
    check_eq!(accept_v2(listener, 0).err(), Some(EAGAIN));
    let client = check_ok!(open_for(addr));
    check_eq!(connect(client, addr), Ok(()));
    FD.store(listener, SeqCst);
}

#[inline(never)]
fn the_handler_that_traps() {
    std::arch::wasm32::unreachable();
}

fn compute(rounds: u64) {
    let mut number = 1u64;
    for _ in 0..rounds {
        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005));
    }
}

/// Computes until the handler has run.
fn compute_until_handled() {
    while DONE.load(SeqCst) == 0 {
        compute(1000);
    }
}

fn sleep_until_handled() {
    check_eq!(outcome(unsafe { raw::wasix::thread_sleep(u64::MAX) }), Err(EINTR));
}

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next().expect("a case");
    let place = args.next().expect("a place");
    let (reader, writer) = check_ok!(wait::pipe());
    let what = match what.as_str() {
        "exit" => EXIT,
        "trap" => TRAP,
        "wait" => {
            check_ok!(descriptor::write(writer, b"x"));
            FD.store(reader, SeqCst);
            WAIT
        }
        "interrupted" => INTERRUPTED,
        "write" => {
            FD.store(writer, SeqCst);
            WRITE
        }
        "ask" => {
            check_ok!(descriptor::write(writer, b"x"));
            FD.store(reader, SeqCst);
            ASK
        }
        "loop" => LOOP,
        _ => 0,
    };
    WHAT.store(what, SeqCst);
    handle();
    match place.as_str() {
        "raise" => check_ok!(raise(USR1)),
        "sleep" => {
            check_ok!(interval(USR1, 20_000_000, true));
            sleep_until_handled();
            check_ok!(interval(USR1, 0, false));
        }
        "compute" => {
            check_ok!(interval(USR1, 20_000_000, false));
            compute_until_handled();
        }
        // By the operator.
        "compute_for_operator" => {
            println!("computing");
            compute_until_handled();
        }
        _ => panic!("{place}: no such place"),
    }
    check_eq!(DONE.load(SeqCst) >= 1, true);
    if what == ASK {
        check_ok!(accept_v2(FD.load(SeqCst), 0));
    }
    println!("holds");
}
