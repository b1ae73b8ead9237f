//! Threads: what a C library does around the call that starts one.

use super::{at_mut, outcome, raw};
use crate::Result;
use crate::sync::Mutex;
use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::global_asm;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{
    AtomicU32, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

/// What a thread gets to stand on: its stack, its variables and this.
const SIZE: usize = 65536;

const FREE: u32 = 0;
const TAKEN: u32 = 1;

type Job = Box<dyn FnOnce() + Send>;

/// Lies at the begin of what a thread stands on; behind it lie its thread-local
/// variables, and from the end down its stack. The code below knows the first three.
#[repr(C, align(16))]
struct Start {
    stack: u32,
    variables: u32,
    state: AtomicU32,
    job: UnsafeCell<Option<Job>>,
}

// The entry of a thread: sets its stack and its variables up, runs its job, and gives
// all of it back as the last deed, when nothing uses the stack any more.
macro_rules! entry {
    ($name:literal, $start:literal) => {
        global_asm!(
            ".globaltype __stack_pointer, i32",
            ".functype __wasm_init_tls (i32) -> ()",
            ".functype threaded_thread (i32) -> ()",
            concat!(".globl ", $name),
            concat!(".export_name ", $name, ", ", $name),
            concat!(".type ", $name, ",@function"),
            concat!($name, ":"),
            concat!(".functype ", $name, " (i32, i32) -> ()"),
            concat!("local.get ", $start),
            "i32.load 0",
            "global.set __stack_pointer",
            concat!("local.get ", $start),
            "i32.load 4",
            "call __wasm_init_tls",
            concat!("local.get ", $start),
            "call threaded_thread",
            concat!("local.get ", $start),
            "i32.const 0",
            "i32.atomic.store 8",
            "end_function",
        );
    };
}

#[cfg(not(feature = "v1"))]
entry!("wasi_thread_start", "1");
// The argument is the low half of a word.
#[cfg(feature = "v1")]
entry!("_start_thread", "0");

global_asm!(
    ".globaltype __tls_size, i32, immutable",
    ".globl threaded_size_of_variables",
    ".type threaded_size_of_variables,@function",
    "threaded_size_of_variables:",
    ".functype threaded_size_of_variables () -> (i32)",
    "global.get __tls_size",
    "end_function",
);

unsafe extern "C" {
    fn threaded_size_of_variables() -> u32;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn threaded_thread(start: u32) {
    // SAFETY: it was made below, and belongs to this thread.
    let job = unsafe { (*(*(start as usize as *const Start)).job.get()).take() };
    job.expect("a job")();
}

/// All that were ever made: one that is free is used again.
static STARTS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn free_start() -> &'static Start {
    let mut starts = STARTS.lock();
    for at in starts.iter() {
        // SAFETY: none of them ever goes.
        let start = unsafe { &*(*at as usize as *const Start) };
        if start.state.compare_exchange(FREE, TAKEN, AcqRel, Relaxed).is_ok() {
            return start;
        }
    }
    let layout = Layout::from_size_align(SIZE, SIZE).expect("a layout");
    // SAFETY: the block is as large as said, and its first bytes become what they are read as.
    unsafe {
        let at = alloc(layout) as usize as u32;
        assert!(at != 0, "no memory for a thread");
        let variables = at + size_of::<Start>() as u32;
        assert!(threaded_size_of_variables() < SIZE as u32 / 4, "too many variables");
        let start = at as usize as *mut Start;
        let (state, job) = (AtomicU32::new(TAKEN), UnsafeCell::new(None));
        start.write(Start { stack: at + SIZE as u32, variables, state, job });
        starts.push(at);
        &*start
    }
}

/// A variable that each thread has of its own.
#[thread_local]
static MARK: Cell<u32> = Cell::new(0);

/// Notes a number in a variable of this thread's own.
pub fn set_mark(mark: u32) {
    MARK.set(mark);
}

/// The number that this thread noted, or 0.
pub fn mark() -> u32 {
    MARK.get()
}

/// A thread that was started.
pub struct Thread(u32);

/// Starts a thread.
pub fn spawn(job: impl FnOnce() + Send + 'static) -> Result<Thread> {
    let start = free_start();
    // SAFETY: it is taken, and its thread does not run yet.
    unsafe { *start.job.get() = Some(Box::new(job)) };
    let started = start_at(core::ptr::from_ref(start) as usize as u32);
    if started.is_err() {
        // SAFETY: no thread has begun.
        unsafe { *start.job.get() = None };
        start.state.store(FREE, Release);
    }
    started.map(Thread)
}

#[cfg(not(feature = "v1"))]
fn start_at(start: u32) -> Result<u32> {
    let answer = unsafe { raw::thread_spawn(start) };
    u32::try_from(answer).map_err(|_| crate::Errno(-answer as u16))
}

#[cfg(feature = "v1")]
fn start_at(start: u32) -> Result<u32> {
    let (mut tid, stack) = (0u32, u64::from(start + SIZE as u32));
    outcome(unsafe { raw::thread_spawn(u64::from(start), stack, stack, 0, at_mut(&mut tid)) })?;
    Ok(tid)
}

impl Thread {
    /// Waits until it has ended.
    pub fn join(self) {
        outcome(unsafe { raw::thread_join(self.0) }).expect("a thread that can be joined");
    }
}

/// The number of this thread.
pub fn thread_id() -> u32 {
    let mut tid = 0u32;
    outcome(unsafe { raw::thread_id(at_mut(&mut tid)) }).expect("a number");
    tid
}

/// How many threads stand somewhere.
pub fn standing() -> usize {
    let starts = STARTS.lock();
    let is_taken = |at: &&u32| {
        // SAFETY: as above.
        unsafe { (*(**at as usize as *const Start)).state.load(Acquire) == TAKEN }
    };
    starts.iter().filter(is_taken).count()
}
