//! Who waits for what.
//!
//! Every operation of the rooms below is a try that never waits. This room makes
//! it wait: [`accept`], [`connect`], [`recv`] and [`send`] for one socket, [`poll`]
//! for many things at once, [`ReadyList`] and [`Epoll`] for thousands. All follow one rule, which is what loses no wake-up:
//! *look, forget, sleep*. What the reactor heard before a look is forgotten, since the look
//! finds it; what it hears after that ends the sleep, begun or not. A socket that it does
//! not know of is registered before the sleep, and it tells then what is ready already. A
//! thread of [`block_on`] needs no reactor for that: it sleeps in the kernel's own poll,
//! which tells what *is* ready, so there is nothing to forget. Nor do the sockets of an
//! [`Epoll`]: the kernel's own epoll watches them, and only that one is registered.
//!
//! Waiting ends by readiness, by a limit, or because it is [interrupted](interrupting). Limits are kept to the nanosecond
//! that the guest asked for, by a timer of the kernel's, never by spinning.
//!
//! What works for long without waiting gives way by a [`TimeSlice`].
//!
//! What has no descriptor of the host's lives here too: [pipes](pipe()) and [event
//! descriptors](EventFd). They are [`Pollable`], as sockets are, and so is an [`Epoll`].
//!
//! Key types: [`Watched`], [`Readiness`], [`Pollable`], [`Epoll`], [`ReadyList`], [`Timer`].

mod block_on;
mod clock;
mod epoll;
mod event_fd;
mod interrupt;
mod parker;
mod pipe;
mod poll;
mod pollable;
mod readiness;
mod ready_list;
mod socket;
mod time_slice;
mod wake_fd;

pub use block_on::block_on;
pub use clock::{Timer, sleep};
pub use epoll::{Data, Epoll, Happened, Request};
pub use event_fd::EventFd;
pub use interrupt::{interruptible, interrupting};
pub use pipe::{PIPE_CAPACITY, PipeReader, PipeWriter, pipe};
pub use poll::{PollSet, PollSetBuffer, PollSource, Readiness, Sharing, Watched, poll};
pub use pollable::{Events, Pollable};
pub use readiness::{retry_with_backoff, timeout, yield_now};
pub use ready_list::ReadyList;
pub use socket::{
    accept, connect, recv, send, send_to, try_accept, try_recv, try_recv_message, try_send, try_send_to,
};
pub use time_slice::TimeSlice;
