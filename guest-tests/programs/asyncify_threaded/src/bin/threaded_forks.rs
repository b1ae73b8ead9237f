//! `threaded_forks CASE`: copies of a process with threads, children in its own memory, and jumps of each thread.

#![cfg_attr(target_os = "wasi", no_std, no_main)]
#![feature(stdarch_wasm_atomic_wait)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use asyncify_threaded::{Place, exec, fork, fork_in_time, jump, pid, set, status_of, vfork};
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use threaded::{AGAIN, Thread, spawn};

threaded::main!(run);

fn run() {
    let arguments = threaded::args();
    match arguments.get(1).map_or("", |case| case) {
        "forks" => forks(),
        "of-thread" => of_thread(),
        "both" => both(),
        "waits" => waits(),
        "vforks" => vforks(),
        "exec" => execs(),
        "jumps" => jumps(),
        "foreign" => foreign(),
        case => panic!("no case {case}"),
    }
    threaded::write_all(1, b"holds\n").expect("an output");
    threaded::exit(0);
}

static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Two words that are far from each other: the one is never more than 1 ahead of the other.
struct Apart {
    words: Box<[u32]>,
}

impl Apart {
    fn new() -> &'static Self {
        Box::leak(Box::new(Self { words: vec![1_u32; 1 << 20].into_boxed_slice() }))
    }

    fn ends(&self) -> [&AtomicU32; 2] {
        // SAFETY: they are nowhere used otherwise.
        [0, self.words.len() - 1]
            .map(|index| unsafe { AtomicU32::from_ptr(self.words.as_ptr().add(index).cast_mut()) })
    }

    fn ahead(&self) -> u32 {
        let [low, high] = self.ends();
        high.load(SeqCst).wrapping_sub(low.load(SeqCst))
    }
}

/// Threads that compute, sleep and wait in the host, until it is over.
fn busy(apart: &'static Apart) -> [Thread; 3] {
    let computes = move || {
        let [low, high] = apart.ends();
        while !IS_OVER.load(SeqCst) {
            high.fetch_add(1, SeqCst);
            low.fetch_add(1, SeqCst);
        }
    };
    let sleeps = || {
        while !IS_OVER.load(SeqCst) {
            threaded::sleep(100_000);
        }
    };
    let (reader, writer) = threaded::pipe().expect("a pipe");
    let reads = move || {
        let mut byte = [0];
        while !IS_OVER.load(SeqCst) {
            threaded::write_all(writer, &[1]).expect("a pipe");
            threaded::read(reader, &mut byte).expect("a pipe");
        }
    };
    [spawn(computes), spawn(sleeps), spawn(reads)].map(|started| started.expect("a thread"))
}

fn end(threads: impl IntoIterator<Item = Thread>) {
    IS_OVER.store(true, SeqCst);
    threads.into_iter().for_each(Thread::join);
}

/// What a copy finds: the memory as it was at one moment, and no thread but its own.
fn be_a_copy(apart: &Apart) -> ! {
    let before = apart.ahead();
    assert!(before <= 1, "{before}");
    for _ in 0..1000 {
        black_box(());
    }
    assert_eq!(apart.ahead(), before, "another thread is there");
    assert_eq!(threaded::thread_id(), pid());
    // It may have threads of its own.
    static SEEN: AtomicU32 = AtomicU32::new(0);
    let own = spawn(|| SEEN.store(9, SeqCst)).expect("a thread of the copy's");
    own.join();
    threaded::exit(30 + SEEN.load(SeqCst))
}

fn forks() {
    let apart = Apart::new();
    let threads = busy(apart);
    for _ in 0..20 {
        match fork_in_time() {
            0 => be_a_copy(apart),
            child => assert_eq!(status_of(child), (true, 39)),
        }
    }
    end(threads);
}

/// Another thread than the first: its copy ends where it returns.
fn of_thread() {
    let apart = Apart::new();
    let threads = busy(apart);
    let copies = || {
        for round in 0..5 {
            let mut place = Place::default();
            let value = set(&raw mut place);
            if value != 0 {
                assert_eq!((value, pid() != 1), (7, true));
                return;
            }
            match fork_in_time() {
                0 if round == 0 => return,
                // To where its parent, the other process, has prepared it.
                0 if round == 1 => jump(&place, 7),
                0 => threaded::exit(round),
                child => {
                    let code = if round < 2 { 0 } else { round as u16 };
                    assert_eq!(status_of(child), (true, code));
                }
            }
        }
    };
    spawn(copies).expect("a thread").join();
    end(threads);
}

