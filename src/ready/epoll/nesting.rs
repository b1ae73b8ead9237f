//! Epolls that watch epolls: no loops, no long chains, not too many of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Context;

use super::{Epoll, Request, unpoisoned};
use crate::error::Errno;
use crate::io::{Events, Pollable};

/// How many epolls one chain may have: "a nesting depth of epoll instances greater than
/// 5" - epoll_ctl(2), ELOOP.
const MOST_NESTED: usize = 5;

/// How many chains may go through one link. Linux has such limits too, by depth.
const MOST_CHAINS: usize = 1000;

/// Held while one epoll of a guest is made to watch another, so that two threads can't close a
/// loop between them. What is done under it goes by the number of epolls, which is bounded, and not
/// by that of entries.
#[derive(Debug, Default)]
pub struct Nesting(Mutex<()>);

impl Nesting {
    fn lock(&self) -> MutexGuard<'_, ()> {
        unpoisoned(&self.0)
    }
}

/// What begins at an epoll, upwards or downwards.
struct Chains {
    /// How many epolls the longest has.
    longest: usize,
    count: usize,
    /// The addresses of all that are in one.
    all: HashSet<usize>,
}

impl Epoll {
    /// As [`add`](Self::add), for a `target` that stands for an epoll, `inner`.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add); `ELOOP` where epolls would watch one another, or too many in a
    /// chain.
    pub fn add_epoll(
        self: &Arc<Self>,
        fd: u32,
        target: &Arc<dyn Pollable>,
        inner: &Arc<Self>,
        request: Request,
    ) -> Result<(), Errno> {
        let _alone = self.nesting.lock();
        self.check_nesting(inner)?;
        self.insert(fd, target, request, Some(inner))?;
        note(&inner.parents, self);
        note(&self.children, inner);
        Ok(())
    }

    /// # Errors
    ///
    /// `ELOOP`.
    fn check_nesting(self: &Arc<Self>, inner: &Arc<Self>) -> Result<(), Errno> {
        let above = self.chains(Self::parents);
        let below = inner.chains(Self::children);
        let is_loop = below.all.contains(&Arc::as_ptr(self).addr());
        // "ELOOP: fd refers to an epoll instance and this EPOLL_CTL_ADD operation would
        // result in a circular loop of epoll instances monitoring one another or a nesting
        // depth of epoll instances greater than 5." - epoll_ctl(2). The shortest loop, an epoll
        // that watches itself, is `EINVAL` where the call comes from a guest.
        if is_loop || above.longest + below.longest > MOST_NESTED {
            return Err(Errno::ELOOP);
        }
        // A poll descends into each of them.
        if above.count.saturating_mul(below.count) > MOST_CHAINS {
            return Err(Errno::ELOOP);
        }
        Ok(())
    }

    /// The chains of epolls that begin here. None is longer than [`MOST_NESTED`], and
    /// none is a loop.
    fn chains(self: &Arc<Self>, next: fn(&Self) -> Vec<Arc<Self>>) -> Chains {
        let address = |epoll: &Arc<Self>| Arc::as_ptr(epoll).addr();
        let mut chains = Chains { longest: 0, count: 0, all: HashSet::new() };
        let mut row = HashMap::from([(address(self), (Arc::clone(self), 1_usize))]);
        while !row.is_empty() && chains.longest <= MOST_NESTED {
            chains.longest += 1;
            let mut after: HashMap<usize, (Arc<Self>, usize)> = HashMap::new();
            for (at, (epoll, count)) in row {
                chains.all.insert(at);
                chains.count = chains.count.saturating_add(count);
                for other in next(&epoll) {
                    let (_, known) = after.entry(address(&other)).or_insert((other, 0));
                    *known = known.saturating_add(count);
                }
            }
            row = after;
        }
        chains
    }

    fn children(&self) -> Vec<Arc<Self>> {
        unpoisoned(&self.children).iter().filter_map(Weak::upgrade).collect()
    }

    fn parents(&self) -> Vec<Arc<Self>> {
        unpoisoned(&self.parents).iter().filter_map(Weak::upgrade).collect()
    }
}

/// Adds `epoll`, unless it is there.
fn note(known: &Mutex<Vec<Weak<Epoll>>>, epoll: &Arc<Epoll>) {
    let mut known = unpoisoned(known);
    known.retain(|each| each.strong_count() > 0);
    if !known.iter().any(|each| is(each, epoll)) {
        known.push(Arc::downgrade(epoll));
    }
}

pub(super) fn forget_one(known: &Mutex<Vec<Weak<Epoll>>>, epoll: &Epoll) {
    unpoisoned(known).retain(|each| !is(each, epoll));
}

pub(super) fn is(one: &Weak<Epoll>, other: &Epoll) -> bool {
    std::ptr::eq(one.as_ptr(), other)
}

impl Pollable for Epoll {
    fn register(&self, mask: Events, context: &mut Context<'_>) -> bool {
        if !mask.are_of_readers() {
            return false;
        }
        // The look that follows arms the wakers of what is listed.
        self.list.watchers().add(context.waker());
        self.kernel.register(context)
    }

    fn look(&self) -> Events {
        // "An epoll file descriptor ... If [it] has events waiting, then it will indicate
        // as being readable." - epoll(7)
        Events::IN.when(self.has_ready())
    }
}
