//! Makes code that computes give way.
//!
//! Instances share the threads of the workers. So while some code runs, the epochs of the engines go on, and
//! at each of them it [gives way](super::super::epoch_interrupt::give_way_at_epochs). Where nothing runs
//! nothing is done: the task sleeps until the next poll of an instance.

use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::super::epoch::Ticker;
use crate::error::Errno;
use crate::io::own_reactor;

/// For how long code may run while others wait.
const SLICE: Duration = Duration::from_millis(10);

/// After so many slices in which nothing ran the task sleeps.
const IDLE_SLICES: u32 = 10;

/// Counts the instances that run now.
#[derive(Default)]
pub(super) struct Pulse {
    running: AtomicU32,
    is_asleep: AtomicBool,
    wake: Arc<Notify>,
    tickers: Mutex<Vec<Weak<Ticker>>>,
}

impl Pulse {
    /// One whose task ends with it.
    ///
    /// # Errors
    ///
    /// Those of [`own_reactor`].
    pub(super) fn start() -> Result<Arc<Self>, Errno> {
        let pulse = Arc::<Self>::default();
        let beats = beat(Arc::downgrade(&pulse), Arc::clone(&pulse.wake));
        drop(own_reactor()?.spawn(beats));
        Ok(pulse)
    }

    /// Lets the epochs of one more engine go on.
    pub(super) fn add(&self, ticker: Option<&Arc<Ticker>>) {
        let mut tickers = self.tickers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_added =
            |known: &Weak<Ticker>| ticker.is_some_and(|ticker| ptr::eq(known.as_ptr(), Arc::as_ptr(ticker)));
        tickers.retain(|known| known.strong_count() > 0 && !is_added(known));
        tickers.extend(ticker.map(Arc::downgrade));
    }

    /// Polls an instance by `poll`.
    pub(super) fn running<T>(&self, poll: impl FnOnce() -> T) -> T {
        struct End<'a>(&'a AtomicU32);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        self.running.fetch_add(1, SeqCst);
        let _end = End(&self.running);
        // Either the task sees that something runs, or this sees that it sleeps.
        if self.is_asleep.load(SeqCst) && self.is_asleep.swap(false, SeqCst) {
            self.wake.notify_one();
        }
        poll()
    }

    fn tick(&self) {
        let tickers: Vec<_> = {
            let tickers = self.tickers.lock().unwrap_or_else(PoisonError::into_inner);
            tickers.iter().filter_map(Weak::upgrade).collect()
        };
        tickers.iter().for_each(|ticker| ticker.tick());
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

async fn beat(pulse: Weak<Pulse>, wake: Arc<Notify>) {
    let mut idle = 0;
    loop {
        if idle >= IDLE_SLICES {
            idle = 0;
            let sleeps = {
                let Some(pulse) = pulse.upgrade() else { return };
                pulse.is_asleep.store(true, SeqCst);
                pulse.running.load(SeqCst) == 0
            };
            if sleeps {
                wake.notified().await;
            }
        }
        tokio::time::sleep(SLICE).await;
        let Some(pulse) = pulse.upgrade() else { return };
        if pulse.running.load(SeqCst) > 0 {
            idle = 0;
            pulse.tick();
        } else {
            idle += 1;
        }
    }
}
