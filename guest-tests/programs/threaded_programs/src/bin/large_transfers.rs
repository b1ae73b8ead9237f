//! `large_transfers WAY`: one call moves as much from a shared memory, and into it, as from
//! one that is not: files, pipes, sockets, messages.
//!
//! * `file`: a folder is preopened.
//! * `pipe`, `pair`: another thread reads.
//! * `messages`: datagrams and a seqpacket of 100,000 bytes.
//! * `no_room`: the host may hold less for the guest than a message has.
//! * `serve`: a client reads all that one send sends, then sends as much, which one receive
//!   waits for.
//! * `full`: a client does not read.

#![cfg_attr(target_os = "wasi", no_std, no_main)]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use threaded::{AGAIN, Errno, Fd, PIPE, Result};

threaded::main!(run);

const MEBIBYTE: usize = 1 << 20;
const FOLDER: Fd = 3;
const MESSAGE_SIZE: Errno = Errno(35);
const NO_MEMORY: Errno = Errno(48);

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn path_open(
        fd: u32,
        dirflags: u32,
        path: u32,
        len: u32,
        oflags: u32,
        rights: u64,
        inheriting: u64,
        fdflags: u32,
        ret: u32,
    ) -> i32;
    fn fd_pread(fd: u32, iovs: u32, count: u32, offset: u64, ret: u32) -> i32;
    fn fd_pwrite(fd: u32, iovs: u32, count: u32, offset: u64, ret: u32) -> i32;
    fn fd_read(fd: u32, iovs: u32, count: u32, ret: u32) -> i32;
    fn fd_seek(fd: u32, offset: i64, whence: u32, ret: u32) -> i32;
    fn fd_write(fd: u32, iovs: u32, count: u32, ret: u32) -> i32;
    fn sock_recv(fd: u32, iovs: u32, count: u32, flags: u32, ret: u32, ret_flags: u32) -> i32;
}

#[link(wasm_import_module = "wasix_32v1")]
unsafe extern "C" {
    fn sock_pair(family: u32, kind: u32, protocol: u32, ret_near: u32, ret_far: u32) -> i32;
}

fn run() {
    let arguments = threaded::args();
    match arguments.get(1).map(|way| way.as_str()) {
        Some("file") => file(),
        Some("pipe") => {
            let (reader, writer) = threaded::pipe().expect("a pipe");
            flows(reader, writer);
        }
        Some("pair") => {
            let (near, far) = threaded::pair().expect("a pair");
            flows(near, far);
        }
        Some("messages") => messages(),
        Some("no_room") => no_room(),
        Some("serve") => serve(),
        Some("full") => full(),
        way => panic!("{way:?} is not known"),
    }
    threaded::say("holds\n");
}

fn outcome(answer: i32) -> Result<()> {
    if answer == 0 { Ok(()) } else { Err(Errno(answer as u16)) }
}

fn at<T: ?Sized>(value: &T) -> u32 {
    core::ptr::from_ref(value).cast::<u8>() as usize as u32
}

/// Buffers as a call has them.
fn iovecs<const N: usize>(buffers: [&[u8]; N]) -> [[u32; 2]; N] {
    buffers.map(|buffer| [at(buffer), buffer.len() as u32])
}

/// What a call with a place for the number of bytes moved.
fn moved(call: impl FnOnce(u32) -> i32) -> Result<usize> {
    let mut count = 0u32;
    outcome(call(core::ptr::from_mut(&mut count) as usize as u32))?;
    Ok(count as usize)
}

/// Bytes that are not the same a page later.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect()
}

