//! Socket options: what is the kernel's is asked of the kernel; time limits of
//! blocking calls are ours, because host sockets never block.
//!
//! What SOL_SOCKET has is every socket's, whatever it does with it; the options of a
//! protocol are those of its sockets alone:
//! "ENOPROTOOPT: The option is not supported by the protocol." - setsockopt(3p)

mod kernel;
mod limits;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::net::sockopt;

use super::{Family, Kind, Socket};
use crate::error::Errno;

pub(super) use kernel::take_own_groups_only;
pub(super) use limits::SocketLimits;

/// Options that are on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOption {
    /// Several sockets may share one port.
    ReusePort,
    /// A port may be taken again while old connections of it linger.
    ReuseAddress,
    /// Small writes leave at once.
    NoDelay,
    /// What is sent goes only to networks that the host is in, past its routes.
    DontRoute,
    /// An IPv6 socket that takes no IPv4 connections. Fixed from bind on.
    OnlyV6,
    /// Datagrams may go to broadcast addresses.
    Broadcast,
    /// What is sent to a group of IPv4 comes back to the groups of this host.
    MulticastLoopV4,
    /// The same of IPv6.
    MulticastLoopV6,
    /// Everything on the wire is received: never so here.
    Promiscuous,
    /// Does it listen? Read only.
    Listening,
    /// Idle connections are probed.
    KeepAlive,
    /// Urgent data is kept in the stream.
    OutOfBandInline,
    /// What arrives is acknowledged at once; the kernel may turn that off again by itself.
    QuickAck,
    /// A connect may wait for the first data, and go with it, where the peer allows that.
    FastOpenConnect,
}

/// Options that are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeOption {
    /// The pending error as a WASI number, cleared by reading. Read only.
    LastError,
    /// Bytes of the receive buffer, as the kernel counts them.
    ReceiveBuffer,
    /// Bytes of the send buffer, as the kernel counts them.
    SendBuffer,
    /// Bytes that a blocking receive waits for, and that make a stream readable.
    ReceiveLowWater,
    /// Bytes of free space that make a stream writable. Linux has 1 for good.
    SendLowWater,
    /// Hops that a packet may make, to 255; 0 over IPv6 alone.
    TimeToLive,
    /// Hops that a packet to a group of IPv4 may make, 0 to 255.
    MulticastTimeToLiveV4,
    /// Seconds without traffic after which a connection is probed, where
    /// [that is on](FlagOption::KeepAlive); 1 to 32,767 on Linux.
    KeepAliveIdle,
    /// Seconds from one probe to the next; 1 to 32,767 on Linux.
    KeepAliveInterval,
    /// Probes without an answer that end a connection; 1 to 127 on Linux.
    #[cfg_attr(not(feature = "components"), allow(dead_code, reason = "WASI alone has a call for it"))]
    KeepAliveCount,
    /// The kind of socket. Read only.
    Type,
    /// The protocol's IANA number. Read only.
    Protocol,
}

/// Options that are times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOption {
    /// Limit of a blocking receive.
    Receive,
    /// Limit of a blocking send.
    Send,
    /// Limit of a blocking connect.
    Connect,
    /// Limit of a blocking accept.
    Accept,
    /// How long a close may take to deliver what is left; the kernel counts seconds.
    Linger,
}

/// An option that a guest has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetOption {
    Flag(FlagOption, bool),
    Size(SizeOption, u64),
    Linger(Option<Duration>),
}

impl SetOption {
    /// Do both set the same option?
    pub(super) fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Flag(one, _), Self::Flag(other, _)) => one == other,
            (Self::Size(one, _), Self::Size(other, _)) => one == other,
            (Self::Linger(_), Self::Linger(_)) => true,
            _ => false,
        }
    }
}

impl Socket {
    /// What the guest sets on a held socket takes effect from now on, and what it has set so
    /// far. The rest stays as an earlier instance had it.
    pub(crate) fn make_ready(&self) {
        let Some(claim) = self.claim() else { return };
        claim.make_ready();
        if let Self::Stream(stream) = self {
            stream.make_ready();
        }
        self.set_on_adopted();
    }

    /// Sets on a socket that was adopted what the guest had set on its own.
    pub(super) fn set_again(&self) {
        let options = match self {
            Self::Stream(stream) => stream.set_options(),
            Self::Datagram(datagram) => datagram.set_options(),
        };
        for option in options {
            // What was good for its own socket is good for this one, as far as it may still be
            // set.
            let _as_before = match option {
                // They count at a bind, and it is bound.
                SetOption::Flag(FlagOption::ReusePort | FlagOption::OnlyV6, _) => Ok(()),
                SetOption::Flag(option, on) => self.set_flag(option, on),
                SetOption::Size(option, size) => self.set_size(option, size),
                SetOption::Linger(time) => self.set_time(TimeOption::Linger, time),
            };
        }
    }

