//! Data in and out of the host's sockets, of whatever kind.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

#[cfg(feature = "components")]
use rustix::buffer::spare_capacity;
use rustix::net as host;
use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrArg;

use super::Kind;
use crate::address::Address;
use crate::error::Errno;

/// How to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvFlags {
    /// Leave the data where it is.
    pub peek: bool,
    /// Wait until the buffer is full or the stream ends.
    pub wait_all: bool,
    /// Return the length of a message, rather than how much of it fitted.
    pub whole_length: bool,
    /// Do not wait, whatever the descriptor says.
    pub dont_wait: bool,
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes are in the buffer.
    pub count: usize,
    /// How long the message was. The rest of it is gone.
    pub length: usize,
    /// The sender, if each message carries one.
    pub from: Option<Address>,
}

/// Which direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownHow {
    /// No more is received.
    Read,
    /// No more is sent: the peer sees the end of the stream.
    Write,
    /// Both.
    Both,
}

impl Received {
    /// So many bytes of a stream.
    pub fn bytes(count: usize) -> Self {
        Self { count, length: count, from: None }
    }
}

/// Receives what is there, up to the length of `buffer`, from a socket that is connected.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    kind: Kind,
    buffer: &mut [u8],
    peek: bool,
) -> Result<Received, Errno> {
    let flags = flags(kind, peek);
    let (count, length) = rustix::io::retry_on_intr(|| host::recv(fd, &mut *buffer, flags))?;
    Ok(Received { count, length: if kind == Kind::Stream { count } else { length }, from: None })
}

/// Receives what is there of a stream, up to `length` bytes, into memory that need not be written to before.
#[cfg(feature = "components")]
pub(super) fn receive_new(fd: BorrowedFd<'_>, length: usize) -> Result<Vec<u8>, Errno> {
    let flags = flags(Kind::Stream, false);
    let mut bytes = Vec::with_capacity(length);
    if bytes.capacity() == length {
        rustix::io::retry_on_intr(|| host::recv(fd, spare_capacity(&mut bytes), flags))?;
    } else {
        // The kernel would fill what the allocator gave besides.
        bytes.resize(length, 0);
        let (count, _) = rustix::io::retry_on_intr(|| host::recv(fd, bytes.as_mut_slice(), flags))?;
        bytes.truncate(count);
    }
    Ok(bytes)
}

/// As [`receive`], with what the kernel calls the sender.
pub(super) fn receive_from(
    fd: BorrowedFd<'_>,
    kind: Kind,
    buffer: &mut [u8],
    peek: bool,
) -> Result<(Received, Option<SocketAddrAny>), Errno> {
    let flags = flags(kind, peek);
    let (count, length, from) = rustix::io::retry_on_intr(|| host::recvfrom(fd, &mut *buffer, flags))?;
    Ok((Received { count, length, from: None }, from))
}

/// In a stream, `TRUNC` would discard what it does not return. A shared socket may be in blocking
/// mode, which its other owners choose.
pub(super) fn flags(kind: Kind, peek: bool) -> host::RecvFlags {
    let mut flags = host::RecvFlags::DONTWAIT;
    flags.set(host::RecvFlags::PEEK, peek);
    flags.set(host::RecvFlags::TRUNC, kind != Kind::Stream);
    flags
}

/// How to send: no signal is raised, and the call never blocks, whatever mode the socket is in.
pub(super) const SEND: host::SendFlags = host::SendFlags::NOSIGNAL.union(host::SendFlags::DONTWAIT);

/// Sends as much as fits, and returns how much that was.
pub(super) fn send(fd: BorrowedFd<'_>, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let sent = match data {
        [one] => rustix::io::retry_on_intr(|| host::send(fd, one, SEND)),
        many => rustix::io::retry_on_intr(|| host::sendmsg(fd, many, &mut Default::default(), SEND)),
    };
    Ok(sent?)
}

/// Has the kernel send `count` bytes of the file `from`, from `offset` on, or what finds room; returns how much that
/// was, and 0 at the end of the file. The socket has to be in nonblocking mode, and this process to [ignore
/// `SIGPIPE`](ignores_sigpipe): the call has no flag of its own for either.
pub(super) fn send_file(
    fd: BorrowedFd<'_>,
    from: BorrowedFd<'_>,
    mut offset: u64,
    count: usize,
) -> Result<usize, Errno> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::sendfile(fd, from, Some(&mut offset), count))?)
}

/// Does this process ignore `SIGPIPE`, as Rust's runtime has it do before `main`? Otherwise one that comes with `EPIPE`
/// would end the host, or run a handler of the embedder's. No safe interface to the kernel asks for that, but a file
/// tells: it is read once, and where it cannot be read the answer is no. An embedder leaves it so (docs/embedding.md).
pub(super) fn ignores_sigpipe() -> bool {
    static IGNORES: OnceLock<bool> = OnceLock::new();
    *IGNORES
        .get_or_init(|| std::fs::read_to_string("/proc/self/status").is_ok_and(|status| is_ignored(&status)))
}

/// Is `SIGPIPE` ignored, by the text of that file? "SigIgn, SigCgt: Masks (expressed in hexadecimal) indicating signals
/// being ignored and caught" - proc_pid_status(5)
fn is_ignored(status: &str) -> bool {
    // Signal 1 is the lowest bit, and this is 13.
    const SIGPIPE: u64 = 1 << 12;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & SIGPIPE != 0)
}

/// Sends one message to `to`.
pub(super) fn send_to(
    fd: BorrowedFd<'_>,
    data: &[IoSlice<'_>],
    to: &impl SocketAddrArg,
) -> Result<usize, Errno> {
    let sent = match data {
        [one] => rustix::io::retry_on_intr(|| host::sendto(fd, one, SEND, to)),
        many => rustix::io::retry_on_intr(|| host::sendmsg_addr(fd, to, many, &mut Default::default(), SEND)),
    };
    Ok(sent?)
}

/// Ends one direction, or both.
pub(super) fn shutdown(fd: BorrowedFd<'_>, how: ShutdownHow) -> Result<(), Errno> {
    let how = match how {
        ShutdownHow::Read => host::Shutdown::Read,
        ShutdownHow::Write => host::Shutdown::Write,
        ShutdownHow::Both => host::Shutdown::Both,
    };
    Ok(host::shutdown(fd, how)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_sigpipe_is_ignored_is_believed() {
        let status =
            |mask: &str| format!("SigBlk:\t0000000000001000\nSigIgn:\t{mask}\nSigCgt:\t0000000000001000\n");
        for (mask, expected) in [
            ("0000000000001000", true),
            ("ffffffffffffffff", true),
            ("0000000000000000", false),
            ("ffffffffffffefff", false),
            ("0000000000002000", false),
            ("", false),
            ("1000 and more", false),
            ("-1000", false),
        ] {
            assert_eq!(is_ignored(&status(mask)), expected, "{mask}");
        }
        for other in ["", "SigCgt:\t0000000000001000\n", "ShdSigIgn:\t0000000000001000\n"] {
            assert!(!is_ignored(other), "{other}");
        }
    }

    #[test]
    fn a_program_in_rust_ignores_sigpipe() {
        assert!(ignores_sigpipe());
    }
}
