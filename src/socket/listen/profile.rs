//! The descriptions of `listen`, and where they differ.
//!
//! [`ListenProfile::rules`] is the one table: every difference is a cell of it, and
//! no other code asks which profile it is.

use std::fmt;
use std::str::FromStr;

use crate::error::{Errno, ParseError};

/// Which description of `listen` a guest was written for.
///
/// Programs that call `listen` were written against different texts. They agree on
/// most of it; a profile decides the rest, and nothing but the rest: see
/// [`ListenProfile::rules`]. The operator chooses it, for all listeners
/// ([`WasockCtxBuilder::listen_profile`](crate::WasockCtxBuilder::listen_profile),
/// `--listen-profile`) or for some
/// ([`WasockCtxBuilder::listen_profile_at`](crate::WasockCtxBuilder::listen_profile_at)).
///
/// # What holds in every profile
///
/// A backlog of 0 lets one connection wait. (Whether one of 2^31 and more is negative, as a C
/// `int` is, or a large number, the profile says.) More than the operator's maximum means the maximum, without
/// notice to the guest. Listening again changes the backlog. Pending connections are
/// accepted in order of arrival. Without descriptors none is lost: `accept`
/// is `EMFILE` or `ENFILE`, and works again as soon as one is free.
///
/// The kernel's own limit (`net.core.somaxconn`) holds too: beyond it no number
/// reaches, except in the profile [`Winsock`](Self::Winsock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListenProfile {
    /// WASIX `sock_listen`, the default.
    ///
    /// A server can rely on: `listen(fd, n)` lets exactly n connections wait, one
    /// where n is 0. The backlog has no sign: what a program meant as -1 is a large number, and
    /// so the maximum. The next client gets no reply: its kernel tries
    /// again by itself, and connects once there is space. `listen` on a socket without
    /// an address is `EINVAL`, on a connected or connecting one `EISCONN`.
    #[default]
    Wasix,
    /// POSIX `listen()`, IEEE 1003.1.
    ///
    /// As [`Wasix`](Self::Wasix), with a negative backlog that lets one connection wait, and
    /// with POSIX's error numbers: `EDESTADDRREQ` for a
    /// socket without an address, `EINVAL` for a connected or connecting one.
    Posix,
    /// Windows Sockets and Windows CE `listen`.
    ///
    /// A server can rely on: exactly n connections wait, and one more is refused at
    /// once: it is accepted and reset, so that the client sees `ECONNREFUSED` or
    /// `ECONNRESET`, also while the guest is busy. A smaller backlog resets those that
    /// came last. `SOMAXCONN` means the maximum: 128 in the WASIX C library,
    /// 0x7fffffff in Winsock.
    ///
    /// The host takes connections from the kernel by itself here, on one thread for
    /// all listeners, so each that waits has a descriptor of the host. While the host
    /// has none left, those that do not fit wait in the kernel, and clients beyond
    /// the backlog get no reply; accepting continues as soon as a descriptor is free.
    Winsock,
    /// BSD `listen`: Symbian Open C, 4.2BSD to FreeBSD.
    ///
    /// A server can rely on: half as many again wait as it asked for, rounded up. A
    /// negative backlog means the maximum. A client beyond that is dropped silently
    /// and tries again. `listen` on a socket without an address, or on a connected or
    /// connecting one, is `EINVAL`.
    Bsd,
    /// What Linux itself does.
    ///
    /// A server can rely on: n + 1 connections wait, one where n is 0. A negative
    /// backlog means the maximum. A client beyond that is dropped silently and tries
    /// again. `listen` on a socket without an address gives it a port on the wildcard
    /// address, where the policy grants listening on `0.0.0.0:0` or `[::]:0`;
    /// on a connected or connecting one it is `EINVAL`.
    Linux,
}

/// What a profile decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenRules {
    /// What a backlog of 2^31 and more means: to a C `int`, a negative one.
    pub negative: NegativeBacklog,
    /// Does `SOMAXCONN` mean the maximum, or is it a plain number?
    pub somaxconn_is_maximum: bool,
    /// How many connections wait for a backlog.
    pub holds: QueueCapacity,
    /// What becomes of one connection more.
    pub beyond: OverflowPolicy,
    /// `listen` on a socket without an address.
    pub unbound: UnboundListen,
    /// The error of `listen` on a connected or connecting socket.
    pub connected: Errno,
}

/// What a negative backlog means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NegativeBacklog {
    /// There is none: the backlog is an unsigned number, and a large one.
    Unsigned,
    /// The same as 0.
    Zero,
    /// The operator's maximum.
    Maximum,
}

/// How many connections wait for a backlog of N. One always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueCapacity {
    /// N.
    Backlog,
    /// Half as many again, rounded up.
    HalfMore,
    /// N + 1.
    OneMore,
}