    /// As [`set_again`](Self::set_again), where the socket was adopted just now and what the guest
    /// sets takes effect.
    pub(super) fn set_on_adopted(&self) {
        if self.claim().is_some_and(|claim| claim.is_ready()) {
            self.set_again();
        }
    }

    fn note_set(&self, option: SetOption) {
        match self {
            Self::Stream(stream) => stream.note_set(option),
            Self::Datagram(datagram) => datagram.note_set(option),
        }
    }

    /// Turns an option on or off.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` where this kind of socket lacks the option or it can only be
    /// read, `EINVAL` where it is too late to set it.
    pub fn set_flag(&self, option: FlagOption, on: bool) -> Result<(), Errno> {
        let fd = self.option_fd();
        match option {
            FlagOption::ReusePort => sockopt::set_socket_reuseport(self.inet_fd()?, on)?,
            FlagOption::ReuseAddress => sockopt::set_socket_reuseaddr(fd, on)?,
            FlagOption::NoDelay => sockopt::set_tcp_nodelay(self.tcp_fd()?, on)?,
            FlagOption::DontRoute => kernel::set(fd, kernel::DontRoute, &on)?,
            FlagOption::OnlyV6 => sockopt::set_ipv6_v6only(self.inet6_fd()?, on)?,
            FlagOption::Broadcast => sockopt::set_socket_broadcast(self.udp_fd()?, on)?,
            FlagOption::MulticastLoopV4 => sockopt::set_ip_multicast_loop(self.udp_fd()?, on)?,
            FlagOption::MulticastLoopV6 => sockopt::set_ipv6_multicast_loop(self.udp6_fd()?, on)?,
            FlagOption::KeepAlive => sockopt::set_socket_keepalive(fd, on)?,
            FlagOption::OutOfBandInline => sockopt::set_socket_oobinline(fd, on)?,
            FlagOption::QuickAck => sockopt::set_tcp_quickack(self.tcp_fd()?, on)?,
            FlagOption::FastOpenConnect => kernel::set(self.tcp_fd()?, kernel::FastOpenConnect, &on)?,
            // Receiving what is sent to others takes a raw socket of the host and its rights.
            FlagOption::Promiscuous | FlagOption::Listening => return Err(Errno::ENOPROTOOPT),
        }
        self.note_set(SetOption::Flag(option, on));
        Ok(())
    }

    /// Is an option on?
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` where this kind of socket lacks the option.
    pub fn flag(&self, option: FlagOption) -> Result<bool, Errno> {
        let fd = self.option_fd();
        Ok(match option {
            FlagOption::ReusePort => sockopt::socket_reuseport(self.inet_fd()?)?,
            FlagOption::ReuseAddress => sockopt::socket_reuseaddr(fd)?,
            FlagOption::NoDelay => sockopt::tcp_nodelay(self.tcp_fd()?)?,
            FlagOption::DontRoute => kernel::get(fd, kernel::DontRoute)?,
            FlagOption::OnlyV6 => sockopt::ipv6_v6only(self.inet6_fd()?)?,
            FlagOption::Broadcast => sockopt::socket_broadcast(self.udp_fd()?)?,
            FlagOption::MulticastLoopV4 => sockopt::ip_multicast_loop(self.udp_fd()?)?,
            FlagOption::MulticastLoopV6 => sockopt::ipv6_multicast_loop(self.udp6_fd()?)?,
            FlagOption::KeepAlive => sockopt::socket_keepalive(fd)?,
            FlagOption::OutOfBandInline => sockopt::socket_oobinline(fd)?,
            FlagOption::QuickAck => sockopt::tcp_quickack(self.tcp_fd()?)?,
            FlagOption::FastOpenConnect => kernel::get(self.tcp_fd()?, kernel::FastOpenConnect)?,
            FlagOption::Listening => sockopt::socket_acceptconn(fd)?,
            FlagOption::Promiscuous => return Err(Errno::ENOPROTOOPT),
        })
    }

    /// Sets a number.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` where this kind of socket lacks the option or it can only be read,
    /// `EINVAL` where the number is out of range.
    pub fn set_size(&self, option: SizeOption, size: u64) -> Result<(), Errno> {
        let fd = self.option_fd();
        match option {
            SizeOption::ReceiveBuffer => sockopt::set_socket_recv_buffer_size(fd, bytes(size)?)?,
            SizeOption::SendBuffer => sockopt::set_socket_send_buffer_size(fd, bytes(size)?)?,
            SizeOption::ReceiveLowWater => {
                kernel::set(fd, kernel::ReceiveLowWater, &number(size)?)?;
                // The kernel may have another mind of it.
                let low_water = kernel::get(fd, kernel::ReceiveLowWater)?;
                self.limits().set_receive_low_water(usize::try_from(low_water).unwrap_or(1));
            }
            // More than the kernel could mean is no other question to one that takes none.
            SizeOption::SendLowWater => {
                kernel::set(fd, kernel::SendLowWater, &i32::try_from(size).unwrap_or(i32::MAX))?;
            }
            SizeOption::TimeToLive => self.set_hops(self.inet_fd()?, size)?,
            SizeOption::MulticastTimeToLiveV4 => {
                sockopt::set_ip_multicast_ttl(self.udp_fd()?, hops(size)?.into())?;
            }
            SizeOption::KeepAliveIdle => sockopt::set_tcp_keepidle(self.tcp_fd()?, seconds(size)?)?,
            SizeOption::KeepAliveInterval => sockopt::set_tcp_keepintvl(self.tcp_fd()?, seconds(size)?)?,
            SizeOption::KeepAliveCount => {
                let (fd, count) = (self.tcp_fd()?, number(size)?);
                sockopt::set_tcp_keepcnt(fd, u32::try_from(count).map_err(|_| Errno::EINVAL)?)?;
            }
            SizeOption::LastError | SizeOption::Type | SizeOption::Protocol => {
                return Err(Errno::ENOPROTOOPT);
            }
        }
        self.note_set(SetOption::Size(option, size));
        Ok(())
    }