fn file() {
    let mut fd = 0u32;
    let name = b"large";
    // Created and cut, read and written.
    let opened = unsafe {
        path_open(FOLDER, 0, at(name), 5, 9, 0x1fff_ffff, 0, 0, core::ptr::from_mut(&mut fd) as usize as u32)
    };
    outcome(opened).expect("a file");
    let data = pattern(MEBIBYTE);
    let (first, second) = data.split_at(100_000);
    let one = iovecs([&data]);
    let two = iovecs([first, second]);
    let written = moved(|count| unsafe { fd_write(fd, at(&one), 1, count) });
    assert!(written == Ok(MEBIBYTE), "write: {written:?}");
    let written = moved(|count| unsafe { fd_write(fd, at(&two), 2, count) });
    assert!(written == Ok(MEBIBYTE), "writev: {written:?}");
    let written = moved(|count| unsafe { fd_pwrite(fd, at(&one), 1, 3 * MEBIBYTE as u64, count) });
    assert!(written == Ok(MEBIBYTE), "pwrite: {written:?}");
    let written = moved(|count| unsafe { fd_pwrite(fd, at(&two), 2, 2 * MEBIBYTE as u64, count) });
    assert!(written == Ok(MEBIBYTE), "pwritev: {written:?}");

    outcome(unsafe { fd_seek(fd, 0, 0, at(&[0u64])) }).expect("a seek");
    let (mut first, mut second) = (vec![0; 100_000], vec![0; MEBIBYTE - 100_000]);
    let two = [[at(&mut first[..]), 100_000], [at(&mut second[..]), second.len() as u32]];
    let mut all = vec![0; MEBIBYTE];
    let one = [[at(&mut all[..]), MEBIBYTE as u32]];
    let read = moved(|count| unsafe { fd_read(fd, at(&one), 1, count) });
    assert!(read == Ok(MEBIBYTE) && all == data, "read: {read:?}");
    let read = moved(|count| unsafe { fd_read(fd, at(&two), 2, count) });
    assert!(read == Ok(MEBIBYTE), "readv: {read:?}");
    assert!(first == data[..100_000] && second == data[100_000..], "readv: other bytes");
    all.fill(0);
    let read = moved(|count| unsafe { fd_pread(fd, at(&one), 1, 2 * MEBIBYTE as u64, count) });
    assert!(read == Ok(MEBIBYTE) && all == data, "pread: {read:?}");
    first.fill(0);
    second.fill(0);
    let read = moved(|count| unsafe { fd_pread(fd, at(&two), 2, 3 * MEBIBYTE as u64, count) });
    assert!(read == Ok(MEBIBYTE), "preadv: {read:?}");
    assert!(first == data[..100_000] && second == data[100_000..], "preadv: other bytes");
    // What is there, at the end of the file.
    let read = moved(|count| unsafe { fd_pread(fd, at(&one), 1, 4 * MEBIBYTE as u64 - 100_000, count) });
    assert!(read == Ok(100_000), "the rest: {read:?}");
    let read = moved(|count| unsafe { fd_pread(fd, at(&one), 1, 4 * MEBIBYTE as u64, count) });
    assert!(read == Ok(0), "the end: {read:?}");
}

/// A write that waits writes all of it while another thread reads; several buffers alike.
fn flows(reader: Fd, writer: Fd) {
    let all = 2 * MEBIBYTE;
    let other = threaded::spawn(move || {
        let data = pattern(MEBIBYTE);
        let mut buffer = vec![0; 300_000];
        let mut count = 0;
        while count < all {
            let read = threaded::read(reader, &mut buffer).expect("bytes");
            assert!(read > 0, "an end after {count}");
            let mut want = data.iter().cycle().skip(count % MEBIBYTE);
            assert!(buffer[..read].iter().all(|byte| Some(byte) == want.next()), "other bytes at {count}");
            count += read;
        }
        // There is no reader any more.
        threaded::close(reader).expect("to close");
    })
    .expect("a thread");
    let data = pattern(MEBIBYTE);
    let written = threaded::write(writer, &data);
    assert!(written == Ok(MEBIBYTE), "write: {written:?}");
    let (first, second) = data.split_at(100_000);
    let two = iovecs([first, second]);
    let written = moved(|count| unsafe { fd_write(writer, at(&two), 2, count) });
    assert!(written == Ok(MEBIBYTE), "writev: {written:?}");
    other.join();
    assert!(threaded::write(writer, &data) == Err(PIPE), "no reader");
}

fn pair_of(kind: u32) -> (Fd, Fd) {
    let (mut near, mut far) = (0u32, 0u32);
    let ends =
        (core::ptr::from_mut(&mut near) as usize as u32, core::ptr::from_mut(&mut far) as usize as u32);
    outcome(unsafe { sock_pair(3, kind, 0, ends.0, ends.1) }).expect("a pair");
    (near, far)
}

