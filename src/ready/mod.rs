//! Readiness and blocking: makes nonblocking socket operations wait.
//!
//! Every operation of the modules below is a try that never blocks. This module makes it wait:
//! [`accept`], [`connect`], [`recv`] and [`send`] for one socket, [`poll`] for many things at once,
//! [`ReadyList`] and [`Epoll`] for thousands. All follow one rule, which is why no wake-up is lost:
//! *try, clear, sleep*. The readiness that the reactor reported before a try is cleared, since the
//! try finds it; what it reports after that ends the sleep, begun or not. A socket is registered
//! before the first sleep, and the reactor reports then what is ready already. A thread of
//! [`block_on`](crate::io::block_on) needs no reactor for that: it parks in the kernel's own poll, which reports what
//! *is* ready, so there is nothing to clear. Nor do the sockets of an [`Epoll`]: the kernel's own
//! epoll watches them, and only that one is registered.
//!
//! Waiting ends by readiness, by a limit, or because it is [interrupted](interrupting). Limits are
//! kept to the nanosecond that the guest asked for, by a timer of the kernel's, never by spinning.
//!
//! What works for long without waiting yields by a [`TimeSlice`].
//!
//! What has no descriptor of the host's lives here too: [pipes](pipe()) and [event
//! descriptors](EventFd). They are [`Pollable`], as sockets are, and so is an [`Epoll`].
//!
//! Key types: [`Watched`], [`Readiness`], [`Pollable`], [`Epoll`], [`ReadyList`].

mod epoll;
mod event_fd;
mod interrupt;
mod pipe;
mod poll;
mod pollable;
mod readiness;
mod ready_list;
mod socket;
mod time_slice;

pub use epoll::{Data, Epoll, Happened, Request};
pub use event_fd::EventFd;
pub use interrupt::{interruptible, interrupting};
pub use pipe::{PIPE_CAPACITY, PipeReader, PipeWriter, pipe};
pub use poll::{PollSet, PollSetBuffer, PollSource, Readiness, Sharing, Watched, poll};
pub use pollable::Pollable;
pub use readiness::{retry_with_backoff, timeout};
pub use ready_list::ReadyList;
pub use socket::{
    accept, finish_connect, recv, send, send_to, try_accept, try_recv, try_recv_message, try_send,
    try_send_to,
};
pub use time_slice::TimeSlice;