    fn set_hops(&self, fd: BorrowedFd<'_>, size: u64) -> Result<(), Errno> {
        let hops = hops(size)?;
        if self.family() == Family::Inet6 {
            // "0 <= x <= 255: use x" - RFC 3493, 5.1
            sockopt::set_ipv6_unicast_hops(fd, Some(hops))?;
            if hops == 0 {
                return Ok(());
            }
        }
        // Such a socket may speak IPv4 as well. There, 0 hops are EINVAL.
        Ok(sockopt::set_ip_ttl(fd, hops.into())?)
    }

    /// A number, as the kernel has it. [`SizeOption::LastError`] and
    /// [`SizeOption::Type`] belong to the ABI layer: it alone knows the guest's numbers.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` where this kind of socket lacks the option.
    pub fn size(&self, option: SizeOption) -> Result<u64, Errno> {
        let fd = self.option_fd();
        let count = |size: usize| u64::try_from(size).map_err(|_| Errno::EOVERFLOW);
        let positive = |number: i32| u64::try_from(number).map_err(|_| Errno::EOVERFLOW);
        match option {
            SizeOption::ReceiveBuffer => count(sockopt::socket_recv_buffer_size(fd)?),
            SizeOption::SendBuffer => count(sockopt::socket_send_buffer_size(fd)?),
            SizeOption::ReceiveLowWater => positive(kernel::get(fd, kernel::ReceiveLowWater)?),
            SizeOption::SendLowWater => positive(kernel::get(fd, kernel::SendLowWater)?),
            SizeOption::TimeToLive => match self.family() {
                Family::Inet4 => Ok(sockopt::ip_ttl(fd)?.into()),
                Family::Inet6 => Ok(sockopt::ipv6_unicast_hops(fd)?.into()),
                Family::Unix => Err(Errno::ENOPROTOOPT),
            },
            SizeOption::MulticastTimeToLiveV4 => Ok(sockopt::ip_multicast_ttl(self.udp_fd()?)?.into()),
            SizeOption::KeepAliveIdle => Ok(sockopt::tcp_keepidle(self.tcp_fd()?)?.as_secs()),
            SizeOption::KeepAliveInterval => Ok(sockopt::tcp_keepintvl(self.tcp_fd()?)?.as_secs()),
            SizeOption::KeepAliveCount => Ok(sockopt::tcp_keepcnt(self.tcp_fd()?)?.into()),
            SizeOption::Protocol => Ok(match (self.family(), self.kind()) {
                (Family::Unix, _) | (_, Kind::SeqPacket) => 0,
                (_, Kind::Stream) => super::PROTOCOL_TCP,
                (_, Kind::Datagram) => super::PROTOCOL_UDP,
            }
            .into()),
            SizeOption::LastError | SizeOption::Type => Err(Errno::ENOPROTOOPT),
        }
    }

