//! `forks CASE`: copies of the process, and children in its own memory.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use asyncify_programs::process::{Status, exit, fork, pid, reap, status_of, vfork, wait};
use asyncify_programs::{Place, jump, set};
use wasix::errno::{EAGAIN, EBADF, ECHILD};
use wasix::signal::{self, KILL, USR1, handle, raise};
use wasix::wait::pipe;
use wasix::{check, check_eq, check_ok, descriptor, outcome, raw};

static VALUE: AtomicU32 = AtomicU32::new(1);

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(signal: i32) {
    if signal == USR1 as i32 {
        // There is code of the guest's below that the host has called.
        check_eq!(fork(), Err(EAGAIN));
        check_eq!(vfork(), Err(EAGAIN));
        VALUE.fetch_add(1, SeqCst);
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("fork") => forks(),
        Some("vfork") => vforks(),
        Some("deep") => deep(),
        Some("many") => many(),
        Some("limit") => limit(),
        Some("jump") => jumps(),
        Some("traps") => traps(),
        Some("handler") => handler(),
        Some("descriptors") => descriptors(),
        Some("generations") => generations(),
        Some("save") => save(),
        Some("time") => time(),
        other => panic!("{other:?}: no such case"),
    }
    println!("holds");
}

/// What either writes is its own.
fn forks() {
    let own = pid();
    let heap = Box::leak(Box::new(AtomicU32::new(5)));
    let child = check_ok!(fork());
    VALUE.fetch_add(1, SeqCst);
    if child == 0 {
        check!(pid() != own, "another number");
        check_eq!((VALUE.load(SeqCst), heap.fetch_add(2, SeqCst)), (2, 5));
        println!("child");
        exit(u32::from(heap.load(SeqCst) == 7) + 40);
    }
    heap.store(100, SeqCst);
    check_eq!((pid(), status_of(child)), (own, Status::Exited(41)));
    check_eq!((VALUE.load(SeqCst), heap.load(SeqCst)), (2, 100));
    check_eq!(wait(0, true), Err(ECHILD));
    println!("parent");
}

/// The child has the memory of its parent, and descriptors of its own.
fn vforks() {
    for round in 0..3 {
        let own = pid();
        let child = check_ok!(vfork());
        if child == 0 {
            check!(pid() != own, "another number");
            check_ok!(descriptor::close(1));
            VALUE.store(7 + round, SeqCst);
            exit(3 + round);
        }
        check_eq!((pid(), VALUE.load(SeqCst)), (own, 7 + round));
        check_eq!(status_of(child), Status::Exited((3 + round) as u16));
    }
    // One in another.
    let child = check_ok!(vfork());
    if child == 0 {
        let grandchild = check_ok!(vfork());
        if grandchild == 0 {
            exit(8);
        }
        check_eq!(status_of(grandchild), Status::Exited(8));
        exit(9);
    }
    check_eq!(status_of(child), Status::Exited(9));
    println!("the stream is open");
}

#[inline(never)]
fn forks_below(levels: u64) -> (u32, u64) {
    let own = black_box(levels * 3);
    let (child, sum) = if levels == 0 { (check_ok!(fork()), 0) } else { forks_below(levels - 1) };
    (child, sum + own)
}

/// Every frame is there in both.
fn deep() {
    let (child, sum) = forks_below(200);
    check_eq!(sum, 3 * 200 * 201 / 2);
    if child == 0 {
        exit(1);
    }
    check_eq!(status_of(child), Status::Exited(1));
}

fn many() {
    for round in 0..50 {
        let child = check_ok!(fork());
        if child == 0 {
            exit(round);
        }
        check_eq!(status_of(child), Status::Exited(round as u16));
    }
    let children: Vec<u32> = (0..20)
        .map(|round| match check_ok!(fork()) {
            0 => exit(round),
            child => child,
        })
        .collect();
    let mut statuses: Vec<_> = children.iter().map(|_| check_ok!(wait(0, true)).expect("a child")).collect();
    statuses.sort_unstable_by_key(|(pid, _)| *pid);
    let expected: Vec<_> = children.iter().zip(0..).map(|(pid, code)| (*pid, Status::Exited(code))).collect();
    check_eq!(statuses, expected);
    check_eq!(reap(), 0);
}

fn sleep(nanoseconds: u64) {
    let _ = outcome(unsafe { raw::wasix::thread_sleep(nanoseconds) });
}

