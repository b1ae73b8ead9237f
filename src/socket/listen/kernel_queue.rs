//! How many connections wait in the kernel's queues.
//!
//! "sock_diag - obtaining information about sockets" - sock_diag(7). The kernel is asked for all listeners of this
//! network namespace, and they are told apart by their inodes. It is asked by an operator's look at a service, and
//! by no call of a guest.

use std::collections::HashMap;
use std::time::Duration;

use rustix::io::Errno as Os;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::Errno;

/// A queue of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelQueue {
    /// How many connections wait.
    pub(crate) length: u32,
    /// How many may.
    pub(crate) capacity: u32,
}

impl KernelQueue {
    fn new(length: u32, backlog: u32) -> Self {
        // It holds one more than its backlog says.
        Self { length, capacity: backlog.saturating_add(1) }
    }
}

/// The queues of listeners, by the inodes of these.
pub(crate) type KernelQueues = HashMap<u64, KernelQueue>;

/// "SOCK_DIAG_BY_FAMILY", the type of a request and of each answer.
const BY_FAMILY: u16 = 20;

/// "NLM_F_REQUEST | NLM_F_DUMP": everything that fits.
const DUMP: u16 = 0x301;

/// Message types of netlink(7).
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// The bit of the state of listeners: TCP_LISTEN, of Unix sockets too.
const LISTENING: u32 = 1 << 10;

/// "UDIAG_SHOW_RQLEN"
const SHOW_QUEUE: u32 = 0x10;

/// "UNIX_DIAG_RQLEN", the attribute of an answer.
const QUEUE: u16 = 4;

const HEADER: usize = 16;

/// What the kernel sends at once is no longer.
const BUFFER: usize = 32 * 1024;

/// A machine with more listeners than fit into these has none of the rest in the result.
const MOST_BATCHES: usize = 256;

/// The queues of all listeners over TCP and Unix sockets that the kernel says.
pub(crate) fn kernel_queues() -> KernelQueues {
    let mut queues = KernelQueues::new();
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        // A kernel without this interface says nothing.
        let _unknown = ask(&tcp_request(family), &mut |body| note_tcp(body, &mut queues));
    }
    let _unknown = ask(&unix_request(), &mut |body| note_unix(body, &mut queues));
    queues
}

/// "struct inet_diag_req_v2", for TCP.
fn tcp_request(family: AddressFamily) -> Vec<u8> {
    const TCP: u8 = 6;
    const ANY: [u8; 48] = [0; 48];
    let family = family.as_raw().to_le_bytes()[0];
    [&[family, TCP, 0, 0][..], &LISTENING.to_ne_bytes(), &ANY].concat()
}

/// "struct unix_diag_req"
fn unix_request() -> Vec<u8> {
    let family = AddressFamily::UNIX.as_raw().to_le_bytes()[0];
    let words = [LISTENING, 0, SHOW_QUEUE, u32::MAX, u32::MAX].map(u32::to_ne_bytes).concat();
    [&[family, 0, 0, 0][..], &words].concat()
}

/// Sends a request and passes on the body of each answer.
fn ask(request: &[u8], answer: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG))?;
    // It is there at once, or not at all.
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(1)))?;
    let length = u32::try_from(HEADER + request.len()).map_err(|_| Errno::EINVAL)?;
    let header = [
        &length.to_ne_bytes()[..],
        &BY_FAMILY.to_ne_bytes(),
        &DUMP.to_ne_bytes(),
        &1_u32.to_ne_bytes(),
        &0_u32.to_ne_bytes(),
    ];
    let message = [&header.concat(), request].concat();
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut buffer = vec![0; BUFFER];
    for _ in 0..MOST_BATCHES {
        let (count, _) = match rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty()) {
            Err(Os::INTR) => continue,
            received => received?,
        };
        if count == 0 || is_last(buffer.get(..count).unwrap_or_default(), answer) {
            break;
        }
    }
    Ok(())
}

/// Passes on the answers of one batch; says whether the kernel has no more.
fn is_last(mut batch: &[u8], answer: &mut dyn FnMut(&[u8])) -> bool {
    while let Some((length, kind)) = u32_at(batch, 0).zip(u16_at(batch, 4)) {
        if matches!(kind, ERROR | DONE) {
            return true;
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = batch.get(HEADER..length) else { return true };
        answer(body);
        // "NLMSG_ALIGN"
        batch = batch.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// "struct inet_diag_msg". "idiag_rqueue: For listening sockets: the number of pending connections.
/// idiag_wqueue: For listening sockets: the backlog length" - sock_diag(7)
fn note_tcp(body: &[u8], queues: &mut KernelQueues) {
    let found = u32_at(body, 56).zip(u32_at(body, 60)).zip(u32_at(body, 68));
    if let Some(((length, backlog), inode)) = found {
        queues.insert(inode.into(), KernelQueue::new(length, backlog));
    }
}

/// "struct unix_diag_msg", and its attributes.
fn note_unix(body: &[u8], queues: &mut KernelQueues) {
    let Some(inode) = u32_at(body, 4) else { return };
    let mut rest = body.get(16..).unwrap_or_default();
    while let Some((length, kind)) = u16_at(rest, 0).zip(u16_at(rest, 2)) {
        if kind == QUEUE
            && let Some((length, backlog)) = u32_at(rest, 4).zip(u32_at(rest, 8))
        {
            queues.insert(inode.into(), KernelQueue::new(length, backlog));
        }
        // One that has no length would be for ever the next.
        let length = usize::from(length).next_multiple_of(4).max(4);
        rest = rest.get(length..).unwrap_or_default();
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn queue_of(fd: impl AsFd) -> Result<Option<KernelQueue>, Box<dyn std::error::Error>> {
        let inode = rustix::fs::fstat(fd)?.st_ino;
        Ok(kernel_queues().get(&inode).copied())
    }

    #[test]
    fn the_kernel_says_how_many_wait() -> TestResult {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        rustix::net::listen(&listener, 7)?;
        // A kernel without sock_diag(7) says nothing.
        let Some(empty) = queue_of(&listener)? else { return Ok(()) };
        assert_eq!(empty, KernelQueue { length: 0, capacity: 8 });
        let _clients =
            (TcpStream::connect(listener.local_addr()?)?, TcpStream::connect(listener.local_addr()?)?);
        assert_eq!(queue_of(&listener)?.map(|queue| queue.length), Some(2));
        Ok(())
    }

    #[test]
    fn so_it_does_of_unix_sockets() -> TestResult {
        let folder = std::env::temp_dir().join(format!("wasock-queue-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("s");
        let listener = UnixListener::bind(&path)?;
        let _client = UnixStream::connect(&path)?;
        let found = queue_of(&listener)?;
        std::fs::remove_dir_all(&folder)?;
        assert!(found.is_none_or(|queue| queue.length == 1 && queue.capacity > 1), "{found:?}");
        Ok(())
    }

    #[test]
    fn answers_that_are_cut_end() {
        let mut seen = 0;
        let mut count = |_: &[u8]| seen += 1;
        assert!(!is_last(&[], &mut count));
        assert!(is_last(&[200, 0, 0, 0, 20, 0, 0, 0], &mut count));
        assert!(is_last(&[0; 32], &mut count));
        assert_eq!(seen, 0);
        let mut queues = KernelQueues::new();
        note_tcp(&[0; 70], &mut queues);
        note_unix(&[0; 64], &mut queues);
        note_unix(&[0; 3], &mut queues);
        assert!(queues.is_empty());
    }
}