/// Two threads make copies at once.
fn both() {
    let apart = Apart::new();
    let copies = move || {
        for _ in 0..10 {
            match fork_in_time() {
                0 => be_a_copy(apart),
                child => assert_eq!(status_of(child), (true, 39)),
            }
        }
    };
    let threads = busy(apart);
    let copiers = [spawn(copies), spawn(copies)].map(|started| started.expect("a thread"));
    copiers.into_iter().for_each(Thread::join);
    end(threads);
}

/// A thread waits where the host can't tell whether it writes.
fn waits() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    static WAITS: AtomicBool = AtomicBool::new(false);
    let thread = spawn(|| {
        WAITS.store(true, SeqCst);
        while WORD.load(SeqCst) == 0 {
            // SAFETY: it is a word.
            unsafe { core::arch::wasm32::memory_atomic_wait32(WORD.as_ptr().cast(), 0, -1) };
        }
    });
    let thread = thread.expect("a thread");
    while !WAITS.load(SeqCst) {
        threaded::sleep(1_000_000);
    }
    threaded::sleep(50_000_000);
    assert_eq!(fork(), Err(AGAIN));
    WORD.store(1, SeqCst);
    // SAFETY: it is a word.
    unsafe { core::arch::wasm32::memory_atomic_notify(WORD.as_ptr().cast(), 1) };
    thread.join();
    match fork_in_time() {
        0 => threaded::exit(4),
        child => assert_eq!(status_of(child), (true, 4)),
    }
}

/// A thread is a child for a while, and the others go on.
fn vforks() {
    let apart = Apart::new();
    let threads = busy(apart);
    let begins = || {
        for round in 0..10 {
            match vfork().expect("a child") {
                0 => {
                    assert!(pid() != 1);
                    threaded::exit(round)
                }
                child => assert_eq!(status_of(child), (true, round as u16)),
            }
            assert_eq!(pid(), 1);
        }
    };
    let both = [spawn(begins), spawn(begins)].map(|started| started.expect("a thread"));
    begins();
    both.into_iter().for_each(Thread::join);
    end(threads);
}

/// A child in the same memory becomes another program: `/bin/fail 7`, which writes to its output.
fn execs() {
    let apart = Apart::new();
    let threads = busy(apart);
    let begins = || {
        for _ in 0..5 {
            match vfork().expect("a child") {
                0 => {
                    let failed = exec("/bin/fail", &["fail", "7"]);
                    threaded::say(&format!("exec: {failed:?}\n"));
                    threaded::exit(99)
                }
                child => assert_eq!(status_of(child), (true, 7)),
            }
        }
    };
    let other = spawn(begins).expect("a thread");
    begins();
    other.join();
    end(threads);
}

#[inline(never)]
fn dive(levels: u32, place: &Place) {
    if black_box(levels) == 0 {
        jump(place, 5);
    }
    dive(levels - 1, place);
    black_box(levels);
}

/// Each thread jumps within itself, all at once.
fn jumps() {
    let jumps = || {
        threaded::set_mark(threaded::thread_id());
        for _ in 0..50 {
            let mut place = Place::default();
            match set(&raw mut place) {
                0 => dive(20, &place),
                value => {
                    assert_eq!(value, 5);
                    // Its own variables are there.
                    assert_eq!(threaded::mark(), threaded::thread_id());
                }
            }
        }
    };
    let threads = [spawn(jumps), spawn(jumps), spawn(jumps)].map(|started| started.expect("a thread"));
    jumps();
    threads.into_iter().for_each(Thread::join);
}

/// A place of another thread's is none.
fn foreign() {
    static mut PLACE: Place = Place { user: 0, hash: [0; 2] };
    static IS_SET: AtomicBool = AtomicBool::new(false);
    let _waits = spawn(|| {
        if set(&raw mut PLACE) == 0 {
            IS_SET.store(true, SeqCst);
            loop {
                threaded::sleep(1_000_000);
            }
        }
    });
    while !IS_SET.load(SeqCst) {
        threaded::sleep(1_000_000);
    }
    let place = unsafe { core::ptr::read(&raw const PLACE) };
    jump(&place, 1);
}
