//! What the contexts of a service are made of.

use std::sync::Arc;

use super::WasockCtx;
use super::guest_memory::MemorySource;
use super::limiter::MakeLimiter;
use super::on_trap::OnTrap;
use crate::error::Errno;
use crate::observe::TraceSink;
use crate::process::{GivenConnection, Process, Settings, Thread};
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
        Ok(self.context_of(Process::new(instance, Arc::clone(&self.settings))?))
    }

    /// A context for this instance, which serves one connection that `variables` describe.
    ///
    /// # Errors
    ///
    /// Those of [`Process::for_connection`].
    pub(super) fn context_for_connection(
        &self,
        instance: service::Instance,
        given: &GivenConnection,
        variables: Vec<String>,
    ) -> Result<WasockCtx, Errno> {
        let settings = Arc::clone(&self.settings);
        Ok(self.context_of(Process::for_connection(instance, settings, given, variables)?))
    }

    pub(super) fn context_of(&self, process: Arc<Process>) -> WasockCtx {
        let memory = MemorySource::of_any_instance();
        let mut ctx = WasockCtx::of(Thread::new(process), memory, self.trace.clone(), self.on_trap);
        ctx.limiter.ask_too(self.make_limiter.clone());
        ctx
    }
}
