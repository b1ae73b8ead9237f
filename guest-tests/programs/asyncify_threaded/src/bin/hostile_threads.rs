//! `hostile_threads CASE ARGUMENT`: processes of a program with threads, which these hinder in every way.
//!
//! Most cases do the same in each of so many rounds. They say that it `begins` when some have made what is kept, and that
//! it `ends`, and wait for a line each time. The program is at `/bin/again` too.

#![cfg_attr(target_os = "wasi", no_std, no_main)]
#![feature(stdarch_wasm_atomic_wait)]

extern crate alloc;

use alloc::format;
use asyncify_threaded::{Place, exec, fork_in_time, jump, pid, set, status_of, vfork};
use core::hint::black_box;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use threaded::{PollEvent, Subscription, Thread, spawn};

threaded::main!(run);

const PROGRAM: &str = "/bin/again";

fn run() {
    let arguments = threaded::args();
    let number = |place| threaded::argument(&arguments, place, 0_u32);
    match arguments.get(1).map_or("", |case| case) {
        "replaced" => replaced(number(2), number(3)),
        "replaces-itself" => replaces_itself(number(2)),
        "copies" => repeat(number(2), copies_are_replaced),
        "children" => repeat(number(2), children_are_replaced),
        "closes" => repeat(number(2), copies_close),
        "polls" => repeat(number(2), threads_poll_and_end),
        "foreign" => repeat(number(2), copies_jump),
        case => panic!("no case {case}"),
    }
    threaded::exit(0);
}

fn pause(text: &str) {
    threaded::write_all(1, text.as_bytes()).expect("an output");
    threaded::read(0, &mut [0; 64]).expect("an input");
}

fn repeat(rounds: u32, round: fn()) {
    (0..2).for_each(|_| round());
    pause("begins\n");
    (0..rounds).for_each(|_| round());
    pause("ends\n");
}

fn sleep_for_ever() -> ! {
    loop {
        threaded::sleep(1_000_000_000);
    }
}

/// Threads that never end, each at something else, when all of them are at it. One reads what is returned: a pipe that
/// nobody writes to.
fn hold_on() -> [u32; 2] {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    static WORD: AtomicU32 = AtomicU32::new(0);
    let (reader, writer) = threaded::pipe().expect("a pipe");
    let computes = || {
        BEGUN.fetch_add(1, SeqCst);
        loop {
            black_box(());
        }
    };
    let sleeps = || {
        BEGUN.fetch_add(1, SeqCst);
        sleep_for_ever();
    };
    let reads = move || {
        BEGUN.fetch_add(1, SeqCst);
        let _ = threaded::read(reader, &mut [0]);
        sleep_for_ever();
    };
    let waits = || {
        BEGUN.fetch_add(1, SeqCst);
        loop {
            // SAFETY: it is a word.
            unsafe { core::arch::wasm32::memory_atomic_wait32(WORD.as_ptr().cast(), 0, -1) };
        }
    };
    let threads = [spawn(computes), spawn(sleeps), spawn(reads), spawn(waits)];
    for thread in threads {
        thread.expect("a thread");
    }
    while BEGUN.load(SeqCst) < 4 {
        threaded::sleep(1_000_000);
    }
    [reader, writer]
}

/// Becomes this program again, with such threads, and without what they read.
fn replace_with_threads(arguments: &[&str]) -> ! {
    for end in hold_on() {
        threaded::close(end).expect("a pipe");
    }
    become_again(arguments)
}

fn become_again(arguments: &[&str]) -> ! {
    let failed = exec(PROGRAM, arguments);
    threaded::say(&format!("exec: {failed:?}\n"));
    threaded::exit(99)
}

/// Becomes this program again and again, with threads each time, so often as is `left` of `all`.
fn replaced(all: u32, left: u32) {
    if left + 2 == all {
        pause("begins\n");
    }
    if left == 0 {
        return pause("ends\n");
    }
    replace_with_threads(&[PROGRAM, "replaced", &format!("{all}"), &format!("{}", left - 1)])
}

/// The same without a word, to the end with the code 7.
fn replaces_itself(left: u32) -> ! {
    if left == 0 {
        threaded::exit(7);
    }
    replace_with_threads(&[PROGRAM, "replaces-itself", &format!("{}", left - 1)])
}

