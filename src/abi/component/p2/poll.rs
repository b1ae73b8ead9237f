//! `wasi:io/poll`: what wasock's own pollables wait for is looked at by one system call, and nothing is
//! made a future of while something is ready. Pollables of others, in the same list, are
//! `wasmtime_wasi_io`'s to look at.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi_io::bindings::wasi::io::poll as others;
use wasmtime_wasi_io::poll::DynPollable;

use super::io::poll::{Host, HostPollable};
use super::look::Looked;
use super::source::{POLLABLE, Source, Subscription, Wait};
use crate::abi::component::View;
use crate::abi::component::tcp::may_accept;
use crate::error::Errno;
use crate::io::{Either, HostRuntime, Timer, either};
use crate::process::Process;
use crate::ready::{self, Before, PollSetBuffer, Watched, take_turn};

/// How many pollables one call waits for before their list is charged, and what one of them takes.
const FREE: usize = 256;
const LISTED: u64 = 96;

/// What waits keep between calls.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(super) set: PollSetBuffer,
    /// The places of the sources that the kernel is asked about.
    pub(super) asked: Vec<u32>,
    timer: Option<Timer>,
    /// Had the host no descriptor for the last connection? See [`may_accept`].
    pub(crate) is_short: bool,
}

/// A source, and its place in the guest's list.
pub(super) type Listed<'a> = (u32, &'a Source);

impl Waiting {
    /// Waits until one of `sources` is ready, and returns the places of those that are. `looked` is what a
    /// [quick look](Self::look_quickly) has just found of them.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`ready::poll`].
    pub(super) async fn wait(
        &mut self,
        process: &Process,
        sources: &[Listed<'_>],
        mut before: Option<Looked>,
    ) -> Result<Vec<u32>, Errno> {
        loop {
            let waits: Vec<(u32, Wait<'_>)> =
                sources.iter().map(|(place, source)| (*place, source.wait())).collect();
            let looked = before.take().unwrap_or_else(|| self.look(process, &waits));
            if !looked.ready.is_empty() {
                return Ok(looked.ready);
            }
            let ready = self.sleep(process, &waits, &looked).await?;
            if !ready.is_empty() {
                return Ok(ready);
            }
        }
    }

    /// Sleeps until something may have become ready, and returns what has.
    async fn sleep(
        &mut self,
        process: &Process,
        waits: &[(u32, Wait<'_>)],
        looked: &Looked,
    ) -> Result<Vec<u32>, Errno> {
        let (mut places, mut watched) = (Vec::new(), Vec::<Watched<'_>>::new());
        for (place, wait) in waits {
            let is_held_up = looked.is_starved
                && matches!(wait, Wait::Connection(listener) if !may_accept(process, &mut self.is_short, listener));
            if !is_held_up && let Some(watch) = wait.watched() {
                places.push(*place);
                watched.push(watch);
            }
        }
        let left = |until: u64| Duration::from_nanos(until.saturating_sub(process.monotonic_time()));
        let before = Before { has_looked: true, are_shared: false };
        let polled = ready::poll(&watched, looked.until.map(left), &mut self.timer, before);
        let found = if looked.is_starved {
            // A descriptor that becomes free is a reason to look again.
            let freed = HostRuntime::of_process().descriptors.wait_anywhere();
            match either(pin!(polled), pin!(freed)).await {
                Either::First(found) => found?,
                Either::Second(()) => return Ok(Vec::new()),
            }
        } else {
            polled.await?
        };
        let is_found = |(place, found): (u32, Option<_>)| found.is_some().then_some(place);
        let mut ready: Vec<u32> = places.into_iter().zip(found).filter_map(is_found).collect();
        if looked.until.is_some() {
            let now = process.monotonic_time();
            let is_due = |(place, wait): &(u32, Wait<'_>)| match wait {
                Wait::Until(time) if *time <= now => Some(*place),
                _ => None,
            };
            ready.extend(waits.iter().filter_map(is_due));
            ready.sort_unstable();
        }
        Ok(ready)
    }
}

/// What `pollable` waits for, where it is one of wasock's own.
///
/// # Errors
///
/// Where it is none at all.
fn own<'a>(
    table: &'a ResourceTable,
    pollable: &Resource<DynPollable>,
) -> Result<Option<&'a Source>, ResourceTableError> {
    match table.get(&Resource::<Subscription>::new_borrow(pollable.rep())) {
        Ok(subscription) => Ok(Some(&subscription.source)),
        Err(ResourceTableError::WrongType) => Ok(None),
        Err(error) => Err(error),
    }
}

impl View<'_> {
    /// A pollable for `source`.
    ///
    /// # Errors
    ///
    /// A trap where the guest has too many.
    pub(super) fn subscribe(&mut self, source: Source) -> wasmtime::Result<Resource<DynPollable>> {
        let held = self.thread.process().host_memory().charge(POLLABLE)?;
        let process = std::sync::Arc::clone(self.thread.process());
        let subscription = Subscription { source, process, _held: held };
        let entry = self.table.push(subscription)?;
        if self.serves_io {
            return Ok(Resource::new_own(entry.rep()));
        }
        wasmtime_wasi_io::poll::subscribe(self.table, entry)
    }

    /// Waits for all of `pollables`, of which some are not wasock's.
    async fn poll_mixed(&mut self, pollables: &[Resource<DynPollable>]) -> wasmtime::Result<Vec<u32>> {
        let (mut sources, mut foreign) = (Vec::new(), Vec::new());
        for (place, pollable) in (0_u32..).zip(pollables) {
            match own(self.table, pollable)? {
                Some(source) => sources.push((place, source.clone())),
                None => foreign.push((place, pollable.rep())),
            }
        }
        let own: Vec<Listed<'_>> = sources.iter().map(|(place, source)| (*place, source)).collect();
        let process = self.thread.process();
        loop {
            let mut ready = self.state.waiting.ready(process, &own);
            let listed = foreign.iter().map(|(_, rep)| Resource::new_borrow(*rep)).collect();
            let mut theirs = pin!(others::Host::poll(self.table, listed));
            // They are asked in any case: however much is ready here, theirs is reported too.
            let mut found = poll_fn(|context| {
                Poll::Ready(match theirs.as_mut().poll(context) {
                    Poll::Ready(found) => Some(found),
                    Poll::Pending => None,
                })
            })
            .await;
            if ready.is_empty() && found.is_none() {
                let ours = pin!(self.state.waiting.wait(process, &own, None));
                match either(ours, theirs.as_mut()).await {
                    Either::First(waited) => ready = waited?,
                    Either::Second(done) => found = Some(done),
                }
            }
            let found = found.transpose()?.unwrap_or_default();
            let place = |at: u32| foreign.get(usize::try_from(at).ok()?).map(|(place, _)| *place);
            ready.extend(found.into_iter().filter_map(place));
            if !ready.is_empty() {
                ready.sort_unstable();
                return Ok(ready);
            }
        }
    }
}

impl Host for View<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        take_turn().await;
        let line = self.begin("poll", |_| format!("in={}", pollables.len()));
        let polled = match self.poll_now(&pollables) {
            Ok(Some(looked)) if !looked.ready.is_empty() => Ok(looked.ready),
            // What waits has its own memory, so that the future of a call that need not wait is small.
            Ok(looked) => Box::pin(self.poll_list(&pollables, looked)).await,
            Err(error) => Err(error),
        };
        if let Ok(ready) = &polled {
            self.note("ready", ready.len());
        }
        self.end(line, &polled);
        polled
    }
}