/// As many as there may be, by a fork bomb of one parent.
fn limit() {
    let mut children = Vec::new();
    let refused = loop {
        match fork() {
            Ok(0) => loop {
                sleep(1_000_000_000);
            },
            Ok(child) => children.push(child),
            Err(error) => break error,
        }
    };
    check_eq!((refused, vfork()), (EAGAIN, Err(EAGAIN)));
    println!("children {}", children.len());
    for child in &children {
        check_ok!(signal::to_process(*child, KILL));
        check_eq!(status_of(*child), Status::Signalled(KILL as u8));
    }
    // There is room again.
    match check_ok!(fork()) {
        0 => exit(0),
        child => check_eq!(status_of(child), Status::Exited(0)),
    }
}

/// A child jumps to where its parent has prepared it.
fn jumps() {
    let mut place = Place::NONE;
    let value = set(&raw mut place);
    if value != 0 {
        check_eq!(value, 9);
        exit(6);
    }
    match check_ok!(fork()) {
        0 => jump(&place, 9),
        child => check_eq!(status_of(child), Status::Exited(6)),
    }
}

/// A child that traps is its own affair.
fn traps() {
    for begin in [fork, vfork] {
        match check_ok!(begin()) {
            0 => std::arch::wasm32::unreachable(),
            child => check_eq!(status_of(child), Status::Signalled(6)),
        }
    }
    match check_ok!(fork()) {
        0 => {
            let _ = raise(KILL);
            sleep(1_000_000_000);
            exit(1)
        }
        child => check_eq!(status_of(child), Status::Signalled(KILL as u8)),
    }
}

fn handler() {
    handle();
    check_ok!(raise(USR1));
    check_eq!(VALUE.load(SeqCst), 2);
    // Elsewhere it can.
    match check_ok!(fork()) {
        0 => exit(2),
        child => check_eq!(status_of(child), Status::Exited(2)),
    }
}

/// Descriptors are copied, what they stand for is shared.
fn descriptors() {
    let (read, write) = check_ok!(pipe());
    let child = check_ok!(fork());
    if child == 0 {
        check_ok!(descriptor::close(read));
        check_eq!(descriptor::write(write, b"from the child"), Ok(14));
        exit(0);
    }
    check_ok!(descriptor::close(write));
    check_eq!(descriptor::close(write), Err(EBADF));
    let mut all: Vec<u8> = Vec::new();
    let mut part = [0; 64];
    loop {
        match check_ok!(descriptor::read(read, &mut part)) {
            0 => break,
            count => all.extend(&part[..count]),
        }
    }
    check_eq!(all, b"from the child");
    check_eq!(status_of(child), Status::Exited(0));
}

/// Children of children.
fn generations() {
    #[inline(never)]
    fn descend(levels: u32) -> u32 {
        if levels == 0 {
            return 0;
        }
        match check_ok!(fork()) {
            0 => exit(descend(levels - 1) + 1),
            child => match status_of(child) {
                Status::Exited(code) => code.into(),
                Status::Signalled(signal) => panic!("signal {signal}"),
            },
        }
    }
    check_eq!(descend(10), 10);
}

/// A server that saves what it has by a copy of itself, and changes it meanwhile.
fn save() {
    let mut data = vec![1_u32; 1 << 18];
    for round in 1..=3_u32 {
        let (read, write) = check_ok!(pipe());
        let child = check_ok!(fork());
        if child == 0 {
            for place in 0..data.len() {
                // What the copy changes is its own, too.
                data[place] += 1000;
            }
            let is_whole = data.iter().all(|value| *value == round + 1000);
            check_ok!(descriptor::write(write, if is_whole { b"whole" } else { b"torn!" }));
            exit(0);
        }
        data.iter_mut().for_each(|value| *value += 1);
        let mut told = [0; 5];
        check_eq!(descriptor::read(read, &mut told), Ok(5));
        check_eq!(told, *b"whole");
        check!(data.iter().all(|value| *value == round + 1), "the parent's own data");
        check_eq!(status_of(child), Status::Exited(0));
        check_ok!(descriptor::close(read));
        check_ok!(descriptor::close(write));
    }
}

/// How long a fork takes, and a child's life, with so many KiB in use besides.
fn time() {
    let size: usize = std::env::args().nth(2).map_or(0, |text| text.parse().expect("a number"));
    let data = black_box(vec![1_u8; size << 10]);
    let mut forks = Vec::new();
    let mut lives = Vec::new();
    for _ in 0..100 {
        let begun = std::time::Instant::now();
        let child = check_ok!(fork());
        if child == 0 {
            exit(u32::from(black_box(&data).len() == 1));
        }
        forks.push(begun.elapsed());
        check_eq!(status_of(child), Status::Exited(0));
        lives.push(begun.elapsed());
    }
    forks.sort_unstable();
    lives.sort_unstable();
    println!("fork {:?}, with the child's life {:?} (medians of 100)", forks[50], lives[50]);
}
