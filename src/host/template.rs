//! What the contexts of a service are made of.

use std::sync::Arc;

use super::WasockCtx;
use super::guest_memory::MemorySource;
use super::limiter::MakeLimiter;
use super::on_trap::OnTrap;
use crate::error::Errno;
use crate::observe::TraceSink;
use crate::process::{Process, Settings, Thread};
use crate::service;

/// Makes the contexts of one service.
#[derive(Clone)]
pub(super) struct Template {
    pub(super) service: Arc<service::ServiceState>,
    pub(super) settings: Arc<Settings>,
    pub(super) trace: Option<Arc<TraceSink>>,
    pub(super) on_trap: OnTrap,
    pub(super) make_limiter: Option<MakeLimiter>,
}

impl Template {
    /// That of the service of `ctx`.
    pub(super) fn of(ctx: &WasockCtx) -> Self {
        let process = ctx.thread.process();
        Self {
            service: Arc::clone(process.service()),
            settings: Arc::clone(process.settings()),
            trace: ctx.trace.clone(),
            on_trap: ctx.on_trap,
            make_limiter: ctx.limiter.make_own(),
        }
    }

    /// A context for this instance.
    ///
    /// # Errors
    ///
    /// Those of [`Process::new`].
    pub(super) fn context(&self, instance: service::Instance) -> Result<WasockCtx, Errno> {
        let process = Process::new(instance, Arc::clone(&self.settings))?;
        let memory = MemorySource::of_any_instance();
        let mut ctx = WasockCtx::of(Thread::new(process), memory, self.trace.clone(), self.on_trap);
        ctx.limiter.ask_too(self.make_limiter.clone());
        Ok(ctx)
    }
}
