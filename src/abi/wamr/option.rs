//! Socket options: a call for each, to an option of ours.

use std::time::Duration;

use wiggle::GuestMemory;

use super::bindings::wamr_option::WamrOption;
use crate::abi::call::Call;
use crate::abi::limits::set_limits;
use crate::error::{Errno, Error};
use crate::fd::Rights;
use crate::socket::{FlagOption, SizeOption, TimeOption};

// A setter asks a right, as every call does that changes something: see the options of WASIX.
impl Call<'_> {
    pub(super) fn set_option(&self, fd: u32, option: FlagOption, flag: u32) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        // A C `bool`.
        Ok(socket.socket.set_flag(option, flag != 0)?)
    }

    pub(super) fn option(&self, fd: u32, option: FlagOption) -> Result<u8, Error> {
        Ok(self.socket(fd, Rights::NONE)?.socket.flag(option)?.into())
    }

    pub(super) fn set_number(&mut self, fd: u32, option: SizeOption, size: u32) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        self.annotation = self.set_size(&socket, option, size.into())?;
        Ok(())
    }

    pub(super) fn number(&self, fd: u32, option: SizeOption) -> Result<u32, Error> {
        let size = self.socket(fd, Rights::NONE)?.socket.size(option)?;
        Ok(u32::try_from(size).unwrap_or(u32::MAX))
    }

    /// A number that the ABI has one byte for.
    pub(super) fn small_number(&self, fd: u32, option: SizeOption) -> Result<u8, Error> {
        Ok(u8::try_from(self.number(fd, option)?).unwrap_or(u8::MAX))
    }

    /// Limits of the guest's own calls belong to its descriptor, as blocking mode does.
    fn set_limit(&self, fd: u32, option: TimeOption, micros: u64) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::FD_FDSTAT_SET_FLAGS)?;
        Ok(set_limits(&socket.socket, option, limit_of_micros(micros))?)
    }

    fn limit(&self, fd: u32, option: TimeOption) -> Result<u64, Error> {
        Ok(micros_of_limit(self.socket(fd, Rights::NONE)?.socket.time(option)?))
    }
}

impl WamrOption for Call<'_> {
    fn sock_set_reuse_addr(&mut self, _: &mut GuestMemory<'_>, fd: u32, flag: u32) -> Result<(), Error> {
        self.set_option(fd, FlagOption::ReuseAddress, flag)
    }

    fn sock_get_reuse_addr(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.option(fd, FlagOption::ReuseAddress)
    }

    fn sock_set_reuse_port(&mut self, _: &mut GuestMemory<'_>, fd: u32, flag: u32) -> Result<(), Error> {
        self.set_option(fd, FlagOption::ReusePort, flag)
    }

    fn sock_get_reuse_port(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.option(fd, FlagOption::ReusePort)
    }

    fn sock_set_keep_alive(&mut self, _: &mut GuestMemory<'_>, fd: u32, flag: u32) -> Result<(), Error> {
        self.set_option(fd, FlagOption::KeepAlive, flag)
    }

    fn sock_get_keep_alive(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.option(fd, FlagOption::KeepAlive)
    }

    fn sock_set_broadcast(&mut self, _: &mut GuestMemory<'_>, fd: u32, flag: u32) -> Result<(), Error> {
        self.set_option(fd, FlagOption::Broadcast, flag)
    }

    fn sock_get_broadcast(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u8, Error> {
        self.option(fd, FlagOption::Broadcast)
    }

    fn sock_set_recv_buf_size(&mut self, _: &mut GuestMemory<'_>, fd: u32, size: u32) -> Result<(), Error> {
        self.set_number(fd, SizeOption::ReceiveBuffer, size)
    }

    fn sock_get_recv_buf_size(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u32, Error> {
        self.number(fd, SizeOption::ReceiveBuffer)
    }

    fn sock_set_send_buf_size(&mut self, _: &mut GuestMemory<'_>, fd: u32, size: u32) -> Result<(), Error> {
        self.set_number(fd, SizeOption::SendBuffer, size)
    }

    fn sock_get_send_buf_size(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u32, Error> {
        self.number(fd, SizeOption::SendBuffer)
    }

    fn sock_set_recv_timeout(&mut self, _: &mut GuestMemory<'_>, fd: u32, timeout: u64) -> Result<(), Error> {
        self.set_limit(fd, TimeOption::Receive, timeout)
    }

    fn sock_get_recv_timeout(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u64, Error> {
        self.limit(fd, TimeOption::Receive)
    }

    fn sock_set_send_timeout(&mut self, _: &mut GuestMemory<'_>, fd: u32, timeout: u64) -> Result<(), Error> {
        self.set_limit(fd, TimeOption::Send, timeout)
    }

    fn sock_get_send_timeout(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<u64, Error> {
        self.limit(fd, TimeOption::Send)
    }

    fn sock_set_linger(
        &mut self,
        _: &mut GuestMemory<'_>,
        fd: u32,
        flag: u32,
        seconds: i32,
    ) -> Result<(), Error> {
        let socket = self.socket(fd, Rights::SOCK_BIND)?;
        // Below 0 is no time.
        let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
        let time = (flag != 0).then_some(Duration::from_secs(seconds));
        Ok(socket.socket.set_time(TimeOption::Linger, time)?)
    }

    fn sock_get_linger(&mut self, _: &mut GuestMemory<'_>, fd: u32) -> Result<(u8, u32), Error> {
        let time = self.socket(fd, Rights::NONE)?.socket.time(TimeOption::Linger)?;
        let seconds = time.map_or(0, |time| i32::try_from(time.as_secs()).unwrap_or(i32::MAX));
        Ok((time.is_some().into(), seconds.cast_unsigned()))
    }
}

/// The microseconds of a limit; none is 0. Less than a microsecond is some time still.
fn micros_of_limit(limit: Option<Duration>) -> u64 {
    limit.map_or(0, |limit| u64::try_from(limit.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX))
}

/// The limit of so many microseconds.
///
/// "If a value of zero is specified, [the] operation shall not time out." - setsockopt(3p)
fn limit_of_micros(micros: u64) -> Option<Duration> {
    (micros != 0).then_some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_go_both_ways() {
        for micros in [0, 1, 1_500_000, u64::MAX] {
            assert_eq!(micros_of_limit(limit_of_micros(micros)), micros);
        }
        assert_eq!(limit_of_micros(0), None);
        assert_eq!(micros_of_limit(Some(Duration::from_nanos(1))), 1);
        assert_eq!(micros_of_limit(Some(Duration::MAX)), u64::MAX);
    }
}
