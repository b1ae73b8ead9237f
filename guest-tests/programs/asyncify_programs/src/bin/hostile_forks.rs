//! `hostile_forks CASE ARGUMENT`: copies and children in the same memory, begun and ended in every bad way.
//!
//! Most cases do the same in each of so many rounds. They say that it `begins` when some have made what is kept, and that
//! it `ends`, and wait for a line each time.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use asyncify_programs::process::{Status, exit, fork, pid, reap, status_of, vfork, wait};
use asyncify_programs::{Place, jump, set};
use wasix::errno::{EAGAIN, ECHILD, ENOMEM};
use wasix::signal::{TERM, USR1, handle, raise};
use wasix::wait::pipe;
use wasix::{Fd, Result, check, check_eq, check_ok, descriptor};

/// The handler of a signal prepares to jump.
#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(signal: i32) {
    if signal == USR1 as i32 {
        check_eq!(set(&raw mut PLACE), 0);
    }
}

static mut PLACE: Place = Place::NONE;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    let rounds = argument(2).parse().unwrap_or(0);
    match argument(1) {
        "copies" => repeat(rounds, copies),
        "nested" => repeat(rounds, nested),
        "places" => repeat(rounds, places),
        "too-deep" => repeat(rounds, too_deep),
        "no-memory" => repeat(rounds, no_memory),
        "orphans" => repeat(rounds, orphans),
        "leave" => leave(),
        "endless" => endless(argument(2), argument(3)),
        other => panic!("{other}: no such case"),
    }
}

fn pause(text: &str) {
    println!("{text}");
    check_ok!(descriptor::read(0, &mut [0; 64]));
}

fn repeat(rounds: u32, round: fn()) {
    (0..2).for_each(|_| round());
    pause("begins");
    (0..rounds).for_each(|_| round());
    check_eq!((pid(), wait(0, false)), (1, Err(ECHILD)));
    pause("ends");
}

const TRAPPED: Status = Status::Signalled(6);

/// How a child ends that `begin` has begun, and that does `work`.
fn end_of(begin: fn() -> Result<u32>, work: impl FnOnce()) -> Status {
    match check_ok!(begin()) {
        0 => {
            work();
            exit(0)
        }
        child => status_of(child),
    }
}

/// Each copy makes three, so many levels down; those that there may not be are not. Some trap when theirs have ended.
fn copies() {
    fn multiply(levels: u32) {
        let mut count = 0;
        for _ in 0..3 {
            match fork() {
                Ok(0) => {
                    if levels > 1 {
                        multiply(levels - 1);
                    }
                    if pid() % 3 == 0 {
                        std::arch::wasm32::unreachable();
                    }
                    exit(0)
                }
                Ok(_) => count += 1,
                Err(error) => check_eq!(error, EAGAIN),
            }
        }
        for _ in 0..count {
            let (_, status) = check_ok!(wait(0, true)).expect("a child");
            check!(status == TRAPPED || status == Status::Exited(0), "{status:?}");
        }
    }
    multiply(3);
}

/// A child in the same memory begins one, and so on, as many as there may be. Each ends in its own way.
fn nested() {
    fn descend(levels: u32) -> u32 {
        match vfork() {
            Ok(0) => {
                // It has the memory of its parent, where the frame of this call is free when it has ended.
                DEEPEST.store(descend(levels + 1), SeqCst);
                match levels % 3 {
                    0 => std::arch::wasm32::unreachable(),
                    1 => jump(&Place { user: 7, hash: [u64::MAX, 1] }, 1),
                    _ => exit(levels),
                }
            }
            Ok(child) => {
                let expected = if levels % 3 < 2 { TRAPPED } else { Status::Exited(levels as u16) };
                check_eq!(status_of(child), expected);
                DEEPEST.load(SeqCst)
            }
            Err(error) => {
                check_eq!(error, EAGAIN);
                levels
            }
        }
    }
    static DEEPEST: AtomicU32 = AtomicU32::new(0);
    check!(descend(0) > 10, "so many levels");
}

