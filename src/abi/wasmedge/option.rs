//! Socket options: the level and the name to an option of ours, the bytes of Linux to its value.

use std::time::Duration;

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasmedge_option::WasmedgeOption;
use super::socket::kind_number;
use crate::abi::call::Call;
use crate::abi::limits::set_limits;
use crate::abi::memory::{check_out, check_out_value, write_bytes};
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::observe::Escaped;
use crate::policy::Denial;
use crate::socket::{FlagOption, SizeOption, TimeOption};

/// The most bytes of a value that any option has: two numbers of 64 bits, or the name of a device.
const MOST: u32 = 16;

/// A length by value, where the ABI has a pointer to it: one guest library does that. No program has a
/// variable at this address, below all that a linker puts into the memory.
const LENGTH_BY_VALUE: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketOption {
    Flag(FlagOption),
    Size(SizeOption),
    Time(TimeOption),
    Linger,
    Device,
}

// A setter asks a right, as every call does that changes something: see the options of WASIX.
impl WasmedgeOption for Call<'_> {
    fn sock_getsockopt(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        level: u32,
        opt: u32,
        value: GuestPtr<u8>,
        value_len: u32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::NONE)?;
        let (length, ret_len) = length_of(memory, value_len)?;
        check_out(memory, value.offset(), length)?;
        let socket = &socket.socket;
        let bytes = match option(level, opt)? {
            SocketOption::Flag(option) => i32::from(socket.flag(option)?).to_le_bytes().to_vec(),
            // The error's number is the guest's, not the host's.
            SocketOption::Size(SizeOption::LastError) => {
                let error = socket.take_error()?.map_or(0, |errno| u16::from(types::Errno::from(errno)));
                i32::from(error).to_le_bytes().to_vec()
            }
            SocketOption::Size(SizeOption::Type) => {
                kind_number(socket.kind(), self.personality.counts_from_zero).to_le_bytes().to_vec()
            }
            SocketOption::Size(option) => {
                i32::try_from(socket.size(option)?).unwrap_or(i32::MAX).to_le_bytes().to_vec()
            }
            SocketOption::Time(option) => timeval(socket.time(option)?),
            SocketOption::Linger => linger(socket.time(TimeOption::Linger)?),
            // None is bound to a device.
            SocketOption::Device => Vec::new(),
        };
        // "If the size of the option value is greater than option_len, the value stored [...] shall be
        // silently truncated." - getsockopt(3p)
        let fits = usize::try_from(length).map_or(bytes.len(), |length| length.min(bytes.len()));
        write_bytes(memory, value, bytes.get(..fits).unwrap_or_default())?;
        match ret_len {
            Some(ret_len) => Ok(memory.write(ret_len, u32::try_from(fits).unwrap_or(length))?),
            None => Ok(()),
        }
    }

    fn sock_setsockopt(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        level: u32,
        opt: u32,
        value: GuestPtr<u8>,
        value_len: u32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, right_to_set(level, opt))?;
        check_out(memory, value.offset(), value_len)?;
        let bytes = memory.to_vec(value.as_array(value_len.min(MOST)))?;
        match option(level, opt)? {
            SocketOption::Flag(option) => Ok(socket.socket.set_flag(option, number(&bytes)? != 0)?),
            SocketOption::Size(option) => {
                // Below 0 is none that an option has.
                let size = u64::try_from(number(&bytes)?).map_err(|_| Errno::EINVAL)?;
                self.annotation = self.set_size(&socket, option, size)?;
                Ok(())
            }
            SocketOption::Time(option) => Ok(set_limits(&socket.socket, option, time(&bytes)?)?),
            SocketOption::Linger => {
                Ok(socket.socket.set_time(TimeOption::Linger, time_to_linger(&bytes)?)?)
            }
            SocketOption::Device => self.refuse_device(&bytes),
        }
    }
}

impl Call<'_> {
    /// Binding to a device would be a way around the grants, which name addresses.
    fn refuse_device(&self, name: &[u8]) -> Result<(), Error> {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name.is_empty() {
            return Ok(());
        }
        self.process().report().report_denial(
            "sock_setsockopt",
            Denial {
                what: format!("the device {}", Escaped(String::from_utf8_lossy(name))),
                rule: "no socket is bound to a device: grants name addresses".into(),
                flag: String::new(),
            },
        );
        Err(Errno::EPERM.into())
    }
}

/// The length of the guest's buffer, and where that of the value goes.
fn length_of(memory: &GuestMemory<'_>, value_len: u32) -> Result<(u32, Option<GuestPtr<u32>>), Error> {
    if value_len == LENGTH_BY_VALUE {
        return Ok((LENGTH_BY_VALUE, None));
    }
    let ret_len = GuestPtr::<u32>::new(value_len);
    check_out_value(memory, ret_len)?;
    Ok((memory.read(ret_len)?, Some(ret_len)))
}

/// Limits of the guest's own calls belong to its descriptor, as blocking mode does.
fn right_to_set(level: u32, opt: u32) -> Rights {
    match option(level, opt) {
        Ok(SocketOption::Time(_)) => Rights::FD_FDSTAT_SET_FLAGS,
        _ => Rights::SOCK_BIND,
    }
}

