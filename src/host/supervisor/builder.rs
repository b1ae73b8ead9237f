//! What an embedder chooses for a service.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::Duration;

use super::super::builder::{BuildError, WasockCtxBuilder};
use super::super::connection_options::{ConnectionOptions, GivenListener};
use super::super::service::Service;
use super::super::supervision::{Options, ReloadMode, Restart};
use crate::process::{ConnectionAs, Signal};

/// Builds a [`Service`] that starts, restarts, reloads and drains its instances by itself.
///
/// The defaults: one worker, no restart, a reload that overlaps, 10 s for a new generation to be
/// ready, 30 s for an old one to drain, no signal to one that drains, 8 generations at once.
#[must_use = "a builder is of use once it is built"]
pub struct ServiceBuilder {
    ctx: WasockCtxBuilder,
    options: Options,
    connections: ConnectionOptions,
}

impl Service {
    /// A service whose instances are given what `ctx` says. It holds their listeners, and the
    /// datagram sockets whose port was not left to the host, as long as it lives.
    ///
    /// ```no_run
    /// use wasock::{Guest, Restart, Service, WasockCtx};
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let ctx = WasockCtx::builder().listen(&"127.0.0.1:8080".parse()?);
    /// let service = Service::builder(ctx).restart(Restart::OnFailure).workers(2).build()?;
    /// // Each generation has an engine of its own.
    /// let load = || {
    ///     let engine = Guest::new_engine(&Guest::engine_config())?;
    ///     Guest::load(&engine, "server.wasm".as_ref()).map_err(wasmtime::Error::new)
    /// };
    /// let running = tokio::spawn({
    ///     let (service, guest) = (service.clone(), load()?);
    ///     async move { service.run(guest).await }
    /// });
    /// // Later, with another server.wasm: no client notices.
    /// service.reload(load()?).await?;
    /// service.drain();
    /// running.await??;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(ctx: WasockCtxBuilder) -> ServiceBuilder {
        ServiceBuilder { ctx, options: Options::default(), connections: ConnectionOptions::default() }
    }
}