/// Prepares to jump back into a function that has returned then.
#[inline(never)]
fn prepare_and_return(place: *mut Place) {
    let mut room = [0_u8; 4096];
    black_box(&mut room);
    check_eq!(set(place), 0);
    black_box(&mut room);
}

/// Jumps to places that there are not, in copies and in children in the same memory.
fn places() {
    handle();
    let mut alive = Place::NONE;
    if set(&raw mut alive) != 0 {
        // A child in the same memory has jumped to where its parent has prepared it, which is no end of it.
        exit(9);
    }
    let mut dead = Place::NONE;
    prepare_and_return(&raw mut dead);
    for begin in [fork, vfork] {
        let [number, owner] = alive.hash;
        let forged = [[0, 0], [u64::MAX; 2], [number + 9, owner], [number, owner + 1], [number, u64::MAX]];
        for hash in forged {
            check_eq!(end_of(begin, || jump(&Place { user: 0, hash }, 1)), TRAPPED, "{hash:?}");
        }
        check_eq!(end_of(begin, || jump(&dead, 1)), TRAPPED);
        let own_and_dead = || {
            let mut dead = Place::NONE;
            prepare_and_return(&raw mut dead);
            jump(&dead, 1)
        };
        check_eq!(end_of(begin, own_and_dead), TRAPPED);
        check_eq!(end_of(begin, || jump(&alive, 1)), Status::Exited(9));
    }
    // Of a handler that has returned.
    let of_handler = || {
        check_ok!(raise(USR1));
        jump(unsafe { &*(&raw const PLACE) }, 1)
    };
    check_eq!(end_of(fork, of_handler), TRAPPED);
}

/// Calls `work` so many levels down the stack.
fn far_down(levels: u64, work: fn()) {
    /// All that it keeps is in its locals.
    #[inline(never)]
    fn recurses(levels: u64, a: u64, b: u64, c: u64, work: fn()) -> u64 {
        if levels == 0 {
            work();
            return a;
        }
        let below = recurses(levels - 1, b, c.wrapping_mul(levels), a ^ levels, work);
        below.wrapping_mul(a).wrapping_add(b.rotate_left(7)) ^ c
    }
    black_box(recurses(levels, black_box(1), 2, 3, work));
}

/// The frames of so many levels have no room where they are put aside.
const TOO_DEEP: u64 = 25_000;

/// Copies whose stack is too deep to be put aside, for whatever they want of it.
fn too_deep() {
    let works: [fn(); 3] = [
        || {
            let mut place = Place::NONE;
            set(&raw mut place);
        },
        || {
            let _ = fork();
        },
        || {
            let _ = vfork();
        },
    ];
    for work in works {
        check_eq!(end_of(fork, || far_down(TOO_DEEP, work)), TRAPPED);
    }
    check_eq!(end_of(fork, || {}), Status::Exited(0));
}

