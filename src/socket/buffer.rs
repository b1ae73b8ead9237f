//! How large the kernel's buffers of a socket may become.
//!
//! All numbers are as the kernel counts them and as an option is read back: "The kernel
//! doubles this value (to allow space for bookkeeping overhead) when it is set using
//! setsockopt(2), and this doubled value is returned by getsockopt(2)." - socket(7). It
//! keeps a minimum of its own, of some thousand bytes.

use std::sync::OnceLock;

use super::{Family, Kind, SizeOption, Socket};
use crate::error::Errno;

/// Where the kernel says how far the buffers of TCP grow by themselves: "min, default, max"
/// - tcp(7), for receiving and for sending.
const GROWTH: [&str; 2] = ["/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/net/ipv4/tcp_wmem"];

/// The buffers of a socket, in the order of [`GROWTH`].
const BUFFERS: [SizeOption; 2] = [SizeOption::ReceiveBuffer, SizeOption::SendBuffer];

impl Socket {
    /// Gives no buffer more than `most` bytes, now and later.
    ///
    /// The kernel grows the buffers of TCP as they are used, until a size is set.
    ///  So a fresh one that could outgrow `most` gets just that. What
    /// was accepted has it from its listener, and `is_fresh` is false.
    ///
    /// # Errors
    ///
    /// What the operating system reports.
    pub fn limit_buffers(&self, most: u32, is_fresh: bool) -> Result<(), Errno> {
        let grows = is_fresh && self.kind() == Kind::Stream && self.family() != Family::Unix;
        for (buffer, growth) in BUFFERS.into_iter().zip(growth()) {
            let largest = if grows { growth } else { self.size(buffer)? };
            if largest > most.into() {
                self.set_size(buffer, asked_for(most))?;
            }
        }
        Ok(())
    }

    /// As [`set_size`](Self::set_size), where a buffer may have `most` bytes. Returns whether
    /// it gets less than requested.
    ///
    /// # Errors
    ///
    /// Those of [`set_size`](Self::set_size).
    pub fn set_size_within(&self, most: u32, option: SizeOption, size: u64) -> Result<bool, Errno> {
        let is_buffer = BUFFERS.contains(&option);
        // A number that no buffer can have is refused as ever.
        let is_too_much = is_buffer && size > asked_for(most) && i32::try_from(size).is_ok();
        self.set_size(option, if is_too_much { asked_for(most) } else { size })?;
        Ok(is_too_much)
    }
}

/// What the kernel is to be asked for, so that it gives `most`.
fn asked_for(most: u32) -> u64 {
    u64::from(most / 2)
}

/// How large the kernel lets the buffers of TCP become.
fn growth() -> [u64; 2] {
    static KNOWN: OnceLock<[u64; 2]> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        GROWTH.map(|path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.split_whitespace().nth(2).and_then(|most| most.parse().ok()).unwrap_or(u64::MAX)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Domain;

    fn buffers(socket: &Socket) -> Result<[u64; 2], Errno> {
        let [receive, send] = BUFFERS;
        Ok([socket.size(receive)?, socket.size(send)?])
    }

    #[test]
    fn a_fresh_stream_gets_the_limit_before_it_could_outgrow_it() -> Result<(), Errno> {
        let socket = Socket::open(Domain::Inet4, Kind::Stream, 0)?;
        socket.limit_buffers(50_000, true)?;
        assert_eq!(buffers(&socket)?, [50_000, 50_000]);
        Ok(())
    }

    #[test]
    fn what_does_not_grow_is_only_made_smaller() -> Result<(), Errno> {
        let socket = Socket::open(Domain::Inet4, Kind::Datagram, 0)?;
        let before = buffers(&socket)?;
        socket.limit_buffers(u32::MAX, true)?;
        assert_eq!(buffers(&socket)?, before);
        socket.limit_buffers(20_000, true)?;
        assert_eq!(buffers(&socket)?, [20_000, 20_000]);
        Ok(())
    }

    #[test]
    fn a_buffer_gets_what_was_asked_for_or_the_limit() -> Result<(), Errno> {
        let socket = Socket::open(Domain::Inet4, Kind::Datagram, 0)?;
        let [receive, _] = BUFFERS;
        assert_eq!(socket.set_size_within(50_000, receive, 10_000), Ok(false));
        assert_eq!(socket.size(receive), Ok(20_000));
        assert_eq!(socket.set_size_within(50_000, receive, 25_001), Ok(true));
        assert_eq!(socket.size(receive), Ok(50_000));
        assert_eq!(socket.set_size_within(50_000, receive, 1 << 40), Err(Errno::EINVAL));
        assert_eq!(socket.set_size_within(2, SizeOption::TimeToLive, 9), Ok(false));
        assert_eq!(socket.size(SizeOption::TimeToLive), Ok(9));
        Ok(())
    }
}
