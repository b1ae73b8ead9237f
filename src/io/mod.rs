//! Threads of the host's, and calls that block.
//!
//! A thread starts by [`start_thread`], which fails softly where the host is at its limit,
//! and is kept for reuse for a short time. Calls of the operating system that may block run in a
//! [`BlockingPool`], of which each guest has its own: however many of its calls block, and
//! for however long, another guest's find a thread.
//!
//! tokio's own `spawn_blocking` is not used. All guests of a runtime would share its
//! threads, it panics where the operating system refuses the first of them, and a runtime
//! that is dropped waits for them.

mod blocking;
mod clock;
mod thread;

pub use blocking::BlockingPool;
pub(crate) use clock::until;
pub(crate) use thread::start as start_thread;
