//! The network, of which there is one, and its error codes and addresses.

use wasmtime::component::Resource;

use super::error::StreamFailure;
use super::sockets::network::{self, ErrorCode};
use super::{SocketError, sockets};
use crate::abi::component::address::addresses;
use crate::abi::component::{Code, View};
use crate::account::Charge;
use crate::error::Errno;

addresses!(crate::abi::component::p2::sockets::network);

/// What a network takes of the host: an entry of the table.
const NETWORK: u64 = 128;

/// "An opaque resource that represents access to (a subset of) the network" - wasi:sockets/network. What
/// is granted does not depend on it.
pub struct Network {
    _held: Charge,
}

impl sockets::instance_network::Host for View<'_> {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<Network>> {
        let held = self.thread.process().host_memory().charge(NETWORK)?;
        Ok(self.table.push(Network { _held: held })?)
    }
}

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.code()
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        if let Some(StreamFailure(errno)) = error.downcast_ref() {
            return Ok(Some(Code::from(*errno).into()));
        }
        let system = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        let of = |number| Code::from(Errno::from(std::io::Error::from_raw_os_error(number)));
        Ok(system.map(|number| of(number).into()))
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}
