//! The options that WASI has, with its units.
//!
//! "If the provided value is 0, an `invalid-argument` error is returned. Any other value will never cause an
//! error, but it might be silently clamped and/or rounded." - wasi:sockets/tcp

use super::descriptor::GuestSocket;
use super::failure::Failure;
use crate::error::Errno;
use crate::process::{Thread, TraceAnnotation};
use crate::socket::{FlagOption, SizeOption};

const SECOND: u64 = 1_000_000_000;

/// The most that Linux takes: `MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`, `MAX_TCP_KEEPCNT`.
const MAX_KEEP_ALIVE_SECONDS: u64 = 32_767;
const MAX_KEEP_ALIVE_PROBES: u32 = 127;

/// The times of keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepAliveTime {
    Idle,
    Interval,
}

impl KeepAliveTime {
    fn option(self) -> SizeOption {
        match self {
            Self::Idle => SizeOption::KeepAliveIdle,
            Self::Interval => SizeOption::KeepAliveInterval,
        }
    }
}

/// The buffers of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buffer {
    Receive,
    Send,
}

impl Buffer {
    fn option(self) -> SizeOption {
        match self {
            Self::Receive => SizeOption::ReceiveBuffer,
            Self::Send => SizeOption::SendBuffer,
        }
    }
}

impl GuestSocket {
    /// Is keep-alive on?
    pub(super) fn keep_alive(&self) -> Result<bool, Failure> {
        Ok(self.socket().flag(FlagOption::KeepAlive)?)
    }

    pub(super) fn set_keep_alive(&self, on: bool) -> Result<(), Failure> {
        Ok(self.socket().set_flag(FlagOption::KeepAlive, on)?)
    }

    /// In nanoseconds.
    pub(super) fn keep_alive_time(&self, time: KeepAliveTime) -> Result<u64, Failure> {
        Ok(self.socket().size(time.option())?.saturating_mul(SECOND))
    }

    /// Rounded up to a second.
    ///
    /// # Errors
    ///
    /// [`Failure::Argument`] for 0.
    pub(super) fn set_keep_alive_time(&self, time: KeepAliveTime, nanoseconds: u64) -> Result<(), Failure> {
        let seconds = above_zero(nanoseconds)?.div_ceil(SECOND).min(MAX_KEEP_ALIVE_SECONDS);
        Ok(self.socket().set_size(time.option(), seconds)?)
    }

    pub(super) fn keep_alive_count(&self) -> Result<u32, Failure> {
        let count = self.socket().size(SizeOption::KeepAliveCount)?;
        Ok(u32::try_from(count).map_err(|_| Errno::EOVERFLOW)?)
    }

    /// # Errors
    ///
    /// [`Failure::Argument`] for 0.
    pub(super) fn set_keep_alive_count(&self, count: u32) -> Result<(), Failure> {
        let count = above_zero(count)?.min(MAX_KEEP_ALIVE_PROBES);
        Ok(self.socket().set_size(SizeOption::KeepAliveCount, count.into())?)
    }

    pub(super) fn hop_limit(&self) -> Result<u8, Failure> {
        let hops = self.socket().size(SizeOption::TimeToLive)?;
        Ok(u8::try_from(hops).map_err(|_| Errno::EOVERFLOW)?)
    }

    /// # Errors
    ///
    /// [`Failure::Argument`] for 0.
    pub(super) fn set_hop_limit(&self, hops: u8) -> Result<(), Failure> {
        Ok(self.socket().set_size(SizeOption::TimeToLive, above_zero(hops)?.into())?)
    }

    /// In bytes, as the guest has set it: "The kernel doubles this value (to allow space for bookkeeping overhead) when
    /// it is set using setsockopt(2), and this doubled value is returned by getsockopt(2)." - socket(7)
    pub(super) fn buffer_size(&self, buffer: Buffer) -> Result<u64, Failure> {
        Ok(self.socket().size(buffer.option())? / 2)
    }

    /// Sets it as far as the operator allows; the trace says how far where that is less.
    ///
    /// # Errors
    ///
    /// [`Failure::Argument`] for 0.
    pub(super) fn set_buffer_size(
        &self,
        thread: &Thread,
        buffer: Buffer,
        bytes: u64,
    ) -> Result<Option<TraceAnnotation>, Failure> {
        let bytes = above_zero(bytes)?.min(i32::MAX.unsigned_abs().into());
        Ok(thread.set_size(self.reference(), buffer.option(), bytes)?)
    }
}

fn above_zero<N: Default + PartialEq>(value: N) -> Result<N, Failure> {
    if value == N::default() { Err(Failure::Argument) } else { Ok(value) }
}
