//! What a refusal of a socket is to the guest, and what the operator learns of it.

use super::Process;
use crate::address::Address;
use crate::error::{Errno, Error};
use crate::observe::Event;
use crate::socket::{Refusal, Socket};

impl Process {
    /// Where `socket` is on the host, if the guest binds it to `address`; a name in full.
    pub(super) fn place(&self, socket: &Socket, address: Address) -> Address {
        match socket.published_at(&address, self.policy()) {
            Some(there) => there.into(),
            None => self.whole(address),
        }
    }

    /// Reports that the host's system refused a granted address, if the operator can
    /// do something about it.
    pub(crate) fn report_unavailable<T>(
        &self,
        call: &'static str,
        address: &Address,
        outcome: &Result<T, Refusal>,
    ) {
        if let Err(Refusal::Errno(errno)) = *outcome
            && matches!(errno, Errno::EADDRINUSE | Errno::EADDRNOTAVAIL | Errno::EACCES)
        {
            self.report().tell(Event::Unavailable { call, address: address.clone(), errno });
        }
    }

    /// The guest's error for what a socket returned to `call`.
    pub(crate) fn answer<T>(&self, call: &'static str, outcome: Result<T, Refusal>) -> Result<T, Error> {
        outcome.map_err(|refusal| match refusal {
            Refusal::Errno(_) | Refusal::Limited(_) => refusal.errno().into(),
            Refusal::Denied(denial) => {
                self.report().report_denial(call, denial);
                Errno::EACCES.into()
            }
        })
    }
}
