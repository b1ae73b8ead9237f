//! `wasi:sockets/ip-name-lookup`.

use std::net::IpAddr;
use std::sync::Arc;
use std::vec::IntoIter;

use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::DynPollable;

use super::SocketError;
use super::network::Network;
use super::sockets::ip_name_lookup::{Host, HostResolveAddressStream};
use super::sockets::network::{ErrorCode, IpAddress};
use super::source::Source;
use crate::abi::component::name::{Named, RESOLVE, host, may_look_up, shown};
use crate::abi::component::{Code, View};
use crate::error::Errno;
use crate::io::Pollable;
use crate::process::Background;

type Found = Result<IntoIter<IpAddr>, Errno>;

/// A look-up, and what it has found.
pub struct LookUp(Background<Found>);

impl LookUp {
    /// What says when it is done, where it is not.
    pub(super) fn pending(&self) -> Option<&dyn Pollable> {
        match self.0.look(|_| ()) {
            Some(()) => None,
            None => Some(&self.0),
        }
    }
}

/// "resource resolve-address-stream" - wasi:sockets/ip-name-lookup
pub enum ResolveAddressStream {
    /// An address is its own name.
    Known(Option<IpAddr>),
    LookUp(Arc<LookUp>),
}

impl Host for View<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        self.traced(
            RESOLVE,
            |_| shown(&name),
            |view| {
                view.table.get(&network)?;
                let stream = match host(&name)? {
                    Named::Address(ip) => ResolveAddressStream::Known(Some(ip)),
                    Named::Domain(domain) => ResolveAddressStream::LookUp(view.look_up(domain)?),
                };
                Ok(view.table.push(stream)?)
            },
        )
    }
}

impl View<'_> {
    fn look_up(&self, name: String) -> Result<Arc<LookUp>, SocketError> {
        let process = Arc::clone(self.thread.process());
        if !may_look_up(&process, &name) {
            // "A permanent failure in name resolution occurred. (EAI_FAIL)": there is no code for this one.
            return Err(SocketError::Code(ErrorCode::PermanentResolverFailure));
        }
        let finder = Arc::clone(&process);
        let work = async move {
            let mut found = finder.look_up(name).await?;
            finder.policy().put_reachable_first(&mut found, None);
            Ok(found.into_iter())
        };
        Ok(Arc::new(LookUp(Background::start(&process, "looked a name up", work)?)))
    }
}

impl HostResolveAddressStream for View<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        self.traced(
            "resolve-address-stream.resolve-next-address",
            |_| String::new(),
            |view| {
                let next = match view.table.get_mut(&stream)? {
                    ResolveAddressStream::Known(known) => known.take(),
                    ResolveAddressStream::LookUp(look_up) => {
                        let next = look_up.0.look(|found| match found {
                            Ok(addresses) => Ok(addresses.next()),
                            Err(errno) => Err(SocketError::Code(Code::of_look_up(*errno).into())),
                        });
                        // "A result is not available yet."
                        next.unwrap_or(Err(SocketError::Code(ErrorCode::WouldBlock)))?
                    }
                };
                if let Some(ip) = next {
                    view.note("address", ip);
                }
                Ok(next.map(IpAddress::from))
            },
        )
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let source = match self.table.get(&stream)? {
            ResolveAddressStream::Known(_) => Source::Ready,
            ResolveAddressStream::LookUp(look_up) => Source::LookUp(Arc::clone(look_up)),
        };
        self.subscribe(source)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