impl View<'_> {
    /// Looks at `pollables`, where all of them are wasock's.
    fn poll_now(&mut self, pollables: &[Resource<DynPollable>]) -> wasmtime::Result<Option<Looked>> {
        if pollables.is_empty() {
            // "This function traps if either: the list is empty, ..." - wasi:io/poll
            return Err(wasmtime::Error::msg("a poll of nothing"));
        }
        let (process, table) = (self.thread.process(), &*self.table);
        let source = |at: usize| pollables.get(at).map_or(Ok(None), |pollable| own(table, pollable));
        Ok(self.state.waiting.look_quickly(process, pollables.len(), source)?)
    }

    /// Waits for one of `pollables`, of which `looked` is what was found just now.
    async fn poll_list(
        &mut self,
        pollables: &[Resource<DynPollable>],
        looked: Option<Looked>,
    ) -> wasmtime::Result<Vec<u32>> {
        let process = self.thread.process();
        let _held = match pollables.len() {
            ..=FREE => None,
            many => {
                let bytes = u64::try_from(many).unwrap_or(u64::MAX).saturating_mul(LISTED);
                Some(process.host_memory().charge(bytes)?)
            }
        };
        let mut sources = Vec::with_capacity(pollables.len());
        for (place, pollable) in (0_u32..).zip(pollables) {
            match own(self.table, pollable)? {
                Some(source) => sources.push((place, source)),
                None => return self.poll_mixed(pollables).await,
            }
        }
        Ok(self.state.waiting.wait(process, &sources, looked).await?)
    }

    /// Waits for `pollable`.
    async fn block_on(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        match own(self.table, &pollable)? {
            Some(source) => {
                self.state.waiting.wait(self.thread.process(), &[(0, source)], None).await?;
                Ok(())
            }
            None => others::HostPollable::block(self.table, pollable).await,
        }
    }
}

impl HostPollable for View<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        match own(self.table, &pollable)? {
            Some(source) => Ok(!self.state.waiting.ready(self.thread.process(), &[(0, source)]).is_empty()),
            None => others::HostPollable::ready(self.table, pollable).await,
        }
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        take_turn().await;
        let line = self.begin("pollable.block", |_| String::new());
        let blocked = Box::pin(self.block_on(pollable)).await;
        self.end(line, &blocked);
        blocked
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        if own(self.table, &pollable)?.is_some() {
            self.table.delete(Resource::<Subscription>::new_own(pollable.rep()))?;
            return Ok(());
        }
        others::HostPollable::drop(self.table, pollable)
    }
}
