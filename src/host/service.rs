//! A service, as an embedder has it.

use std::sync::Arc;

use super::builder::BuildError;
use super::ctx::WasockCtx;
use super::guest_memory::MemorySource;
use super::limiter::MakeLimiter;
use super::on_trap::OnTrap;
use crate::error::Errno;
use crate::observe::TraceSink;
use crate::process::{Process, Settings, Thread};
use crate::service;

/// What outlives the instances of a guest: the policy, the limits, the observer, and with
/// [`WasockCtxBuilder::keep_listeners`](super::WasockCtxBuilder::keep_listeners) the listeners.
///
/// Cheap to clone. Each context has one; a context that this one makes is for another instance
/// of the same service, which may run while earlier ones do.
///
/// An instance that binds to the address of a held listener gets that very socket, as long as
/// no live instance in the same place (its generation and worker) has it. So clients that connect
/// between two instances wait in the queue, and none is refused. One that listens at a port of
/// the host's choice gets the port that the instance before it had.
#[derive(Clone)]
pub struct Service {
    service: Arc<service::Service>,
    settings: Arc<Settings>,
    trace: Option<Arc<dyn TraceSink>>,
    on_trap: OnTrap,
    make_limiter: Option<MakeLimiter>,
}

impl WasockCtx {
    /// The service that this context is an instance of.
    pub fn service(&self) -> Service {
        let process = self.thread.process();
        Service {
            service: Arc::clone(process.service()),
            settings: Arc::clone(process.settings()),
            trace: self.trace.clone(),
            on_trap: self.on_trap,
            make_limiter: self.limiter.make_own(),
        }
    }
}

impl Service {
    /// A context for the first instance of the next generation. While an earlier generation
    /// lives, what the new one sets on held sockets (options, the backlog) takes effect when it
    /// is [ready](super::Handle::ready).
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn next_generation(&self) -> Result<WasockCtx, BuildError> {
        self.context(self.service.next_generation())
    }

    /// A context for one more worker of the newest generation: an instance that listens at the
    /// same sockets. `number` tells it from the others of its generation, of which the first one
    /// is 0.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn worker(&self, number: u32) -> Result<WasockCtx, BuildError> {
        self.context(self.service.worker(number))
    }

    /// How many listeners are held.
    pub fn held_listeners(&self) -> usize {
        self.service.held_count()
    }

    /// Holds no listener any more: those that no instance has open are closed, and clients that
    /// wait there are reset. The others close with their instances.
    pub fn release_listeners(&self) {
        self.service.let_go();
    }

    fn context(&self, instance: service::Instance) -> Result<WasockCtx, BuildError> {
        let process = Process::new(instance, Arc::clone(&self.settings)).map_err(|errno| match errno {
            Errno::EMFILE => BuildError::TooFewDescriptors,
            other => BuildError::Socket(other),
        })?;
        let memory = MemorySource::of_any_instance();
        let mut ctx = WasockCtx::of(Thread::new(process), memory, self.trace.clone(), self.on_trap);
        ctx.limiter.ask_too(self.make_limiter.clone());
        Ok(ctx)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("held_listeners", &self.held_listeners()).finish_non_exhaustive()
    }
}
