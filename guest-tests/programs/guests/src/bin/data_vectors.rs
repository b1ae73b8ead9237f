//! `data_vectors KIND`: data from many buffers and into many, as many as there may be, none,
//! and one too many.

use wasix::descriptor::set_nonblocking;
use wasix::ends::Kind;
use wasix::errno::*;
use wasix::socket::*;
use wasix::{Fd, Result, address_of, address_of_mut, check, check_eq, check_ok, outcome, raw};

/// `IOV_MAX` of Linux and the BSDs.
const MOST: usize = 1024;

type Call = unsafe extern "C" fn(u32, u32, u32, u32) -> i32;

fn main() {
    let kind = Kind::of_args();
    let (near, far) = check_ok!(kind.ends());
    check_ok!(set_nonblocking(near));
    check_ok!(set_nonblocking(far));
    the_most(near, far);
    too_many(near, far);
    none(kind, near, far);
    empty_ones(near, far);
    too_long(near, far);
    println!("done");
}

fn by(call: Call, fd: Fd, iovs: u32, count: u32) -> Result<usize> {
    let mut len = 0u32;
    outcome(unsafe { call(fd, iovs, count, address_of_mut(&mut len)) })?;
    Ok(len as usize)
}

fn written(fd: Fd, iovs: &[IoVec]) -> Result<usize> {
    by(raw::preview1::fd_write, fd, address_of(iovs), iovs.len() as u32)
}

fn read(fd: Fd, iovs: &[IoVec]) -> Result<usize> {
    by(raw::preview1::fd_read, fd, address_of(iovs), iovs.len() as u32)
}

fn send_one(fd: Fd, iovs: &[IoVec]) -> Result<usize> {
    send_vectored(fd, iovs, 0)
}

fn recv_one(fd: Fd, iovs: &[IoVec]) -> Result<usize> {
    recv_vectored(fd, iovs, 0)
}

/// One message, or bytes in order, from 1024 buffers of all lengths into 1024 others.
fn the_most(near: Fd, far: Fd) {
    let message: Vec<u8> = (0..20_000u32).map(|n| (n ^ n >> 8) as u8).collect();
    let mut rest = message.as_slice();
    let mut pieces = Vec::new();
    for length in (0..MOST).map(|n| n % 40) {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(IoVec::writing(piece));
        rest = after;
    }
    let total = message.len() - rest.len();
    for (give, take) in [
        (send_one as fn(Fd, &[IoVec]) -> Result<usize>, recv_one as fn(Fd, &[IoVec]) -> Result<usize>),
        (written, read),
    ] {
        check_eq!(give(near, &pieces), Ok(total));
        let mut back = vec![0; MOST * 20];
        let holes: Vec<IoVec> = back.chunks_mut(20).map(IoVec::reading).collect();
        check_eq!(holes.len(), MOST);
        check_eq!(take(far, &holes), Ok(total));
        check!(back[..total] == message[..total], "{total} bytes in pieces");
    }
}

/// "EINVAL: The iovcnt argument was less than or equal to 0, or greater than {IOV_MAX}."
/// - writev(3p). Nothing is moved.
fn too_many(near: Fd, far: Fd) {
    let mut byte = [0];
    let pieces = vec![IoVec::writing(b"x"); MOST + 1];
    let holes = vec![IoVec::reading(&mut byte); MOST + 1];
    check_eq!(send(near, b"before", 0), Ok(6));
    for count in [MOST as u32 + 1, 1 << 20, u32::MAX] {
        let at = address_of(&pieces[..]);
        check_eq!(by(raw::preview1::fd_write, near, at, count), Err(EINVAL), "{count}");
        check_eq!(by(raw::preview1::fd_read, far, address_of(&holes[..]), count), Err(EINVAL), "{count}");
    }
    check_eq!(send_vectored(near, &pieces, 0), Err(EINVAL));
    check_eq!(recv_vectored(far, &holes, 0), Err(EINVAL));
    check_eq!(recv(far, &mut [0; 16], 0), Ok(6), "what was there");
    check_eq!(recv(far, &mut [0; 16], 0), Err(EAGAIN), "nothing was sent");
}

/// A stream moves nothing; a message of nothing is one. Where the buffers are does not
/// matter then.
fn none(kind: Kind, near: Fd, far: Fd) {
    for at in [0, 4, u32::MAX] {
        check_eq!(by(raw::preview1::fd_write, near, at, 0), Ok(0), "at {at:#x}");
        if kind.has_messages() {
            check_eq!(recv(far, &mut [0; 4], 0), Ok(0), "an empty message");
            check_eq!(send(near, b"gone", 0), Ok(4));
            check_eq!(by(raw::preview1::fd_read, far, at, 0), Ok(0), "at {at:#x}");
        } else {
            check_eq!(by(raw::preview1::fd_read, far, at, 0), Ok(0), "at {at:#x}");
        }
        check_eq!(recv(far, &mut [0; 4], 0), Err(EAGAIN));
    }
    check_eq!(send_vectored(near, &[], 0), Ok(0));
    let taken = if kind.has_messages() { Ok(0) } else { Err(EAGAIN) };
    check_eq!(recv(far, &mut [0; 4], 0), taken);
}

/// Empty buffers between others are passed over, wherever in the memory they lie.
fn empty_ones(near: Fd, far: Fd) {
    let nothing = IoVec { buf: 4, len: 0 };
    let pieces = [nothing, IoVec::writing(b"ab"), nothing, IoVec::writing(b"cd"), nothing];
    check_eq!(send_vectored(near, &pieces, 0), Ok(4));
    let (mut head, mut tail) = ([0; 3], [0; 3]);
    let holes = [nothing, IoVec::reading(&mut head), nothing, nothing, IoVec::reading(&mut tail)];
    check_eq!(recv_vectored(far, &holes, 0), Ok(4));
    check_eq!((head, tail), (*b"abc", *b"d\0\0"));
}

/// "EINVAL: The sum of the iov_len values in the iov array overflows an ssize_t."
/// - sendmsg(3p)
fn too_long(near: Fd, far: Fd) {
    let whole = vec![IoVec { buf: 0, len: 4 << 20 }; MOST];
    check!(4 << 20 <= core::arch::wasm32::memory_size(0) << 16 || grown(), "room for one");
    check_eq!(send_vectored(near, &whole, 0), Err(EINVAL));
    check_eq!(recv_vectored(far, &whole, 0), Err(EINVAL));
    check_eq!(recv(far, &mut [0; 4], 0), Err(EAGAIN), "nothing was sent");
}

fn grown() -> bool {
    core::arch::wasm32::memory_grow(0, 64) != usize::MAX
}
