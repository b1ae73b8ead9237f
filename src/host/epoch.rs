//! Which code owns the epoch of an engine and increments it.
//!
//! Wasmtime has one count of epochs for all stores of an [`Engine`]. An increment interrupts
//! code that runs in any of them, at its next loop or call. So an increment for
//! one guest reaches every other store of the engine, and a store whose deadline is some
//! epochs away comes closer to it.
//!
//! wasock increments the epoch of an engine only if it manages it: of one that [it
//! made](super::Guest::new_engine), or whose owner [allows it](Epochs::Managed). It does that at a
//! bounded rate, whatever guests do, and only for a moment after a request. Its callbacks check
//! what is pending for their own guest: an increment by itself means nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::{Engine, EngineWeak};

use crate::io::own_reactor;

/// The shortest time between two increments.
pub(super) const INTERVAL: Duration = Duration::from_millis(5);

/// How many increments follow a requested one. Code that checked just before the request, and
/// sets its next deadline after the increment, is reached by one of these.
const REPEATS: u32 = 4;

/// What an increment of the engine's epoch means to a guest of [`Guest::run`](super::Guest::run).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Epochs {
    /// The epoch is the embedder's, and each increment is an order: the guest ends with
    /// [`wasmtime::Trap::Interrupt`]. The default for an engine of the embedder's.
    ///
    /// Signals, limits and [`Handle::terminate`](super::Handle::terminate) take effect at
    /// the guest's next call of the host.
    EndGuest,
    /// The epoch is the embedder's, and increments come regularly. At each of them the
    /// guest's code checks for signals, for its limits, and whether it is to end; an
    /// increment alone ends nothing.
    Ticks,
    /// wasock increments it, at most 200 times a second and only while something is pending
    /// for some guest, and an increment by itself ends nothing. What an engine of
    /// [`Guest::new_engine`](super::Guest::new_engine) has.
    ///
    /// Every store of the engine counts these epochs: a store whose own deadline matters
    /// belongs in another engine.
    Managed,
}

/// Increments the epoch of one engine.
pub(super) struct Ticker {
    engine: EngineWeak,
    state: Mutex<TickerState>,
}

#[derive(Default)]
struct TickerState {
    last: Option<Instant>,
    /// How many increments are to follow.
    left: u32,
    has_task: bool,
}

/// Those of all engines whose epoch wasock manages. It is a property of an engine, for which
/// Wasmtime has no place: so there is one list for all engines of the process.
static TICKERS: Mutex<Vec<Arc<Ticker>>> = Mutex::new(Vec::new());

impl Ticker {
    /// The one of `engine`, if there is one.
    pub(super) fn known(engine: &Engine) -> Option<Arc<Self>> {
        locked(&TICKERS).iter().find(|ticker| ticker.is_of(engine)).cloned()
    }

    /// The one of `engine`, whose epoch is wasock's to increment.
    pub(super) fn of(engine: &Engine) -> Arc<Self> {
        let mut tickers = locked(&TICKERS);
        tickers.retain(|ticker| ticker.engine.upgrade().is_some());
        if let Some(known) = tickers.iter().find(|ticker| ticker.is_of(engine)) {
            return Arc::clone(known);
        }
        let ticker = Arc::new(Self { engine: engine.weak(), state: Mutex::default() });
        tickers.push(Arc::clone(&ticker));
        ticker
    }

    fn is_of(&self, engine: &Engine) -> bool {
        self.engine.upgrade().is_some_and(|own| Engine::same(&own, engine))
    }

    /// Interrupts running code soon, for something that it may not have seen yet.
    pub(super) fn request(self: &Arc<Self>) {
        {
            let mut state = locked(&self.state);
            self.increment_if_due(&mut state);
            state.left = REPEATS;
            if std::mem::replace(&mut state.has_task, true) {
                return;
            }
        }
        match own_reactor() {
            Ok(reactor) => {
                let ticker = Arc::clone(self);
                reactor.spawn(async move { ticker.repeat().await });
            }
            // A host without a thread for its clock increments at once, without the rate limit.
            Err(_) => {
                locked(&self.state).has_task = false;
                self.increment();
            }
        }
    }

    /// Interrupts running code once, unless that was just done.
    pub(super) fn tick(&self) {
        self.increment_if_due(&mut locked(&self.state));
    }

    async fn repeat(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let mut state = locked(&self.state);
            if state.left == 0 {
                state.has_task = false;
                return;
            }
            state.left -= 1;
            self.increment_if_due(&mut state);
        }
    }

    fn increment_if_due(&self, state: &mut TickerState) {
        let now = Instant::now();
        if state.last.is_none_or(|last| now.duration_since(last) >= INTERVAL) {
            state.last = Some(now);
            self.increment();
        }
    }

    fn increment(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.increment_epoch();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind each of them is consistent whenever it is unlocked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
