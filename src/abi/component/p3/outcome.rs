//! How a stream has ended, which a future of the guest's tells.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use super::sockets::types::ErrorCode;
use crate::abi::component::Code;
use crate::error::Errno;
use crate::io::Watchers;

/// The end of a stream: told once, by whichever comes first.
#[derive(Clone, Default)]
pub(super) struct Outcome(Arc<Shared>);

#[derive(Default)]
struct Shared {
    outcome: Mutex<Option<Result<(), Errno>>>,
    told: Watchers,
}

impl Outcome {
    /// Tells how the stream has ended, unless that was told before.
    pub(super) fn tell(&self, outcome: Result<(), Errno>) {
        self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(outcome);
        self.0.told.wake_all();
    }

    /// Waits for it: what the guest's future is made of.
    pub(super) async fn told(self) -> wasmtime::Result<Result<(), ErrorCode>> {
        let outcome = poll_fn(|context| {
            // First it is watched, then asked: no end lies between.
            self.0.told.add(context.waker());
            match *self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(outcome) => Poll::Ready(outcome),
                None => Poll::Pending,
            }
        });
        Ok(outcome.await.map_err(|errno| Code::from(errno).into()))
    }
}