    /// Takes the pending error: `None` where there is none.
    ///
    /// # Errors
    ///
    /// What the operating system reports of the question itself.
    pub fn take_error(&self) -> Result<Option<Errno>, Errno> {
        if let Self::Stream(stream) = self
            && let Some(errno) = stream.take_connect_error()
        {
            return Ok(Some(errno));
        }
        if let Self::Datagram(datagram) = self
            && let Some(errno) = datagram.take_error()
        {
            return Ok(Some(errno));
        }
        Ok(sockopt::socket_error(self.option_fd())?.err().map(Errno::from_os))
    }

    /// Sets a time; `None` is no limit, and no lingering.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` where this kind of socket lacks the option, and what the operating
    /// system reports.
    pub fn set_time(&self, option: TimeOption, time: Option<Duration>) -> Result<(), Errno> {
        self.check_waits(option)?;
        if option == TimeOption::Linger {
            sockopt::set_socket_linger(self.option_fd(), time)?;
            if let Self::Stream(stream) = self {
                stream.note_linger(time.is_some_and(|time| !time.is_zero()));
                stream.note_set(SetOption::Linger(time));
            }
            return Ok(());
        }
        self.limits().set_time(option, time);
        Ok(())
    }

    /// A time; `None` is no limit, and no lingering.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` where this kind of socket lacks the option, and what the operating
    /// system reports.
    pub fn time(&self, option: TimeOption) -> Result<Option<Duration>, Errno> {
        self.check_waits(option)?;
        if option == TimeOption::Linger {
            return Ok(sockopt::socket_linger(self.option_fd())?);
        }
        Ok(self.limits().time(option))
    }

    /// Has this kind of socket the call that `option` is a limit of? A datagram socket
    /// does not accept, and never waits in connect.
    fn check_waits(&self, option: TimeOption) -> Result<(), Errno> {
        match (self, option) {
            (Self::Datagram(_), TimeOption::Connect | TimeOption::Accept) => Err(Errno::ENOPROTOOPT),
            _ => Ok(()),
        }
    }

    fn tcp_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        if self.kind() == Kind::Stream { self.inet_fd() } else { Err(Errno::ENOPROTOOPT) }
    }

    fn inet6_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        if self.family() == Family::Inet6 { Ok(self.option_fd()) } else { Err(Errno::ENOPROTOOPT) }
    }

    fn udp_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        if self.kind() == Kind::Datagram { self.inet_fd() } else { Err(Errno::ENOPROTOOPT) }
    }

    fn udp6_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        if self.kind() == Kind::Datagram { self.inet6_fd() } else { Err(Errno::ENOPROTOOPT) }
    }

    fn inet_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        if self.family() == Family::Unix { Err(Errno::ENOPROTOOPT) } else { Ok(self.option_fd()) }
    }
}

// "EINVAL: The specified option is invalid at the specified socket level": so it is
// with a number that the option can't have. - setsockopt(3p)

/// What fits the kernel's `int`; it clamps to its own limits.
fn number(size: u64) -> Result<i32, Errno> {
    i32::try_from(size).map_err(|_| Errno::EINVAL)
}

/// The size of a buffer.
fn bytes(size: u64) -> Result<usize, Errno> {
    usize::try_from(number(size)?).map_err(|_| Errno::EINVAL)
}

fn hops(size: u64) -> Result<u8, Errno> {
    u8::try_from(size).map_err(|_| Errno::EINVAL)
}

/// A time of whole seconds.
fn seconds(size: u64) -> Result<Duration, Errno> {
    number(size)?;
    Ok(Duration::from_secs(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Domain;

    const PROBES: [SizeOption; 3] =
        [SizeOption::KeepAliveIdle, SizeOption::KeepAliveInterval, SizeOption::KeepAliveCount];

    #[test]
    fn the_times_of_keep_alive_read_back() -> Result<(), Errno> {
        let socket = Socket::open(Domain::Inet4, Kind::Stream, 0)?;
        for (option, most) in PROBES.into_iter().zip([32_767, 32_767, 127]) {
            for value in [42, 1, most] {
                socket.set_size(option, value)?;
                assert_eq!(socket.size(option), Ok(value), "{option:?}");
            }
            for value in [0, most + 1, u64::from(u32::MAX), u64::MAX] {
                assert_eq!(socket.set_size(option, value), Err(Errno::EINVAL), "{option:?} {value}");
            }
            assert_eq!(socket.size(option), Ok(most), "{option:?}");
        }
        Ok(())
    }

    #[test]
    fn only_tcp_has_times_of_keep_alive() -> Result<(), Errno> {
        let socket = Socket::open(Domain::Inet4, Kind::Datagram, 0)?;
        for option in PROBES {
            assert_eq!(socket.set_size(option, 42), Err(Errno::ENOPROTOOPT));
            assert_eq!(socket.size(option), Err(Errno::ENOPROTOOPT));
        }
        Ok(())
    }
}