/// What becomes of a connection that finds the queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverflowPolicy {
    /// The kernel sends no reply, and the client's kernel tries again.
    Unanswered,
    /// It is accepted and reset. So are those, newest first, that exceed a smaller
    /// backlog.
    Reset,
}

/// `listen` on a socket without an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnboundListen {
    /// An error.
    Refused(Errno),
    /// It is bound to port 0 of the wildcard address, if the policy allows exactly
    /// that.
    BoundToWildcard,
}

/// `SOMAXCONN` as a guest may have it: of the WASIX C library, and of Winsock.
const SOMAXCONN: [u32; 2] = [128, 0x7fff_ffff];

impl ListenProfile {
    /// Every profile, the default one first.
    pub const ALL: [Self; 5] = [Self::Wasix, Self::Posix, Self::Winsock, Self::Bsd, Self::Linux];

    /// The name, as `--listen-profile` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wasix => "wasix",
            Self::Posix => "posix",
            Self::Winsock => "winsock",
            Self::Bsd => "bsd",
            Self::Linux => "linux",
        }
    }

    /// The table of differences.
    #[doc(hidden)]
    pub const fn rules(self) -> ListenRules {
        match self {
            // "Maximum size of the queue for pending connections" - wasix_32v1.witx,
            // sock_listen, which says no more. Errors are those of the reference host
            // in POSIX's names.
            Self::Wasix => ListenRules {
                // "(param $backlog $size)" - the same, and a size has no sign.
                negative: NegativeBacklog::Unsigned,
                somaxconn_is_maximum: false,
                holds: QueueCapacity::Backlog,
                beyond: OverflowPolicy::Unanswered,
                unbound: UnboundListen::Refused(Errno::EINVAL),
                connected: Errno::EISCONN,
            },
            Self::Posix => ListenRules {
                // "If listen() is called with a backlog argument value that is less than
                // 0, the function behaves as if it had been called with a backlog
                // argument value of 0." - listen(3p)
                negative: NegativeBacklog::Zero,
                somaxconn_is_maximum: false,
                // "The backlog argument provides a hint to the implementation which the
                // implementation shall use to limit the number of outstanding
                // connections in the socket's listen queue." - listen(3p)
                holds: QueueCapacity::Backlog,
                beyond: OverflowPolicy::Unanswered,
                // "EDESTADDRREQ: The socket is not bound to a local address, and the
                // protocol does not support listening on an unbound socket." - listen(3p)
                unbound: UnboundListen::Refused(Errno::EDESTADDRREQ),
                // "EINVAL: The socket is already connected." - listen(3p)
                connected: Errno::EINVAL,
            },
            Self::Winsock => ListenRules {
                // "Illegal values are replaced by the nearest legal value." - Winsock listen
                negative: NegativeBacklog::Zero,
                // "If this value is SOMAXCONN, then the service provider should set the
                // backlog to a maximum reasonable value." - Winsock listen
                somaxconn_is_maximum: true,
                holds: QueueCapacity::Backlog,
                // "If a connection request arrives with the queue full, the client will
                // receive an error with an indication of WSAECONNREFUSED." and "Should
                // there be more pending connections than the new backlog value, the
                // excess pending connections will be reset and dropped." - Winsock listen
                beyond: OverflowPolicy::Reset,
                // "WSAEINVAL: The socket has not been bound with bind." - Winsock listen
                unbound: UnboundListen::Refused(Errno::EINVAL),
                // "WSAEISCONN: The socket is already connected." - Winsock listen
                connected: Errno::EISCONN,
            },
            Self::Bsd => ListenRules {
                // "if a value greater than kern.ipc.soacceptqueue or less than zero is
                // specified, backlog is silently forced to kern.ipc.soacceptqueue"
                // - listen(2), FreeBSD
                negative: NegativeBacklog::Maximum,
                somaxconn_is_maximum: false,
                // "The real maximum queue length will be 1.5 times more than the value
                // specified in the backlog argument." - listen(2), FreeBSD
                holds: QueueCapacity::HalfMore,
                // "or, in the case of TCP, the connection will be silently dropped"
                // - listen(2), FreeBSD
                beyond: OverflowPolicy::Unanswered,
                // Open C's number. FreeBSD's page has EDESTADDRREQ, where a protocol can't
                // listen unbound.
                unbound: UnboundListen::Refused(Errno::EINVAL),
                // "EINVAL: The socket is already connected, or in the process of being
                // connected." - listen(2), FreeBSD
                connected: Errno::EINVAL,
            },
            // "If the backlog argument is greater than the value in
            // /proc/sys/net/core/somaxconn, then it is silently capped to that value."
            // - listen(2), Linux. It compares as unsigned, so a negative one is greater.
            Self::Linux => ListenRules {
                negative: NegativeBacklog::Maximum,
                somaxconn_is_maximum: false,
                holds: QueueCapacity::OneMore,
                beyond: OverflowPolicy::Unanswered,
                // "the socket was not previously bound to an address and, upon attempting to
                // bind it to an ephemeral port" - listen(2), Linux, under EADDRINUSE
                unbound: UnboundListen::BoundToWildcard,
                connected: Errno::EINVAL,
            },
        }
    }
}

