//! What the guest may know of the host's network.

use wiggle::{GuestMemory, GuestPtr};

use super::address::AddressWidth;
use super::bindings::wasix_port::WasixPort;
use crate::abi::call::Call;
use crate::abi::memory::{check_out_value, write_bytes};
use crate::abi::transfer::count;
use crate::error::{Errno, Error};
use crate::process::Thread;
use crate::socket::HostAddress;

/// What programs allocate: those of 2023, and today's.
///
/// | | first generation | later |
/// |---|---|---|
/// | `addr_cidr` | 20 | 28 |
/// | where its prefix is, for IPv6 | 18 | 26 |
/// | `route` | 72 | 176 |
struct PortLayout {
    width: AddressWidth,
    cidr: usize,
    route: usize,
}

const FIRST: PortLayout = PortLayout { width: AddressWidth::Narrow, cidr: 20, route: 72 };
const LATER: PortLayout = PortLayout { width: AddressWidth::Wide, cidr: 28, route: 176 };

impl WasixPort for Call<'_> {
    fn port_addr_list(
        &mut self,
        memory: &mut GuestMemory<'_>,
        addrs: GuestPtr<u8>,
        naddrs: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, naddrs)?;
        let PortLayout { width, cidr, .. } = self.port_layout();
        // Nothing is looked up if it could not be returned.
        if !self.process().policy().shows_addresses() {
            return write_list(memory, addrs, naddrs, Vec::new());
        }
        let write = move |thread: &Thread, memory: &mut GuestMemory<'_>, mut found: Vec<HostAddress>| {
            let policy = thread.process().policy();
            found.retain(|address| policy.shows(address.network.addr()));
            let entries = found.iter().map(|address| encode(address, width, cidr)).collect();
            write_list(memory, addrs, naddrs, entries)
        };
        self.file_call_as(memory, HostAddress::all, write)
    }

    fn port_route_list(
        &mut self,
        memory: &mut GuestMemory<'_>,
        routes: GuestPtr<u8>,
        nroutes: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, nroutes)?;
        let PortLayout { width, route, .. } = self.port_layout();
        let networks = self.process().policy().destinations();
        let entry = |network| {
            // Behind the network all is zero: no gateway, and no end of its time.
            encode(&HostAddress { network, scope: 0 }, width, route)
        };
        write_list(memory, routes, nroutes, networks.into_iter().map(entry).collect())
    }
}

impl Thread {
    fn port_layout(&self) -> PortLayout {
        if self.personality.is_first_generation { FIRST } else { LATER }
    }
}

/// An `addr_cidr` at the start of `size` bytes: tag at 0, address at 2, the length of the prefix
/// behind the address, in today's layout behind its flow and its scope too.
fn encode(address: &HostAddress, width: AddressWidth, size: usize) -> Vec<u8> {
    let HostAddress { network, scope } = *address;
    let mut bytes = super::address::encode_bare(network.addr(), scope, width);
    bytes.push(network.prefix_len());
    bytes.resize(size, 0);
    bytes
}

/// Writes a list as the calls of this family do: the guest stores at `n` how many fit, and the
/// host writes how many there are.
///
/// # Errors
///
/// `EOVERFLOW` where there are more than that, and then none is written; a trap outside of the
/// memory.
fn write_list(
    memory: &mut GuestMemory<'_>,
    at: GuestPtr<u8>,
    n: GuestPtr<u32>,
    entries: Vec<Vec<u8>>,
) -> Result<(), Error> {
    let (width, there_are) = (memory.read(n)?, count(entries.len())?);
    memory.write(n, there_are)?;
    if there_are > width {
        return Err(Errno::EOVERFLOW.into());
    }
    write_bytes(memory, at, &entries.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn encoded(
        network: &str,
        scope: u32,
        layout: &PortLayout,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        Ok(encode(&HostAddress { network: network.parse()?, scope }, layout.width, layout.cidr))
    }

    #[test]
    fn ipv4_is_the_same_in_both_generations() -> TestResult {
        for layout in [FIRST, LATER] {
            let bytes = encoded("10.1.2.3/8", 0, &layout)?;
            assert_eq!(bytes.len(), layout.cidr);
            assert_eq!(bytes.get(..8), Some([1, 0, 10, 1, 2, 3, 8, 0].as_slice()));
        }
        Ok(())
    }

    #[test]
    fn ipv6_has_its_scope_where_there_is_space() -> TestResult {
        let first = encoded("fe80::1/64", 3, &FIRST)?;
        assert_eq!(first.get(..4), Some([2, 0, 0xfe, 0x80].as_slice()));
        assert_eq!(first.get(16..), Some([0, 1, 64, 0].as_slice()));
        let later = encoded("fe80::1/64", 3, &LATER)?;
        assert_eq!(later.get(16..), Some([0, 1, 0, 0, 0, 0, 0, 0, 3, 0, 64, 0].as_slice()));
        Ok(())
    }
}
