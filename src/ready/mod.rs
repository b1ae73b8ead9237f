//! Who waits for what.
//!
//! Every operation of the rooms below is a try that never waits. This room makes
//! it wait: [`accept`], [`connect`], [`recv`] and [`send`] for one socket, [`poll`] for many things at once. Both
//! follow one rule, which is what loses no wake-up: *register first, then look
//! again, then sleep*. What the reactor remembers is only ever forgotten after a
//! look that came later than the memory.
//!
//! Waiting ends by readiness or by a limit. Limits are kept to the nanosecond
//! that the guest asked for, by a timer of the kernel's, never by spinning.
//!
//! Key types: [`Watched`], [`Readiness`], [`Timer`].

mod block_on;
mod clock;
mod poll;
mod readiness;
mod socket;

pub use block_on::block_on;
pub use clock::{Timer, sleep};
pub use poll::{Readiness, Source, Stream, Watched, poll};
pub use readiness::give_way;
pub use socket::{accept, connect, recv, send};