impl ServiceBuilder {
    /// When an instance that has ended is started anew: at once the first time, then after
    /// 100 ms, doubling to 10 s, and at once again after an instance that lived for 10 s. Five
    /// in a row of one worker that lived less than a second each end the service, unless another worker is
    /// well (it lives, or lived for a second last time): then that one is started each 10 s.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.options.restart = restart;
        self
    }

    /// How many equal instances serve at once, each on a thread of its own and with a memory of
    /// its own; one at least.
    pub fn workers(mut self, workers: u32) -> Self {
        self.options.workers = workers.max(1);
        self
    }

    /// How a reload goes from one generation to the next.
    pub fn reload_mode(mut self, mode: ReloadMode) -> Self {
        self.options.reload_mode = mode;
        self
    }

    /// How long a new generation may take to listen wherever the old one does. One that listens at
    /// least somewhere by then takes over; any other is ended, and the old one goes on.
    ///
    /// From then on it has to live for 100 ms more before it takes over, or for a second where the old one
    /// listens nowhere: one that listens and dies at once is of no use.
    pub fn ready_timeout(mut self, time: Duration) -> Self {
        self.options.ready_timeout = time;
        self
    }

    /// How long a retired instance may go on with its connections. Then they are reset.
    pub fn drain_timeout(mut self, time: Duration) -> Self {
        self.options.drain_timeout = time;
        self
    }

    /// Has an instance that drains see the end of a connection through which nothing has gone for so
    /// long, with nothing unread: as if its peer had ended it. Servers close it then by themselves. Not
    /// done unless this is called.
    pub fn drain_idle(mut self, time: Duration) -> Self {
        self.ctx = self.ctx.drain_idle(time);
        self
    }

    /// Sends this signal to an instance when it is retired, for programs that take it as
    /// *gracefully*. For most servers SIGTERM means *now*. In [`ReloadMode::Sequential`] it is
    /// SIGTERM unless this is called.
    pub fn drain_signal(mut self, signal: Signal) -> Self {
        self.options.drain_signal = Some(signal);
        self
    }

    /// How many generations may live at once, two at least: one more reload ends the one that has
    /// drained longest.
    pub fn max_generations(mut self, generations: usize) -> Self {
        self.options.max_generations = generations.max(2);
        self
    }

    /// Has the service accept at `listener`, and make an instance for each connection, which ends
    /// with it. Repeatable. The listener listens already; keep no clone of it, for its options and its
    /// backlog are the service's. Which peers are accepted is for the policy to say, and no grant is
    /// needed to listen.
    ///
    /// The instance finds the connection [as standard input and output](ConnectionAs::Stdio), unless
    /// [`connection_as`](Self::connection_as) says otherwise. A trap, a limit or a failing exit code is
    /// the end of its connection alone, which is reset after the first two, and is
    /// [reported](crate::Event::InstanceFailed). [`workers`](Self::workers) is how many threads accept; each
    /// runs the instances of what it has accepted, unless [an executor of yours](Self::connections_on) does. [`restart`](Self::restart) has no meaning here, and a
    /// reload always [overlaps](ReloadMode::Overlap).
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it does not listen.
    pub fn per_connection(mut self, listener: impl Into<OwnedFd>) -> io::Result<Self> {
        self.connections.listeners.push(GivenListener::new(listener.into(), false)?);
        Ok(self)
    }

    /// As [`per_connection`](Self::per_connection), for a listener that others have too: the service
    /// manager that passed it to this process, or you, by a clone. It goes on when the service ends, and
    /// whoever waits there then is theirs. Its options, its backlog and its name stay as they are;
    /// `O_NONBLOCK` is set while the service accepts, and restored.
    ///
    /// # Errors
    ///
    /// As for `per_connection`.
    pub fn per_connection_shared(mut self, listener: impl Into<OwnedFd>) -> io::Result<Self> {
        self.connections.listeners.push(GivenListener::new(listener.into(), true)?);
        Ok(self)
    }

    /// Runs the instances [for connections](Self::per_connection) as tasks of an executor of yours, in
    /// place of threads of the service's own: `spawn` is given what accepts, once for each
    /// [worker](Self::workers), and each instance, and has the executor run it to its end. Two instances
    /// run at a time where the executor has threads for that.
    ///
    /// ```no_run
    /// # use wasock::{Service, WasockCtx};
    /// # fn build(listener: std::net::TcpListener) -> Result<Service, Box<dyn std::error::Error>> {
    /// let runtime = tokio::runtime::Handle::current();
    /// let ctx = WasockCtx::builder().sockets_on(&runtime);
    /// let service = Service::builder(ctx)
    ///     .per_connection(listener)?
    ///     .connections_on(move |task| drop(runtime.spawn(task)))
    ///     .build()?;
    /// # Ok(service)
    /// # }
    /// ```
    ///
    /// Any executor will do: a task needs no driver of it, and code of a guest that computes gives way every
    /// 10 ms. Calls on files move to other threads, unless
    /// [`blocks_on_files`](WasockCtxBuilder::blocks_on_files) is set. A module with threads has
    /// threads of its own all the same. Where the executor drops a task before the service has ended,
    /// [`Service::run`] fails.
    pub fn connections_on(
        mut self,
        spawn: impl Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync + 'static,
    ) -> Self {
        self.connections.spawn = Some(Box::new(spawn));
        self
    }

    /// How an instance finds the connection that it was [made for](Self::per_connection).
    pub fn connection_as(mut self, connection_as: ConnectionAs) -> Self {
        self.connections.shown_as = connection_as;
        self
    }

    /// How many instances may live at once, 1024 unless this is called, one at least, where each
    /// serves [one connection](Self::per_connection): those of a generation that drains count too.
    /// Who comes when there are as many waits in the queue of the listener.
    pub fn max_instances(mut self, instances: u32) -> Self {
        self.connections.max_instances = instances.max(1);
        self
    }

    /// The service, of which nothing runs yet.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn build(self) -> Result<Service, BuildError> {
        let Self { ctx, options, connections } = self;
        if connections.listeners.is_empty() {
            return Ok(Service::supervised(ctx.keep_listeners(true).template(true)?, options, None));
        }
        let template = ctx.keep_listeners(true).for_connections()?.template(true)?;
        Ok(Service::supervised(template, options, Some(connections)))
    }
}
