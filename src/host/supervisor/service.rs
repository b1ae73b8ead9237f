//! A service, as its embedder steers it.

use std::time::Duration;

use tokio::sync::oneshot;

use super::super::builder::BuildError;
use super::super::outcome::Ended;
use super::super::service::Service;
use super::super::steps::drive;
use super::super::supervision::{Release, Reload, ReloadError};
use super::super::template::Template;
use super::super::{Guest, Handle, WasockCtxBuilder, per_connection};
use super::Supervisor;
use crate::observe::Metrics;
use crate::process::Signal;

impl Service {
    /// Runs `guest` as the first generation, until the service ends: by its instances, as
    /// [`Restart`](crate::Restart) says, or by [`drain`](Self::drain). Each instance has a thread of its own.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends every instance.
    ///
    /// # Errors
    ///
    /// Those of [`Guest::run`] for the instance that ended last.
    pub async fn run(&self, guest: Guest) -> wasmtime::Result<Ended> {
        if self.supervision().connections.is_some() {
            return per_connection::run(self, guest).await;
        }
        let mut supervisor = Supervisor::new(self.clone());
        supervisor.start_generation(Release { guest, template: self.template().clone() }, None);
        drive(self.inner().changes(), move |now| supervisor.step(now)).await
    }

    /// Starts `guest` as the next generation, and retires the one that serves when the new one is
    /// ready. Returns its number then. A reload that comes while another one is not done yet waits
    /// for that. A new generation is best in an engine of its own.
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped, the reload goes on.
    ///
    /// # Errors
    ///
    /// See [`ReloadError`]: nothing has changed then, and the old generation goes on. In
    /// [`ReloadMode::Sequential`](crate::ReloadMode::Sequential) it has been started anew.
    pub async fn reload(&self, guest: Guest) -> Result<u32, ReloadError> {
        self.order_reload(guest, None).await
    }

    /// The same, with other settings: its policy, limits, arguments, environment, directories and
    /// whatever else `ctx` says. The service keeps its observer and the sockets that were given to it
    /// ([`preopened_socket`](WasockCtxBuilder::preopened_socket),
    /// [`adoptable_socket`](WasockCtxBuilder::adoptable_socket)): what `ctx` has of those is dropped.
    /// Connections that were accepted before count towards the new limits, if they counted towards
    /// any.
    ///
    /// # Cancel safety
    ///
    /// As for [`reload`](Self::reload).
    ///
    /// # Errors
    ///
    /// As for [`reload`](Self::reload); [`ReloadError::Settings`].
    pub async fn reload_with(&self, guest: Guest, ctx: WasockCtxBuilder) -> Result<u32, ReloadError> {
        let refuse = |error: BuildError| ReloadError::Settings(error.to_string());
        let ctx = match &self.supervision().connections {
            Some(_) => ctx.for_connections().map_err(refuse)?,
            None => ctx,
        };
        let template = ctx.template_after(self.template());
        let template = template.map_err(refuse)?;
        self.order_reload(guest, Some(template)).await
    }

    async fn order_reload(&self, guest: Guest, template: Option<Template>) -> Result<u32, ReloadError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut orders = self.supervision().orders();
            if !orders.is_running || orders.drains {
                return Err(ReloadError::NotRunning);
            }
            orders.reloads.push_back(Reload { guest, template, reply });
        }
        self.inner().changed();
        answer.await.unwrap_or(Err(ReloadError::NotRunning))
    }

    /// Ends the service gracefully: nobody is let in any more, and [`run`](Self::run) returns once
    /// the connections have ended, or with what is left of them reset after the
    /// [time for that](super::ServiceBuilder::drain_timeout).
    pub fn drain(&self) {
        self.supervision().orders().drains = true;
        self.inner().changed();
    }

    /// What was counted so far.
    pub fn metrics(&self) -> Metrics {
        self.inner().report().metrics()
    }

    /// As [`Handle::flush_events`].
    ///
    /// # Blocking
    ///
    /// Stops its thread.
    pub fn flush_events(&self, limit: Duration) -> bool {
        self.inner().report().flush(limit)
    }

    /// Sends a signal to every instance, as [`Handle::signal`] does. SIGINT, SIGTERM and SIGQUIT,
    /// with which a user ends a program, are the end of the service where an instance exits by them
    /// or later: it does not start anew. One that handles them, lives on and traps does. Reloads that were asked for
    /// before it, and are not done, fail with [`ReloadError::NotRunning`](crate::ReloadError::NotRunning).
    pub fn signal(&self, signal: Signal) {
        {
            let mut orders = self.supervision().orders();
            orders.ends_living |= matches!(signal, Signal::Int | Signal::Term | Signal::Quit);
        }
        self.supervision().handles().iter().for_each(|handle| handle.signal(signal));
    }

    /// Does an instance handle signals? One that serves [one connection](super::ServiceBuilder::per_connection)
    /// does not count: a signal to the service is not its own.
    pub fn handles_signals(&self) -> bool {
        self.supervision().orders().live.iter().any(Handle::handles_signals)
    }

    /// Ends every instance at once, and the service with them: [`run`](Self::run) fails with
    /// [`Terminated::Order`](crate::Terminated::Order).
    pub fn terminate(&self) {
        {
            let mut orders = self.supervision().orders();
            (orders.stops, orders.is_terminated) = (true, true);
        }
        // First of all: the process may end before each of them has.
        for handle in self.supervision().live.handles() {
            handle.reset_connections();
        }
        self.supervision().handles().iter().for_each(Handle::terminate);
        self.inner().changed();
    }
}
