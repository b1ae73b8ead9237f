//! Receiving and sending: flags, vectors, ends of streams.

use wasix::descriptor::right;
use wasix::errno::*;
use wasix::socket::*;
use wasix::{check, check_eq, check_ok, descriptor};

fn main() {
    let (listener, _) = check_ok!(listener());
    let (near, far) = check_ok!(connected(listener));
    let mut buf = [0; 64];

    // Peeking leaves the bytes where they are.
    check_ok!(send_all(near, b"hello"));
    check_eq!(recv(far, &mut buf, RECV_PEEK), Ok(5));
    check_eq!(recv(far, &mut buf[..2], RECV_PEEK), Ok(2));
    check_eq!(recv(far, &mut buf, 0), Ok(5));
    check_eq!(buf[..5], *b"hello");

    // Not waiting, for one call.
    check_eq!(recv(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN));
    check_eq!(recv(far, &mut buf, RECV_DONT_WAIT | RECV_PEEK), Err(EAGAIN));
    check_eq!(send(far, b"x", SEND_DONT_WAIT), Ok(1));
    check_eq!(recv(near, &mut buf, RECV_DONT_WAIT), Ok(1));

    // Waiting for all: both parts in one answer.
    check_ok!(send_all(near, b"first "));
    check_ok!(send_all(near, b"second"));
    check_eq!(recv(far, &mut buf[..12], RECV_WAITALL), Ok(12));
    check_eq!(buf[..12], *b"first second");

    // Nothing asked, nothing waited for.
    check_eq!(recv(far, &mut [], 0), Ok(0));
    check_eq!(recv_vectored(far, &[], 0), Ok(0));
    check_eq!(send(far, &[], 0), Ok(0));
    check_eq!(send_vectored(far, &[], 0), Ok(0));

    many_vectors(near, far);

    // The calls for files serve as well.
    check_eq!(descriptor::write(near, b"written"), Ok(7));
    check_eq!(descriptor::read(far, &mut buf), Ok(7));
    check_eq!(buf[..7], *b"written");

    // Unknown flags.
    for flags in [16, 0x8000, u32::MAX] {
        let answer = recv(far, &mut buf, flags | RECV_DONT_WAIT);
        check!(matches!(answer, Err(EINVAL | ENOTSUP | EAGAIN)), "flags {flags}: {answer:?}");
    }

    // A full connection.
    check_ok!(descriptor::set_nonblocking(near));
    let block = vec![7; 1 << 20];
    let mut sent = 0;
    let full = loop {
        match send(near, &block, 0) {
            Ok(count) => sent += count,
            Err(errno) => break errno,
        }
        check!(sent < 1 << 30, "a connection that never is full");
    };
    check_eq!(full, EAGAIN);
    let mut received = 0;
    let mut block = vec![0; 1 << 20];
    while received < sent {
        received += check_ok!(recv(far, &mut block, 0));
    }
    check_eq!(received, sent);

    // The end.
    check_ok!(shutdown(near, SHUT_WR));
    check_eq!(recv(far, &mut buf, 0), Ok(0));
    check_eq!(recv(far, &mut buf, 0), Ok(0));
    check_eq!(send(near, b"x", 0), Err(EPIPE));
    check_ok!(descriptor::close(near));
    check!(sending_fails(far), "sending to a peer that is gone");

    // No connection at all.
    let fresh = check_ok!(open(INET4, STREAM, TCP));
    check_eq!(recv(fresh, &mut buf, 0), Err(ENOTCONN));
    let answer = send(fresh, b"x", 0);
    check!(matches!(answer, Err(ENOTCONN | EPIPE)), "sending unconnected answered {answer:?}");
    check_eq!(recv(listener, &mut buf, 0), Err(ENOTCONN));
    check_eq!(recv(900, &mut buf, 0), Err(EBADF));
    check_eq!(send(900, b"x", 0), Err(EBADF));
    check_eq!(recv(3, &mut buf, 0), Err(ENOTSOCK));
    check_eq!(send(3, b"x", 0), Err(ENOTSOCK));

    let (near, far) = check_ok!(connected(listener));
    check_ok!(descriptor::drop_rights(near, right::SOCK_SEND));
    check_eq!(send(near, b"x", 0), Err(ENOTCAPABLE));
    check_ok!(descriptor::drop_rights(far, right::SOCK_RECV));
    check_eq!(recv(far, &mut buf, 0), Err(ENOTCAPABLE));
}

/// One message in a thousand pieces, and back into a thousand others.
fn many_vectors(near: u32, far: u32) {
    let message: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
    let pieces: Vec<IoVec> = message.chunks(3).map(IoVec::writing).collect();
    let mut sent = check_ok!(send_vectored(near, &pieces, 0));
    while sent < message.len() {
        sent += check_ok!(send(near, &message[sent..], 0));
    }
    let mut back = vec![0; 3000];
    let holes: Vec<IoVec> = back.chunks_mut(3).map(IoVec::reading).collect();
    let mut received = check_ok!(recv_vectored(far, &holes, RECV_WAITALL));
    while received < message.len() {
        received += check_ok!(recv(far, &mut back[received..], 0));
    }
    check!(back == message, "a message in pieces");
}

/// Sending to a closed peer succeeds until its reset arrives.
fn sending_fails(fd: u32) -> bool {
    (0..1000).any(|_| match send(fd, b"x", 0) {
        Ok(_) => {
            let wait = wasix::poll::Subscription::clock(wasix::poll::MONOTONIC, 1_000_000, 0);
            check_ok!(wasix::poll::poll(&[wait]));
            false
        }
        Err(errno) => matches!(errno, EPIPE | ECONNRESET),
    })
}
