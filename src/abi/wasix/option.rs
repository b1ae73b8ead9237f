//! Socket options: numbers to names.

use std::time::Duration;

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasix_option::WasixOption;
use super::socket::kind_number;
use crate::abi::call::Call;
use crate::abi::flags::boolean;
use crate::abi::memory::check_out_value;
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::socket::{FlagOption, SizeOption, TimeOption};

const NONE: u8 = 0;
const SOME: u8 = 1;

// A setter asks a right, as every call does that changes something. WASI has none for
// options: it is that of what decides what a socket is.
impl WasixOption for Call<'_> {
    fn sock_set_opt_flag(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        opt: u32,
        flag: u32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let option = flag_option(opt)?;
        Ok(socket.socket.set_flag(option, boolean(flag)?)?)
    }

    fn sock_get_opt_flag(&mut self, _: &mut GuestMemory<'_>, fd: u32, opt: u32) -> Result<u8, Error> {
        let socket = self.socket(fd, Rights::NONE)?;
        Ok(socket.socket.flag(flag_option(opt)?)?.into())
    }

    fn sock_set_opt_time(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        opt: u32,
        timeout: GuestPtr<types::OptionTimestamp>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, right_to_set_time(opt))?;
        let timeout = time(memory.read(timeout)?)?;
        Ok(socket.socket.set_time(time_option(opt)?, timeout)?)
    }

    fn sock_get_opt_time(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        opt: u32,
        timeout: GuestPtr<types::OptionTimestamp>,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::NONE)?;
        check_out_value(memory, timeout)?;
        let found = socket.socket.time(time_option(opt)?)?;
        let value = found.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let tag = if found.is_some() { SOME } else { NONE };
        Ok(memory.write(timeout, types::OptionTimestamp { tag, value })?)
    }

    fn sock_set_opt_size(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        opt: u32,
        size: u64,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        let option = size_option(opt)?;
        self.annotation = self.set_size(&socket, option, size)?;
        Ok(())
    }

    fn sock_get_opt_size(&mut self, _: &mut GuestMemory<'_>, fd: u32, opt: u32) -> Result<u64, Error> {
        let socket = self.socket(fd, Rights::NONE)?;
        match size_option(opt)? {
            // The error's number is the guest's, not the host's.
            SizeOption::LastError => {
                let error = socket.socket.take_error()?;
                Ok(error.map_or(0, |errno| u64::from(u16::from(types::Errno::from(errno)))))
            }
            SizeOption::Type => {
                Ok(kind_number(socket.socket.kind(), self.personality.is_first_generation).into())
            }
            option => Ok(socket.socket.size(option)?),
        }
    }
}

/// Limits of the guest's own calls belong to its descriptor, as blocking mode does.
/// Lingering belongs to the socket, which may be shared.
fn right_to_set_time(number: u32) -> Rights {
    match time_option(number) {
        Ok(TimeOption::Receive | TimeOption::Send | TimeOption::Connect | TimeOption::Accept) => {
            Rights::FD_FDSTAT_SET_FLAGS
        }
        Ok(TimeOption::Linger) | Err(_) => Rights::SOCK_BIND,
    }
}

/// The time of an optional timestamp.
///
/// # Errors
///
/// `EINVAL` for a tag that is neither.
pub(super) fn time(timestamp: types::OptionTimestamp) -> Result<Option<Duration>, Errno> {
    match timestamp.tag {
        NONE => Ok(None),
        SOME => Ok(Some(Duration::from_nanos(timestamp.value))),
        _ => Err(Errno::EINVAL),
    }
}

// "ENOPROTOOPT: The option is not supported by the protocol." - setsockopt(3p):
// for a number that no option has, and for one that is of another call's kind.

fn flag_option(number: u32) -> Result<FlagOption, Errno> {
    Ok(match number {
        1 => FlagOption::ReusePort,
        2 => FlagOption::ReuseAddress,
        3 => FlagOption::NoDelay,
        4 => FlagOption::DontRoute,
        5 => FlagOption::OnlyV6,
        6 => FlagOption::Broadcast,
        7 => FlagOption::MulticastLoopV4,
        8 => FlagOption::MulticastLoopV6,
        9 => FlagOption::Promiscuous,
        10 => FlagOption::Listening,
        12 => FlagOption::KeepAlive,
        14 => FlagOption::OutOfBandInline,
        _ => return Err(Errno::ENOPROTOOPT),
    })
}

fn size_option(number: u32) -> Result<SizeOption, Errno> {
    Ok(match number {
        11 => SizeOption::LastError,
        15 => SizeOption::ReceiveBuffer,
        16 => SizeOption::SendBuffer,
        17 => SizeOption::ReceiveLowWater,
        18 => SizeOption::SendLowWater,
        23 => SizeOption::TimeToLive,
        24 => SizeOption::MulticastTimeToLiveV4,
        25 => SizeOption::Type,
        26 => SizeOption::Protocol,
        _ => return Err(Errno::ENOPROTOOPT),
    })
}

fn time_option(number: u32) -> Result<TimeOption, Errno> {
    Ok(match number {
        13 => TimeOption::Linger,
        19 => TimeOption::Receive,
        20 => TimeOption::Send,
        21 => TimeOption::Connect,
        22 => TimeOption::Accept,
        _ => return Err(Errno::ENOPROTOOPT),
    })
}
