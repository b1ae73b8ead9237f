//! The ground of all waiting: descriptors of the host, the reactor, threads that park; and threads
//! for calls that block.
//!
//! An [`AsyncFd`] is a descriptor that the reactor watches once something waits for it; [`reactor`]
//! says which one. A thread of [`block_on`] needs none: it parks in the kernel's own poll, at what
//! its future waits for. [`Pollable`] is what can be waited for, alone or with many others: sockets,
//! pipes, epolls; [`KernelFd`] is the descriptor by which the kernel knows it. [`Watchers`] are the
//! wakers of those that wait for one thing, and a [`ReadyList`] has those of many that may be ready. A
//! [`Timer`] is a descriptor too.
//!
//! What all guests of a process share (threads, a clock, a reactor, descriptors) is in one
//! [`HostRuntime`].
//!
//! A thread starts by [`start_thread`], which fails softly where the host is at its limit,
//! and is kept for reuse for a short time. Calls of the operating system that may block run in a
//! [`BlockingPool`], of which each guest has its own: however many of its calls block, and
//! for however long, another guest's find a thread.
//!
//! tokio's own `spawn_blocking` is not used. All guests of a runtime would share its
//! threads, it panics where the operating system refuses the first of them, and a runtime
//! that is dropped waits for them.

mod async_fd;
mod block_on;
mod blocking;
mod clock;
mod descriptors;
#[cfg(feature = "components")]
mod either;
mod host_runtime;
mod look;
mod park_at;
mod parker;
mod parker_poll;
mod pollable;
mod reactor;
mod ready_list;
mod room;
mod thread;
mod thread_time;
mod timer;
mod wake_fd;
mod watchers;

pub use async_fd::AsyncFd;
#[cfg(feature = "components")]
pub(crate) use async_fd::Took;
pub use block_on::block_on;
pub(crate) use block_on::park_on;
pub use blocking::BlockingPool;
pub(crate) use descriptors::{DescriptorDemand, DescriptorFreed};
#[cfg(feature = "components")]
pub(crate) use either::{Either, either};
pub(crate) use host_runtime::HostRuntime;
#[cfg(test)]
pub(crate) use look::ASKED;
pub(crate) use look::{ask, look_at, look_at_all};
pub(crate) use park_at::{park_at, park_by, park_in_epoll, with_waker};
pub(crate) use parker_poll::{MOST_WATCHED, RoundId, take_answers, this_round};
pub use pollable::{Events, KernelFd, OnReport, Pollable};
#[cfg(test)]
pub(crate) use reactor::no_longer_drives;
pub(crate) use reactor::{
    AtPanic, DrivingRuntime, can_drive, inside_a_runtime, own_reactor, reactor, spawn_guarded,
};
pub use ready_list::{DirectionWaker, Node, READ, ReadyList, WRITE, WaiterSlot};
pub(crate) use room::{for_memory as insist_on_memory, mappings_left};
pub(crate) use thread::{
    ReservedThread, reserve as reserve_thread, start as start_thread,
    start_with_stack as start_thread_with_stack,
};
pub(crate) use thread_time::{thread_time, thread_time_ns};
pub(crate) use timer::coarse_until;
pub use timer::{Timer, sleep, yield_now};
pub(crate) use wake_fd::WAKE_WORD;
pub use watchers::Watchers;
