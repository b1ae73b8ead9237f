//! Descriptors and the kernel's poll, as far as a sleeper sees them.

use std::sync::Arc;

use crate::error::Errno;
use crate::sync::Mutex;
use shuttle::sync::Condvar;

pub(crate) type PollInterest = Arc<Descriptor>;

/// Nothing here looks at what was found.
pub(crate) type PollAnswer = ();

/// Something that becomes ready.
#[derive(Default)]
pub(crate) struct Descriptor {
    state: Mutex<(bool, Vec<Arc<Sleep>>)>,
}

/// A poll that may be going on.
#[derive(Default)]
struct Sleep {
    state: Mutex<Ends>,
    changed: Condvar,
}

#[derive(Default)]
struct Ends {
    was_woken: bool,
    is_ready: bool,
}

impl Descriptor {
    pub(crate) fn set_ready(&self) {
        let sleeps = {
            let mut state = self.state.lock().unwrap();
            state.0 = true;
            std::mem::take(&mut state.1)
        };
        for sleep in sleeps {
            sleep.state.lock().unwrap().is_ready = true;
            sleep.changed.notify_all();
        }
    }

    /// Was it ready? It is not any more.
    pub(crate) fn take(&self) -> bool {
        std::mem::take(&mut self.state.lock().unwrap().0)
    }
}

pub(super) struct WakeFd(Arc<Sleep>);

impl WakeFd {
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self(Arc::default()))
    }

    pub(super) fn wake(&self) {
        self.0.state.lock().unwrap().was_woken = true;
        self.0.changed.notify_all();
    }

    pub(super) fn poll(&self, watched: &[PollInterest]) -> Result<Vec<PollAnswer>, Errno> {
        self.0.state.lock().unwrap().is_ready = false;
        for descriptor in watched {
            let mut state = descriptor.state.lock().unwrap();
            if state.0 {
                drop(state);
                return Ok(Vec::new());
            }
            state.1.push(Arc::clone(&self.0));
        }
        let mut ends = self.0.state.lock().unwrap();
        while !ends.was_woken && !ends.is_ready {
            ends = self.0.changed.wait(ends).unwrap();
        }
        Ok(Vec::new())
    }

    pub(super) fn reset(&self) {
        let mut ends = self.0.state.lock().unwrap();
        while !ends.was_woken {
            ends = self.0.changed.wait(ends).unwrap();
        }
        ends.was_woken = false;
    }
}

/// Whoever has it in an epoll hears of it only while its thread sleeps, or is on its way out.
impl Drop for WakeFd {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.0.state.lock().unwrap().was_woken, "it still rings");
        }
    }
}