static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Two threads that open and close descriptors until it is over, the first ones that are free.
fn close_and_open() -> [Thread; 2] {
    IS_OVER.store(false, SeqCst);
    let closes = || {
        while !IS_OVER.load(SeqCst) {
            let made = [threaded::dup(1), threaded::dup(0)];
            if let Ok((reader, writer)) = threaded::pipe() {
                let _ = (threaded::close(reader), threaded::close(writer));
            }
            for fd in made.into_iter().flatten() {
                let _ = threaded::close(fd);
            }
        }
    };
    [spawn(closes), spawn(closes)].map(|started| started.expect("a thread"))
}

fn end(threads: impl IntoIterator<Item = Thread>) {
    IS_OVER.store(true, SeqCst);
    threads.into_iter().for_each(Thread::join);
}

/// A copy has threads of its own when it becomes another program, and its parent has others meanwhile.
fn copies_are_replaced() {
    let threads = close_and_open();
    match fork_in_time() {
        0 => replaces_itself(1),
        child => assert_eq!(status_of(child), (true, 7)),
    }
    end(threads);
}

/// Children of two threads in the same memory become other programs, which have threads when they do so again.
fn children_are_replaced() {
    let threads = close_and_open();
    let begins = || match vfork().expect("a child") {
        0 => become_again(&[PROGRAM, "replaces-itself", "1"]),
        child => assert_eq!(status_of(child), (true, 7)),
    };
    let other = spawn(begins).expect("a thread");
    begins();
    other.join();
    end(threads);
}

/// Copies are made while other threads open and close descriptors, and do so too with what they have got.
fn copies_close() {
    let threads = close_and_open();
    for _ in 0..5 {
        match fork_in_time() {
            0 => {
                let closed = (3..32).filter(|fd| threaded::close(*fd).is_ok()).count();
                // Of each thread four at most.
                threaded::exit(if closed <= 8 { 5 } else { 6 })
            }
            child => assert_eq!(status_of(child), (true, 5)),
        }
    }
    end(threads);
}

/// Many threads at once poll a pipe to which nobody writes, and a socket, until a clock ends that; then they end.
fn threads_poll_and_end() {
    static WATCHED: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];
    if WATCHED[0].load(SeqCst) == 0 {
        let (reader, _writer) = threaded::pipe().expect("a pipe");
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = threaded::listen(anywhere, 1).expect("a listener");
        WATCHED.iter().zip([reader, listener]).for_each(|(to, fd)| to.store(fd, SeqCst));
    }
    threaded::together(48, |_| {
        let [reader, listener] = [0, 1].map(|index: usize| WATCHED[index].load(SeqCst));
        let clock = Subscription::clock(100_000_000, 2);
        let asked = [Subscription::read(reader, 0), Subscription::read(listener, 1), clock];
        let mut found = [PollEvent::default(); 3];
        assert_eq!(threaded::poll(&asked, &mut found), Ok(1));
    });
}

/// Copies jump to a place of another thread of theirs, and to one of a thread that their parent had.
fn copies_jump() {
    static mut PLACE: Place = Place { user: 0, hash: [0; 2] };
    static IS_SET: AtomicBool = AtomicBool::new(false);
    fn place_of_another() -> Place {
        IS_SET.store(false, SeqCst);
        let _waits = spawn(|| {
            if set(&raw mut PLACE) == 0 {
                IS_SET.store(true, SeqCst);
                while !IS_OVER.load(SeqCst) {
                    threaded::sleep(1_000_000);
                }
            }
        });
        while !IS_SET.load(SeqCst) {
            threaded::sleep(1_000_000);
        }
        unsafe { core::ptr::read(&raw const PLACE) }
    }
    IS_OVER.store(false, SeqCst);
    match fork_in_time() {
        0 => jump(&place_of_another(), 1),
        child => assert!(!status_of(child).0, "the copy went on"),
    }
    let place = place_of_another();
    match fork_in_time() {
        0 => jump(&place, 1),
        child => assert!(!status_of(child).0, "the copy went on"),
    }
    IS_OVER.store(true, SeqCst);
    assert_eq!(pid(), 1);
}
