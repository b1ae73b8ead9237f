//! Readiness and blocking: makes nonblocking socket operations wait.
//!
//! Every operation of the modules below is a try that never blocks. This module makes it wait:
//! [`accept`], [`connect`], [`recv`] and [`send`] for one socket, [`poll`] for many things at once,
//! [`Epoll`] for thousands. A call of one socket follows the rule *try, clear, sleep*: the readiness
//! that the reactor reported before a try is cleared, since the try finds it; what it reports after
//! that ends the sleep, begun or not. Who waits for many things [registers with them, and looks
//! then](crate::io::Pollable). So no wake-up is lost. A socket is registered with the reactor
//! before the first sleep, and the reactor reports then what is ready already. A thread of
//! [`block_on`](crate::io::block_on) needs no reactor for that: it parks in the kernel's own poll,
//! which reports what *is* ready, so there is nothing to clear. Nor do the sockets of an [`Epoll`]:
//! the kernel's own epoll watches them, and only that one is registered.
//!
//! Waiting ends by readiness, by a limit, or because it is [interrupted](interrupting). Limits are
//! kept to the nanosecond that the guest asked for, by a timer of the kernel's, never by spinning.
//!
//! What works for long without waiting yields by a [`TimeSlice`].
//!
//! What has no descriptor of the host's lives here too: [pipes](PipeEnd) and [event
//! descriptors](EventFd). They are [`Pollable`](crate::io::Pollable), as sockets are, and so is an
//! [`Epoll`].
//!
//! Key types: [`Watched`], [`Readiness`], [`Epoll`].

mod epoll;
mod event_fd;
mod interrupt;
mod message;
mod pipe;
mod poll;
mod readiness;
mod socket;
mod time_slice;

pub use epoll::{Data, Epoll, Happened, Nesting, Request};
pub use event_fd::EventFd;
pub use interrupt::{interruptible, interruptible_by_all, interrupting, interrupting_mildly};
pub use message::{recv_with_ancillary, send_with_token};
pub use pipe::{PipeEnd, pipe_ends};
#[cfg(test)]
pub use pipe::{PipeReader, pipe};
pub use poll::{Before, PollSet, PollSetBuffer, PollSource, Readiness, Watched, poll};
#[cfg(feature = "components")]
pub use poll::{is_ready, take_turn};
pub use readiness::{retry_with_backoff, timeout};
pub use socket::{
    accept, finish_connect, received_by, recv, send, send_file, send_to, try_accept, try_recv,
    try_recv_message, try_send, try_send_to,
};
pub use time_slice::TimeSlice;
