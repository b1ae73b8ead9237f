//! Waiting, and taking what is ready.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::task::coop::consume_budget;

use super::entry::{Armed, EpollNode, look_at_entries};
use super::leader::Waiter;
use super::{Epoll, Happened, STEP, unpoisoned};
use crate::error::Errno;
use crate::io::{Events, Pollable, READ, WRITE, yield_now};
use crate::ready::interrupt::interruptible_by_all;
use crate::ready::poll::Deadline;
use crate::ready::time_slice::TimeSlice;

/// How many entries one round goes through: some hundred microseconds.
const MAX_PER_ROUND: usize = 1024;

impl Epoll {
    /// Waits until something is ready, or `limit` has passed; `None` is forever, zero
    /// only polls. Returns `most` events at most. `has_polled` says that
    /// [`take`](Self::take) has just found nothing; or need not be asked before the wait, where all is
    /// [the kernel's](Self::is_kernels_alone), which tells one that waits of what is ready already.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// `EBADF` where the last descriptor of the epoll is closed meanwhile; the reason
    /// where the wait is [interrupted](interruptible).
    pub async fn wait(
        &self,
        most: usize,
        limit: Option<Duration>,
        has_polled: bool,
    ) -> Result<Vec<Happened>, Errno> {
        // A guest that never has to wait still yields to other tasks, the reactor included.
        consume_budget().await;
        let mut found = Vec::new();
        let mut slice = TimeSlice::new();
        if !has_polled {
            self.take_all(most, &mut found, &mut slice).await?;
        }
        if !found.is_empty() {
            return Ok(found);
        }
        if limit == Some(Duration::ZERO) {
            if !self.is_kernels_alone() {
                yield_now().await;
                self.list_what_the_kernel_knows(&mut slice).await?;
                self.take_all(most, &mut found, &mut slice).await?;
            }
            return Ok(found);
        }
        let mut timer = unpoisoned(&self.timer).take();
        let outcome = self.sleep(most, Deadline::set(&mut timer, limit), &mut found).await;
        *unpoisoned(&self.timer) = timer;
        outcome.map(|()| found)
    }

    /// As [`wait`](Self::wait), on a thread that may stop and is woken by `waker`: parks it, where all is
    /// [the kernel's](Self::is_kernels_alone). One system call, which adds what it finds to `found`. `None` where that has to wait in the other way: there is
    /// something else to look at, or the thread was woken.
    pub fn park(
        &self,
        most: usize,
        limit: Option<Duration>,
        found: &mut Vec<Happened>,
        waker: &Waker,
    ) -> Option<()> {
        // Its slot first, so that what is watched or listed after the look wakes it.
        let mut waiter = Waiter::new(&self.list, &self.leadership);
        waiter.take_slot(waker);
        if self.list.is_closed() || !self.is_kernels_alone() {
            return None;
        }
        self.kernel.park(most, limit, found)
    }

    /// Sleeps until something is found, or the deadline has passed.
    async fn sleep(
        &self,
        most: usize,
        deadline: Deadline<'_>,
        found: &mut Vec<Happened>,
    ) -> Result<(), Errno> {
        let mut elapsed = pin!(deadline.elapsed());
        let mut changed = pin!(self.kernel.changed());
        let mut waiter = Waiter::new(&self.list, &self.leadership);
        let mut was_polled = false;
        let listed = poll_fn(|context| {
            // Its slot first, so that what is listed after the take wakes it.
            waiter.take_slot(context.waker());
            if self.list.is_closed() {
                return Poll::Ready(Err(Errno::EBADF));
            }
            let is_over = elapsed.as_mut().poll(context).is_ready();
            if !self.take_listed(most, found) && found.is_empty() {
                // There are more, after other tasks of this thread have run.
                context.waker().wake_by_ref();
            }
            if waiter.lead() {
                // The previous leader may have left something.
                if std::mem::replace(&mut was_polled, true) {
                    self.kernel.take(most, found);
                }
                changed.set(self.kernel.changed());
            }
            while waiter.is_leader() && found.is_empty() && changed.as_mut().poll(context).is_ready() {
                self.kernel.take(most, found);
                changed.set(self.kernel.changed());
            }
            was_polled = true;
            if is_over && found.is_empty() {
                // What happened comes before the end of the time, were nobody to have looked yet.
                self.kernel.take(most, found);
            }
            if is_over || !found.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        interruptible_by_all(listed).await.flatten()
    }

    /// Adds what is ready now to `found`, until that has `most`, without waiting. Returns whether
    /// it has gone through everything: if there is too much, the rest belongs to the next round.
    pub fn take(&self, most: usize, found: &mut Vec<Happened>) -> bool {
        if self.is_kernel_first.fetch_xor(true, Relaxed) {
            self.kernel.take(most, found);
            self.take_listed(most, found)
        } else {
            let is_all = self.take_listed(most, found);
            self.kernel.take(most, found);
            is_all
        }
    }

    /// As [`take`](Self::take), in several rounds if nothing is found in the first ones.
    ///
    /// # Errors
    ///
    /// Those of [`TimeSlice::step`].
    async fn take_all(
        &self,
        most: usize,
        found: &mut Vec<Happened>,
        slice: &mut TimeSlice,
    ) -> Result<(), Errno> {
        while !self.take(most, found) && found.is_empty() {
            slice.step().await?;
        }
        Ok(())
    }

    fn take_listed(&self, most: usize, found: &mut Vec<Happened>) -> bool {
        // Every entry once: those that are listed again belong to the next round.
        let listed = self.list.len();
        let mut left = listed.min(MAX_PER_ROUND);
        let is_all = left == listed;
        while left > 0 && found.len() < most {
            let mut armed = Vec::new();
            for _ in 0..left.min(most - found.len()) {
                left -= 1;
                let Some(entry) = self.list.pop() else { break };
                armed.extend(self.armed(entry));
            }
            for looked in look_at_entries(armed) {
                let Some((happened, again)) = looked.judge() else { continue };
                if again {
                    self.list.mark_ready(&looked.armed.entry, 0);
                }
                found.push(happened);
            }
        }
        is_all
    }

    /// An entry that was just taken from the list, ready to be looked at; `None` if there
    /// is nothing to look at.
    fn armed(&self, entry: Arc<EpollNode>) -> Option<(Armed, Arc<dyn Pollable>)> {
        let changed = entry.take_changes();
        let Some(target) = entry.target() else {
            self.remove_entry(&entry);
            return None;
        };
        if !unpoisoned(&entry.value.state).is_on {
            return None;
        }
        let changed = changed | entry.arm(target.as_ref());
        Some((Armed { entry, changed }, target))
    }

    /// Lists what is ready though no waker was called yet: the reactor may not have run. Not
    /// for edges, which would be reported twice.
    ///
    /// # Errors
    ///
    /// Those of [`TimeSlice::step`].
    async fn list_what_the_kernel_knows(&self, slice: &mut TimeSlice) -> Result<(), Errno> {
        for (place, entry) in self.entries().into_iter().enumerate() {
            if place % STEP == STEP - 1 {
                slice.step().await?;
            }
            let wanted = {
                let state = unpoisoned(&entry.value.state);
                let wanted = state.request.events.or(Events::ALWAYS);
                wanted.when(state.is_on && !state.request.edge && !entry.is_listed())
            };
            if wanted.is_empty() {
                continue;
            }
            if let Some(target) = entry.target()
                && !target.look().and(wanted).is_empty()
            {
                self.list.mark_ready(&entry, READ | WRITE);
            }
        }
        Ok(())
    }
}
