//! A copy of what goes between the guest's buffers and the host.

use wiggle::GuestMemory;

use crate::abi::memory::Buffers;
use crate::account::Charge;
use crate::error::{Errno, Error};
use crate::process::Thread;

/// The most bytes of a stream or a file that are copied at a time.
pub(crate) const MAX_COPY: u32 = 64 * 1024;

/// Charges the copy of a large message on what the host may hold for the guest, as long as it
/// is kept; `None` for what every thread has a buffer for.
///
/// # Errors
///
/// `ENOMEM` if the account is exhausted: "ENOMEM: No memory available." - send(2)
pub(super) fn charge_message(thread: &Thread, length: u32) -> Result<Option<Charge>, Error> {
    if length <= MAX_COPY {
        return Ok(None);
    }
    Ok(Some(thread.process().host_memory().charge(length.into())?))
}

/// A copy of one piece of the guest's buffers.
pub(super) struct SharedCopy {
    bytes: Vec<u8>,
    length: usize,
    _charge: Option<Charge>,
}

impl SharedCopy {
    /// The thread's own buffer, or a larger one for a large message.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if the guest's account is exhausted.
    pub(super) fn take(thread: &mut Thread, length: u32) -> Result<Self, Error> {
        let charge = charge_message(thread, length)?;
        let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
        if charge.is_some() {
            // Fresh from the system: it takes memory as the message fills it.
            return Ok(Self { bytes: vec![0; length], length, _charge: charge });
        }
        let mut bytes = std::mem::take(&mut thread.scratch);
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        Ok(Self { bytes, length, _charge: None })
    }

    pub(super) fn domain(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }

    /// Writes the first `received` bytes into the buffers of `piece`.
    pub(super) fn scatter(
        &self,
        memory: &mut GuestMemory<'_>,
        piece: &Buffers,
        received: usize,
    ) -> Result<u32, Error> {
        piece.scatter(memory, self.bytes.get(..received).unwrap_or(&self.bytes))
    }

    pub(super) fn give_back(self, thread: &mut Thread) {
        if u32::try_from(self.length).is_ok_and(|length| length <= MAX_COPY) {
            thread.scratch = self.bytes;
        }
    }
}