/// Copies until the host holds as much for them as it may; then children in the same memory, with some hundreds of KiB of
/// the stack to be kept for each.
fn no_memory() {
    let (reader, writer) = check_ok!(pipe());
    let mut count = 0;
    let refused = loop {
        match fork() {
            Ok(0) => {
                check_ok!(descriptor::close(writer));
                check_eq!(descriptor::read(reader, &mut [0; 8]), Ok(0));
                exit(0);
            }
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    check_eq!(refused, ENOMEM);
    check_ok!(descriptor::close(reader));
    check_ok!(descriptor::close(writer));
    for _ in 0..count {
        check!(matches!(wait(0, true), Ok(Some((_, Status::Exited(0))))), "the end of a child");
    }
    far_down(10_000, || {
        let levels = nest_until_refused();
        check!((1..8).contains(&levels), "{levels} levels");
    });
}

/// Children in the same memory, one in another, until the host has no memory for one more; returns how many.
fn nest_until_refused() -> u32 {
    static LEVELS: AtomicU32 = AtomicU32::new(0);
    fn descend(levels: u32) {
        match vfork() {
            Ok(0) => {
                descend(levels + 1);
                exit(0)
            }
            Ok(child) => check_eq!(status_of(child), Status::Exited(0)),
            Err(error) => {
                check_eq!(error, ENOMEM);
                LEVELS.store(levels, SeqCst);
            }
        }
    }
    descend(0);
    LEVELS.load(SeqCst)
}

/// Parents that end before their children do, and leave them to the first process, which need not wait.
fn orphans() {
    let (reader, writer) = check_ok!(pipe());
    let (told, tells) = check_ok!(pipe());
    let parents = end_of(fork, || {
        for _ in 0..3 {
            if check_ok!(fork()) == 0 {
                check_ok!(descriptor::close(writer));
                check_eq!(descriptor::read(reader, &mut [0; 8]), Ok(0));
                exit(0);
            }
        }
    });
    check_eq!(parents, Status::Exited(0));
    for end in [reader, writer, tells] {
        check_ok!(descriptor::close(end));
    }
    // The last of them closes it.
    check_eq!(descriptor::read(told, &mut [0; 8]), Ok(0));
    check_ok!(descriptor::close(told));
}

/// Ends before its children, each of which reads its input to the end and says so.
fn leave() {
    for _ in 0..3 {
        if check_ok!(fork()) == 0 {
            while check_ok!(descriptor::read(0, &mut [0; 64])) > 0 {}
            check_eq!(descriptor::write(1, b"left"), Ok(4));
            exit(0);
        }
    }
}

/// How many processes of an endless bomb there have been when it is one.
const MANY: usize = 150;

/// A bomb without an end of its own, of copies or of children in the same memory. Then the first process returns, or a
/// signal ends it, or something else does.
fn endless(kind: &str, end: &str) {
    let (reader, writer) = check_ok!(pipe());
    if check_ok!(fork()) == 0 {
        check_ok!(descriptor::close(reader));
        match kind {
            "copies" => copy_without_end(writer),
            "nested" => nest_without_end(writer),
            other => panic!("{other}: no such bomb"),
        }
    }
    check_ok!(descriptor::close(writer));
    let mut begun = [0; 16];
    let mut count = 0;
    while count < MANY {
        count += check_ok!(descriptor::read(reader, &mut begun));
    }
    println!("many");
    match end {
        "returns" => {}
        "signal" => check_ok!(raise(TERM)),
        _ => while check_ok!(descriptor::read(reader, &mut begun)) > 0 {},
    }
}

/// Says that a process has begun, as long as somebody listens.
fn tell(writer: Fd) {
    let _ = descriptor::write(writer, b".");
}

/// All copies make others. Each but the first ends when there are as many as there may be, half of them by a trap; none
/// waits for its children.
fn copy_without_end(writer: Fd) -> ! {
    let top = pid();
    loop {
        match fork() {
            Ok(0) => tell(writer),
            Ok(_) => {}
            Err(error) => {
                check_eq!(error, EAGAIN);
                reap();
                match pid() {
                    own if own == top => {}
                    own if own % 2 == 0 => std::arch::wasm32::unreachable(),
                    _ => exit(0),
                }
            }
        }
    }
}

/// A child in the same memory begins another one, and when there are as many as there may be the last three end.
fn nest_without_end(writer: Fd) -> ! {
    static ENDING: AtomicU32 = AtomicU32::new(0);
    let top = pid();
    loop {
        match vfork() {
            Ok(0) => tell(writer),
            Ok(child) => {
                status_of(child);
            }
            Err(error) => {
                check_eq!(error, EAGAIN);
                ENDING.store(3, SeqCst);
            }
        }
        let ending = ENDING.load(SeqCst);
        if ending == 0 || pid() == top {
            continue;
        }
        ENDING.store(ending - 1, SeqCst);
        if ending == 2 {
            std::arch::wasm32::unreachable();
        }
        exit(0);
    }
}
