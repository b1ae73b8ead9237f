//! `wasi:sockets/ip-name-lookup`.

use std::sync::Arc;

use wasmtime::component::Accessor;

use super::sockets::ip_name_lookup::{ErrorCode, Host, HostWithStore};
use super::sockets::types::IpAddress;
use crate::abi::component::name::{Named, RESOLVE, host, may_look_up, shown};
use crate::abi::component::trace;
use crate::abi::component::{Code, Sockets, View};

impl Host for View<'_> {}

impl trace::Named for ErrorCode {
    fn name(&self) -> &'static str {
        match self {
            Self::AccessDenied => "access-denied",
            Self::InvalidArgument => "invalid-argument",
            Self::NameUnresolvable => "name-unresolvable",
            Self::TemporaryResolverFailure => "temporary-resolver-failure",
            Self::PermanentResolverFailure => "permanent-resolver-failure",
            Self::Other(_) => "other",
        }
    }
}

impl<T: Send + 'static> HostWithStore<T> for Sockets {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, ErrorCode>> {
        let line = store.with(|mut store| store.get().begin(RESOLVE, |_| shown(&name)));
        let found = resolve(store, &name).await;
        store.with(|mut store| store.get().end(line, &found));
        Ok(found)
    }
}

async fn resolve<T: Send>(store: &Accessor<T, Sockets>, name: &str) -> Result<Vec<IpAddress>, ErrorCode> {
    let domain = match host(name) {
        Ok(Named::Address(ip)) => return Ok(vec![ip.into()]),
        Ok(Named::Domain(domain)) => domain,
        Err(_) => return Err(ErrorCode::InvalidArgument),
    };
    let process = store.with(|mut store| Arc::clone(store.get().thread.process()));
    if !may_look_up(&process, &domain) {
        // As in 0.2, where it is all that there is.
        return Err(ErrorCode::PermanentResolverFailure);
    }
    let mut found = process.look_up(domain).await.map_err(|errno| match Code::of_look_up(errno) {
        Code::NameUnresolvable => ErrorCode::NameUnresolvable,
        Code::TemporaryResolverFailure => ErrorCode::TemporaryResolverFailure,
        _ => ErrorCode::PermanentResolverFailure,
    })?;
    process.policy().put_reachable_first(&mut found, None);
    Ok(found.into_iter().map(IpAddress::from).collect())
}
