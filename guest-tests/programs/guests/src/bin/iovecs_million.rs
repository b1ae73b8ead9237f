//! A million vectors in one call: an answer, and no memory of the host's. Says
//! when it is through, and waits until its input ends.

use wasix::errno::*;
use wasix::socket::*;
use wasix::{address_of, address_of_mut, check, check_eq, check_ok, descriptor, outcome, raw};

const COUNT: usize = 1_000_000;

fn main() {
    let (listener, _) = check_ok!(listener());
    let (near, far) = check_ok!(connected(listener));
    check_ok!(descriptor::set_nonblocking(near));
    check_ok!(descriptor::set_nonblocking(far));

    let bytes = vec![42u8; COUNT];
    let pieces: Vec<IoVec> = bytes.chunks(1).map(IoVec::writing).collect();
    let mut back = vec![0u8; COUNT];
    let holes: Vec<IoVec> = back.chunks_mut(1).map(IoVec::reading).collect();
    for _ in 0..3 {
        is_taken(send_vectored(near, &pieces, 0));
        is_taken(recv_vectored(far, &holes, 0));
        is_taken(vectored(raw::preview1::fd_write, near, &pieces));
        is_taken(vectored(raw::preview1::fd_read, far, &holes));
    }

    // Each as long as the whole memory: overlapping, and far more than 4 GiB.
    let whole = IoVec { buf: 0, len: 1 << 20 };
    let overlapping = vec![whole; COUNT];
    is_taken(send_vectored(near, &overlapping, 0));
    is_taken(vectored(raw::preview1::fd_write, near, &overlapping));

    // Empty ones.
    let empty = vec![IoVec { buf: 0, len: 0 }; COUNT];
    is_taken(send_vectored(near, &empty, 0));
    is_taken(recv_vectored(far, &empty, 0));

    println!("through");
    let mut buf = [0; 16];
    while matches!(descriptor::read(0, &mut buf), Ok(1..)) {}
}

fn vectored(
    call: unsafe extern "C" fn(u32, u32, u32, u32) -> i32,
    fd: u32,
    iovs: &[IoVec],
) -> wasix::Result<usize> {
    let mut len = 0u32;
    outcome(unsafe { call(fd, address_of(iovs), iovs.len() as u32, address_of_mut(&mut len)) })?;
    Ok(len as usize)
}

fn is_taken(answer: wasix::Result<usize>) {
    check!(matches!(answer, Ok(_) | Err(EINVAL | EAGAIN | EOVERFLOW)), "answered {answer:?}");
    check_eq!(matches!(answer, Ok(count) if count > u32::MAX as usize), false);
}
