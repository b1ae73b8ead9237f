//! Instances as a service makes them for connections, one after the other and without a listener: what the
//! benches time.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::super::Guest;
use super::super::builder::WasockCtxBuilder;
use super::super::connection_options::ConnectionOptions;
use super::super::outcome::Ended;
use super::super::run::EndOfRun;
use super::super::service::Service;
use super::super::supervision::Options;
use super::super::template::Template;
use super::listener::NoNames;
use super::program::Program;
use super::pulse::Pulse;
use crate::error::Errno;
use crate::process::{ConnectionAs, GivenConnection};
use crate::socket::{Domain, Inherited, Socket};

/// Makes instances of one module for connections.
pub struct ConnectionInstances {
    program: Program,
    template: Template,
    _pulse: Arc<Pulse>,
}

/// A connection, for one instance.
pub struct OneConnection(GivenConnection);

impl ConnectionInstances {
    /// Those of `guest`, which are given what `ctx` says.
    ///
    /// # Errors
    ///
    /// Those of [`Service::run`] at its start.
    pub async fn new(guest: Guest, ctx: WasockCtxBuilder) -> wasmtime::Result<Self> {
        let template = ctx.for_connections().and_then(|ctx| ctx.template(true));
        let template = template.map_err(wasmtime::Error::new)?;
        let connections = Some(ConnectionOptions::default());
        let service = Service::supervised(template.clone(), Options::default(), connections);
        let pulse = Pulse::start().map_err(wasmtime::Error::new)?;
        let program = Program::prepare(&service, &pulse, &template, guest, 1).await?;
        Ok(Self { program, template, _pulse: pulse })
    }

    /// A connection whose peer has gone.
    ///
    /// # Errors
    ///
    /// What the host reports.
    pub fn connection(&self) -> Result<OneConnection, Errno> {
        let (near, _gone) = UnixStream::pair()?;
        let inherited = Inherited { is_shared: false, ..Inherited::inspect(near.as_fd())? };
        let names = Domain::Unix(Arc::new(Box::new(NoNames)));
        let socket = Socket::from_inherited(near.into(), inherited, names, None)?;
        Ok(OneConnection(GivenConnection::new(Arc::new(socket), ConnectionAs::Stdio)))
    }

    /// An instance for one connection, from its context to its end.
    ///
    /// # Errors
    ///
    /// Those of [`Guest::run`].
    pub async fn serve(&self, OneConnection(given): OneConnection) -> wasmtime::Result<Ended> {
        let instance = self.template.service.instance_for_connection(1);
        let ctx = self.template.context_for_connection(instance, &given, Vec::new());
        let ctx = ctx.map_err(wasmtime::Error::new)?;
        let _end = EndOfRun(Arc::clone(ctx.thread.process()));
        self.program.run(ctx, given, None).await
    }
}