impl ListenRules {
    /// How many connections may wait for the backlog that the guest passed, where
    /// `maximum` is the operator's for backlogs. At least one.
    pub fn capacity(&self, backlog: u32, maximum: u32) -> u32 {
        let asked = match i32::try_from(backlog) {
            Ok(_) if self.somaxconn_is_maximum && SOMAXCONN.contains(&backlog) => maximum,
            Ok(_) => backlog.min(maximum),
            Err(_) => match self.negative {
                NegativeBacklog::Zero => 0,
                NegativeBacklog::Unsigned | NegativeBacklog::Maximum => maximum,
            },
        };
        let held = match self.holds {
            QueueCapacity::Backlog => asked,
            QueueCapacity::HalfMore => asked.saturating_add(asked.div_ceil(2)),
            QueueCapacity::OneMore => asked.saturating_add(1),
        };
        held.max(1)
    }

    /// Must the host own the queue of pending connections? The kernel neither refuses nor resets.
    pub(crate) fn needs_queue(&self) -> bool {
        self.beyond == OverflowPolicy::Reset
    }
}

impl fmt::Display for ListenProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ListenProfile {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let unknown = || ParseError::new(format!("expected one of {}", names()));
        Self::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(unknown)
    }
}

/// The number to give to the kernel so that exactly `capacity` connections wait.
///
/// Linux holds one more than it is passed, because it checks with "greater than"
/// whether the queue is full.
pub(crate) fn kernel_backlog(capacity: u32) -> i32 {
    i32::try_from(capacity.saturating_sub(1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ListenProfile::{Bsd, Linux, Posix, Wasix, Winsock};

    const MAXIMUM: u32 = 1000;

    fn capacities(profile: ListenProfile, backlogs: &[u32]) -> Vec<u32> {
        backlogs.iter().map(|backlog| profile.rules().capacity(*backlog, MAXIMUM)).collect()
    }

    #[test]
    fn a_backlog_becomes_a_capacity() {
        let backlogs = [0, 1, 2, 3, 127, 128, 1000, 1001, 0x7fff_ffff];
        for exact in [Wasix, Posix] {
            assert_eq!(capacities(exact, &backlogs), [1, 1, 2, 3, 127, 128, 1000, 1000, 1000]);
        }
        assert_eq!(capacities(Winsock, &backlogs), [1, 1, 2, 3, 127, 1000, 1000, 1000, 1000]);
        assert_eq!(capacities(Bsd, &backlogs), [1, 2, 3, 5, 191, 192, 1500, 1500, 1500]);
        assert_eq!(capacities(Linux, &backlogs), [1, 2, 3, 4, 128, 129, 1001, 1001, 1001]);
    }

    #[test]
    fn a_negative_backlog_is_nothing_or_everything() {
        let negative = [1 << 31, u32::MAX];
        for zero in [Posix, Winsock] {
            assert_eq!(capacities(zero, &negative), [1, 1]);
        }
        assert_eq!(capacities(Wasix, &negative), [1000, 1000]);
        assert_eq!(capacities(Bsd, &negative), [1500, 1500]);
        assert_eq!(capacities(Linux, &negative), [1001, 1001]);
    }

    #[test]
    fn one_always_waits_and_nothing_overflows() {
        for profile in ListenProfile::ALL {
            for backlog in [0, 1, u32::MAX] {
                assert_eq!(profile.rules().capacity(backlog, 0), 1, "{profile} {backlog}");
            }
            assert!(profile.rules().capacity(0x7fff_ffff, u32::MAX) >= 0x7fff_ffff);
        }
    }

    #[test]
    fn a_profile_has_a_name() {
        for profile in ListenProfile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        let wrong = "windows".parse::<ListenProfile>().map_err(|error| error.to_string());
        assert_eq!(wrong, Err("expected one of wasix, posix, winsock, bsd, linux".to_owned()));
    }

    #[test]
    fn the_kernel_is_passed_one_less() {
        assert_eq!(kernel_backlog(1), 0);
        assert_eq!(kernel_backlog(128), 127);
        assert_eq!(kernel_backlog(0), 0);
        assert_eq!(kernel_backlog(u32::MAX), i32::MAX);
    }
}
