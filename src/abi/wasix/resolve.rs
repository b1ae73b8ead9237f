//! Names to addresses.

use wiggle::{GuestMemory, GuestPtr};

use super::address::{IP_SIZE, encode_ip};
use super::bindings::wasix_resolve::WasixResolve;
use crate::abi::call::Call;
use crate::abi::memory::{check_out, check_out_value, read_bytes, write_bytes};
use crate::abi::transfer::count;
use crate::error::{Errno, Error};
use crate::policy::Use;
use crate::ready::interruptible;

/// The longest name that the resolver takes, in bytes.
const MAX_NAME: u32 = 255;

impl WasixResolve for Call<'_> {
    fn resolve(
        &mut self,
        memory: &mut GuestMemory<'_>,
        host: GuestPtr<str>,
        port: u32,
        addrs: GuestPtr<u8>,
        naddrs: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        let stride = count(IP_SIZE)?;
        let room = naddrs.checked_mul(stride).ok_or(Errno::EINVAL)?;
        check_out(memory, addrs.offset(), room)?;
        check_out_value(memory, ret_n)?;
        let name = read_bytes(memory, host.as_bytes(), MAX_NAME, Errno::ENAMETOOLONG)?;
        let name = String::from_utf8(name).map_err(|_| Errno::EILSEQ)?;
        if name.is_empty() || name.contains('\0') {
            return Err(Errno::EINVAL.into());
        }
        if let Err(denial) = self.process().policy().check(Use::Resolve(&name)) {
            self.process().report().report_denial("resolve", denial);
            return Err(Errno::EACCES.into());
        }
        let port = u16::try_from(port).ok().filter(|port| *port != 0);
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let mut found = interruptible(call.look_up(name)).await??;
                // Most programs try the first address alone, or wait long before they try the next.
                call.process().policy().put_reachable_first(&mut found, port);
                let mut written = 0;
                let mut at = addrs;
                for address in found {
                    if written == naddrs {
                        break;
                    }
                    write_bytes(memory, at, &encode_ip(address))?;
                    at = at.add(stride)?;
                    written += 1;
                }
                Ok(memory.write(ret_n, written)?)
            })
        }))
    }
}
