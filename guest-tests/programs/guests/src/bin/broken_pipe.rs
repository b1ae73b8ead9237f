//! A write without a reader: `EPIPE`, and `SIGPIPE` to a program that handles it, before
//! the call returns. One that names no callback lives. Needs a folder.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use wasix::descriptor::{NONBLOCK, close, set_flags, write};
use wasix::errno::*;
use wasix::signal::handle;
use wasix::socket::*;
use wasix::{Fd, check_eq, check_ok, file, wait};

const SIGPIPE: i32 = 13;

static PIPES: AtomicU32 = AtomicU32::new(0);
static OTHERS: AtomicU32 = AtomicU32::new(0);

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(signal: i32) {
    let count = if signal == SIGPIPE { &PIPES } else { &OTHERS };
    count.fetch_add(1, SeqCst);
}

fn main() {
    let (reader, writer) = check_ok!(wait::pipe());
    check_ok!(close(reader));
    check_eq!(write(writer, b"x"), Err(EPIPE), "without a callback");
    let folder = check_ok!(file::folder("/"));
    let page = check_ok!(file::open(folder, "page", file::CREAT, 0));
    check_eq!(write(page, &[b'x'; 100_000]), Ok(100_000));
    let of_file = |out: Fd| send_file(out, page, 0, 50_000).map(|sent| sent as usize);
    handle();
    check_eq!(PIPES.load(SeqCst), 0);
    breaks("a pipe", || write(writer, b"x"));
    breaks("a file to a pipe", || of_file(writer));

    for kind in [STREAM, SEQPACKET] {
        let (near, far) = check_ok!(wait::pair(UNIX, kind, 0));
        check_ok!(close(far));
        breaks("a pair", || send(near, b"x", 0));
        breaks("a pair by fd_write", || write(near, b"x"));
        breaks("a file to a pair", || of_file(near));
        check_ok!(set_flags(near, NONBLOCK));
        breaks("a pair that does not wait", || send(near, b"x", 0));
        breaks("a file to a pair that does not wait", || of_file(near));
    }
    let (listener, _) = check_ok!(listener());
    let (near, _far) = check_ok!(connected(listener));
    check_ok!(shutdown(near, SHUT_WR));
    breaks("a connection", || send(near, b"x", 0));
    breaks("a file to a connection", || of_file(near));
    check_ok!(set_flags(near, NONBLOCK));
    breaks("a connection that does not wait", || send(near, b"x", 0));
    breaks("a file to a connection that does not wait", || of_file(near));

    // A datagram has no reader to lose: its errno is all.
    let (near, far) = check_ok!(wait::pair(UNIX, DGRAM, 0));
    check_ok!(close(far));
    let before = PIPES.load(SeqCst);
    check_eq!(send(near, b"x", 0).is_err(), true);
    check_eq!(PIPES.load(SeqCst), before, "after a datagram");
    check_eq!(OTHERS.load(SeqCst), 0);
}

fn breaks(what: &str, call: impl FnOnce() -> wasix::Result<usize>) {
    let before = PIPES.load(SeqCst);
    check_eq!(call(), Err(EPIPE), "{what}");
    check_eq!(PIPES.load(SeqCst), before + 1, "{what}");
}
