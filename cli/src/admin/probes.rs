//! `--probes`: `/healthz`, `/readyz` and `/metrics` for whoever can connect.
//!
//! An orchestrator and a collector of metrics come over a network: to the address of a pod, where nothing that is
//! at a loopback address can be reached. What they ask changes nothing and names no client, so it takes no token.
//! The connections are bounded as those of `--admin`, and apart from these: a flood here keeps no operator
//! out.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, Result};
use wasock::Service;

use super::routes::{Access, State};
use super::{answer_on_a_thread, server};
use crate::args::RunArgs;
use crate::reload::Reloader;
use crate::report::say;
use crate::sockets;

/// A socket for probes that listens, and takes no connection yet.
pub(crate) struct Probes {
    listener: TcpListener,
    address: SocketAddr,
}

impl Probes {
    /// Listens where `args` say, if they do.
    ///
    /// # Errors
    ///
    /// Where it can't be listened there.
    pub(crate) fn bind(args: &RunArgs) -> Result<Option<Self>> {
        let Some(place) = &args.admin.probes else { return Ok(None) };
        let failed = || format!("cannot answer probes at {place} (--probes)");
        let opened = sockets::listen(place).with_context(failed)?;
        let listener = TcpListener::from(opened.into_iter().next().with_context(failed)?);
        let address = listener.local_addr().with_context(failed)?;
        Ok(Some(Self { listener, address }))
    }

    /// Answers from now on.
    ///
    /// # Errors
    ///
    /// Where the host has no thread for it, or no descriptors.
    pub(crate) fn serve(self, service: &Service, reloader: Reloader) -> Result<()> {
        say!("wasock: probes at {}", self.address);
        let state = State::new(service.clone(), reloader, Access::Probes);
        let accepts = || server::Accepts::inet(self.listener);
        answer_on_a_thread("wasock-probes", accepts, state).context("cannot answer probes (--probes)")
    }
}