/// # Errors
///
/// "ENOPROTOOPT: The option is not supported by the protocol." - setsockopt(3p)
fn option(level: u32, opt: u32) -> Result<SocketOption, Errno> {
    use SocketOption::{Flag, Size, Time};
    const SOCKET: u32 = 0;
    const TCP: u32 = 6;
    Ok(match (level, opt) {
        (SOCKET, 0) => Flag(FlagOption::ReuseAddress),
        (SOCKET, 1) => Size(SizeOption::Type),
        (SOCKET, 2) => Size(SizeOption::LastError),
        (SOCKET, 3) => Flag(FlagOption::DontRoute),
        (SOCKET, 4) => Flag(FlagOption::Broadcast),
        (SOCKET, 5) => Size(SizeOption::SendBuffer),
        (SOCKET, 6) => Size(SizeOption::ReceiveBuffer),
        (SOCKET, 7) => Flag(FlagOption::KeepAlive),
        (SOCKET, 8) => Flag(FlagOption::OutOfBandInline),
        (SOCKET, 9) => SocketOption::Linger,
        (SOCKET, 10) => Size(SizeOption::ReceiveLowWater),
        (SOCKET, 11) => Time(TimeOption::Receive),
        (SOCKET, 12) => Time(TimeOption::Send),
        (SOCKET, 13) => Flag(FlagOption::Listening),
        (SOCKET, 14) => SocketOption::Device,
        // A second host has this one.
        (TCP, 15) => Flag(FlagOption::NoDelay),
        _ => return Err(Errno::ENOPROTOOPT),
    })
}

/// # Errors
///
/// "EINVAL: optlen [is] invalid" - setsockopt(2), for less than 4 bytes.
fn number(bytes: &[u8]) -> Result<i32, Errno> {
    bytes.first_chunk().copied().map(i32::from_le_bytes).ok_or(Errno::EINVAL)
}

/// A `timeval`: seconds and microseconds, of 64 bits each. Zero is no limit.
fn timeval(time: Option<Duration>) -> Vec<u8> {
    let time = time.unwrap_or_default();
    // Less than a microsecond is some time still.
    let micros = u64::from(time.subsec_nanos()).div_ceil(1000);
    let (seconds, micros) = (time.as_secs().saturating_add(micros / 1_000_000), micros % 1_000_000);
    [seconds.to_le_bytes(), micros.to_le_bytes()].concat()
}

/// # Errors
///
/// `EINVAL` for less than 16 bytes; "EDOM: The send and receive timeout values are too big to fit into
/// the timeout fields in the socket structure" - setsockopt(3p), for what is no time.
fn time(bytes: &[u8]) -> Result<Option<Duration>, Errno> {
    let word = |at: usize| -> Result<u64, Errno> {
        let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk()).ok_or(Errno::EINVAL)?;
        u64::try_from(i64::from_le_bytes(*bytes)).map_err(|_| Errno::EDOM)
    };
    let (seconds, micros) = (word(0)?, word(8)?);
    let micros = u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000).ok_or(Errno::EDOM)?;
    let time = Duration::new(seconds, micros * 1000);
    // "If a value of zero is specified, [the] operation shall not time out." - setsockopt(3p)
    Ok((!time.is_zero()).then_some(time))
}

/// A `linger`: whether, and for how many seconds, of 32 bits each.
fn linger(time: Option<Duration>) -> Vec<u8> {
    let seconds = time.map_or(0, |time| i32::try_from(time.as_secs()).unwrap_or(i32::MAX));
    [i32::from(time.is_some()).to_le_bytes(), seconds.to_le_bytes()].concat()
}

/// # Errors
///
/// `EINVAL` for less than 8 bytes, and for less than no time.
fn time_to_linger(bytes: &[u8]) -> Result<Option<Duration>, Errno> {
    let is_on = number(bytes)? != 0;
    let seconds = u64::try_from(number(bytes.get(4..).unwrap_or_default())?).map_err(|_| Errno::EINVAL)?;
    Ok(is_on.then_some(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_both_ways() {
        for time_of in [Duration::from_micros(1), Duration::from_millis(1500), Duration::from_secs(1 << 40)] {
            assert_eq!(time(&timeval(Some(time_of))), Ok(Some(time_of)));
        }
        assert_eq!(time(&timeval(None)), Ok(None));
        assert_eq!(time(&timeval(Some(Duration::from_nanos(999_999_999)))), Ok(Some(Duration::from_secs(1))));
        for time in [None, Some(Duration::ZERO), Some(Duration::from_secs(7))] {
            assert_eq!(time_to_linger(&linger(time)), Ok(time));
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert_eq!(time(&[0; 15]), Err(Errno::EINVAL));
        let of = |seconds: i64, micros: i64| time(&[seconds.to_le_bytes(), micros.to_le_bytes()].concat());
        assert_eq!(of(-1, 0), Err(Errno::EDOM));
        assert_eq!(of(1, 1_000_000), Err(Errno::EDOM));
        assert_eq!(of(1, -1), Err(Errno::EDOM));
        assert_eq!(time_to_linger(&[1, 0, 0, 0]), Err(Errno::EINVAL));
        assert_eq!(time_to_linger(&[1, 0, 0, 0, 255, 255, 255, 255]), Err(Errno::EINVAL));
        assert_eq!(number(&[1, 0, 0]), Err(Errno::EINVAL));
    }

    #[test]
    fn an_unknown_option_is_none() {
        assert_eq!(option(0, 15), Err(Errno::ENOPROTOOPT));
        assert_eq!(option(6, 0), Err(Errno::ENOPROTOOPT));
        assert_eq!(option(1, 0), Err(Errno::ENOPROTOOPT));
        assert_eq!(option(6, 15), Ok(SocketOption::Flag(FlagOption::NoDelay)));
    }
}