/// The copy of a message is counted, as long as it is there.
fn no_room() {
    let (near, far) = pair_of(2);
    let data = pattern(200_000);
    let mut buffer = vec![0; 200_000];
    for _ in 0..3 {
        assert!(threaded::send(near, &data) == Err(NO_MEMORY), "it was sent");
        assert!(threaded::recv(far, &mut buffer) == Err(NO_MEMORY), "it was received");
        assert!(threaded::send(near, &data[..70_000]) == Ok(70_000), "a smaller one");
        assert!(threaded::recv(far, &mut buffer[..70_000]) == Ok(70_000), "a smaller one");
    }
}

/// A message goes whole, and comes whole; what the kernel does not take is too large.
fn messages() {
    const LENGTH: usize = 100_000;
    let data = pattern(LENGTH);
    for kind in [2, 4] {
        let (mut near, mut far) = (0u32, 0u32);
        let ends =
            (core::ptr::from_mut(&mut near) as usize as u32, core::ptr::from_mut(&mut far) as usize as u32);
        outcome(unsafe { sock_pair(3, kind, 0, ends.0, ends.1) }).expect("a pair");
        let sent = threaded::send(near, &data);
        assert!(sent == Ok(LENGTH), "kind {kind}: sent {sent:?}");
        let mut buffer = vec![0; 3 * LENGTH];
        let received = threaded::recv(far, &mut buffer);
        assert!(received == Ok(LENGTH), "kind {kind}: received {received:?}");
        assert!(buffer[..LENGTH] == data, "kind {kind}: other bytes");
        // Two buffers.
        let (first, second) = data.split_at(70_000);
        let two = iovecs([first, second]);
        let sent = moved(|count| unsafe { fd_write(near, at(&two), 2, count) });
        assert!(sent == Ok(LENGTH), "kind {kind}: writev {sent:?}");
        let received = threaded::read(far, &mut buffer);
        assert!(received == Ok(LENGTH), "kind {kind}: read {received:?}");
        let far_too_large = vec![0; 8 * MEBIBYTE];
        assert!(threaded::send(near, &far_too_large) == Err(MESSAGE_SIZE), "kind {kind}: it was sent");
        let empty = threaded::send(near, &[]);
        assert!(empty == Ok(0), "kind {kind}: {empty:?}");
        let received = threaded::recv(far, &mut buffer);
        assert!(received == Ok(0), "kind {kind}: nothing of it but the empty one: {received:?}");
    }
}

fn client() -> Fd {
    let listener = threaded::listen(([127, 0, 0, 1], 0).into(), 1).expect("a listener");
    threaded::accept(listener, false).expect("a client")
}

fn serve() {
    let client = client();
    let data = pattern(4 * MEBIBYTE);
    let sent = threaded::send(client, &data);
    assert!(sent == Ok(4 * MEBIBYTE), "sent {sent:?}");
    let mut buffer = vec![0u8; 4 * MEBIBYTE];
    let one = [[at(&mut buffer[..]), buffer.len() as u32]];
    let wait_all = 2;
    let flags = [0u32];
    let received = moved(|count| unsafe { sock_recv(client, at(&one), 1, wait_all, count, at(&flags)) });
    assert!(received == Ok(4 * MEBIBYTE) && buffer == data, "received {received:?}");
    // The client has ended its side: what is left is less than was asked for.
    let received = moved(|count| unsafe { sock_recv(client, at(&one), 1, wait_all, count, at(&flags)) });
    assert!(received == Ok(100_000), "the rest: {received:?}");
}

/// A call that does not wait sends what finds room, and tells how much that was.
fn full() {
    let client = client();
    threaded::set_nonblocking(client).expect("the flag");
    let data = pattern(64 * MEBIBYTE);
    let sent = threaded::send(client, &data).expect("some of it");
    assert!(sent > 65_536 && sent < data.len(), "sent {sent}");
    let mut sent_later = 0;
    // The kernel moves bytes meanwhile, until the client's buffer is full too.
    loop {
        match threaded::send(client, &data) {
            Ok(more) => sent_later += more,
            Err(errno) => {
                assert!(errno == AGAIN, "{errno:?}");
                break;
            }
        }
        assert!(sent_later < data.len(), "no end");
    }
    threaded::say(&alloc::format!("sent {}\n", sent + sent_later));
    // The client reads it now, up to the end.
    threaded::close(client).expect("to close");
}
