//! Descriptors in messages: what arrives is the same open file, with the rights that it had.

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::message::{self, Received, receive};
use wasix::socket::{self, DGRAM, INET4, RECV_PEEK, RECV_WAITALL, SEQPACKET, STREAM, TCP, UNIX};
use wasix::wait::{event, pair, pipe};
use wasix::{Fd, check, check_eq, check_ok, file};

/// Room for a hundred descriptors.
const ROOM: usize = 12 + 4 * 100;

fn main() {
    every_kind_of_socket();
    many_in_order();
    the_same_file();
    rights_and_flags();
    sockets_and_events();
    on_its_way();
    with_the_first_byte();
    looked_at();
    without_a_message();
}

/// Receives one byte and one descriptor.
fn one(from: Fd) -> Fd {
    let received = check_ok!(receive(from, &mut [0; 8], 0, 16));
    check_eq!((received.count, received.fds.len(), received.lacks_fds), (1, 1, false));
    received.fds[0]
}

/// Does what is written to `writer` arrive at `reader`?
fn check_pipe(reader: Fd, writer: Fd) {
    check_eq!(write(writer, b"through"), Ok(7));
    let mut buf = [0; 8];
    check_eq!(read(reader, &mut buf), Ok(7));
}

fn every_kind_of_socket() {
    for kind in [STREAM, DGRAM, SEQPACKET] {
        let (near, far) = check_ok!(pair(UNIX, kind, 0));
        let (reader, writer) = check_ok!(pipe());
        for (from, to) in [(near, far), (far, near)] {
            check_eq!(message::pass(from, b"data", &[writer]), Ok(4));
            let received = check_ok!(receive(to, &mut [0; 2], RECV_PEEK, 0));
            check_eq!((received.count, received.is_cut), (2, kind != STREAM));
            let mut buf = [0; 8];
            let received = check_ok!(receive(to, &mut buf, 0, ROOM));
            check_eq!(&buf[..4], b"data");
            check_eq!((received.count, received.is_cut, received.lacks_fds), (4, false, false));
            check_pipe(reader, received.fds[0]);
            check_ok!(close(received.fds[0]));
        }
        // Without descriptors it is the ordinary call.
        check_eq!(message::send(near, b"plain", &[]), Ok(5));
        check_eq!(message::send(near, b"plain", &message::record(&[])), Ok(5));
        let plain = Received { count: 5, is_cut: false, fds: vec![], lacks_fds: false };
        check_eq!(receive(far, &mut [0; 5], 0, ROOM), Ok(Received { fds: vec![], ..plain }));
        check_eq!(socket::recv(far, &mut [0; 5], 0), Ok(5));
    }
}

fn many_in_order() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let pipes: Vec<_> = (0..6).map(|_| check_ok!(pipe())).collect();
    let writers: Vec<_> = pipes.iter().map(|(_, writer)| *writer).collect();
    // Two records, and the same one twice.
    let control = [message::record(&writers), message::record(&writers[..1])].concat();
    check_eq!(message::send(near, b"x", &control), Ok(1));
    let received = check_ok!(receive(far, &mut [0; 8], 0, ROOM));
    check_eq!(received.fds.len(), 7);
    check!(received.fds.is_sorted(), "the lowest free numbers");
    for ((reader, _), copy) in pipes.iter().zip(&received.fds) {
        check_pipe(*reader, *copy);
    }
    check_pipe(pipes[0].0, received.fds[6]);
}

fn the_same_file() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let folder = 3;
    let source = check_ok!(file::open(folder, "passed", file::CREAT, 0));
    check_eq!(write(source, b"0123456789"), Ok(10));
    check_eq!(file::seek(source, 4, file::SET), Ok(4));
    check_eq!(message::pass(near, b"x", &[source, folder]), Ok(1));
    let received = check_ok!(receive(far, &mut [0; 8], 0, ROOM));
    let [copy, folder_copy] = received.fds[..] else { panic!("two descriptors") };
    // One position, one set of flags.
    let mut buf = [0; 3];
    check_eq!(read(copy, &mut buf), Ok(3));
    check_eq!(&buf, b"456");
    check_eq!(file::seek(source, 0, file::CUR), Ok(7));
    check_ok!(set_flags(source, APPEND));
    check_eq!(check_ok!(fdstat(copy)).flags, APPEND as u16);
    check_ok!(close(source));
    check_eq!(write(copy, b"ab"), Ok(2));
    let again = check_ok!(file::open(folder_copy, "passed", 0, 0));
    check_eq!(read(again, &mut [0; 16]), Ok(12));
}

fn rights_and_flags() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let (reader, writer) = check_ok!(pipe());
    let narrow = right::FD_WRITE | right::POLL;
    check_ok!(set_fdflags(writer, CLOEXEC));
    check_ok!(set_rights(writer, narrow, 0));
    check_eq!(message::pass(near, b"x", &[writer]), Ok(1));
    let copy = one(far);
    let stat = check_ok!(fdstat(copy));
    check_eq!((stat.rights_base, stat.rights_inheriting), (narrow, 0));
    check_eq!(fdflags(copy), Ok(0));
    check_eq!(set_nonblocking(copy), Err(ENOTCAPABLE));
    check_pipe(reader, copy);
}

fn sockets_and_events() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let (listener, address) = check_ok!(socket::listener());
    let counter = check_ok!(event(5, 0));
    check_eq!(message::pass(near, b"x", &[listener, counter]), Ok(1));
    check_ok!(close(listener));
    check_ok!(close(counter));
    let received = check_ok!(receive(far, &mut [0; 8], 0, ROOM));
    let [listener, counter] = received.fds[..] else { panic!("two descriptors") };
    let mut word = [0; 8];
    check_eq!(read(counter, &mut word), Ok(8));
    check_eq!(u64::from_le_bytes(word), 5);
    let client = check_ok!(socket::open(INET4, STREAM, TCP));
    check_ok!(socket::connect(client, address));
    let (accepted, _) = check_ok!(socket::accept_v2(listener, 0));
    // A connection goes through itself, both ends at once.
    check_eq!(message::pass(near, b"x", &[client, accepted]), Ok(1));
    let received = check_ok!(receive(far, &mut [0; 8], 0, ROOM));
    check_ok!(close(client));
    check_ok!(close(accepted));
    check_eq!(socket::send(received.fds[0], b"hello", 0), Ok(5));
    check_eq!(socket::recv(received.fds[1], &mut [0; 8], 0), Ok(5));
}

/// What is on its way stays open, and is closed where nobody receives it.
fn on_its_way() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let (reader, writer) = check_ok!(pipe());
    check_eq!(message::pass(near, b"x", &[writer]), Ok(1));
    check_ok!(close(writer));
    check_ok!(set_nonblocking(reader));
    check_eq!(read(reader, &mut [0; 8]), Err(EAGAIN));
    let writer = one(far);
    check_eq!(message::pass(near, b"x", &[writer]), Ok(1));
    check_ok!(close(writer));
    check_eq!(read(reader, &mut [0; 8]), Err(EAGAIN));
    check_ok!(close(far));
    check_ok!(set_flags(reader, 0));
    check_eq!(read(reader, &mut [0; 8]), Ok(0), "the last writer is gone");
}

/// A read of a stream ends with the message that descriptors came with, and a part of it has them.
fn with_the_first_byte() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let (_, writer) = check_ok!(pipe());
    check_eq!(socket::send(near, b"ab", 0), Ok(2));
    check_eq!(message::pass(near, b"cdef", &[writer]), Ok(4));
    check_eq!(message::pass(near, b"gh", &[writer, writer]), Ok(2));
    check_eq!(socket::send(near, b"ij", 0), Ok(2));
    let mut buf = [0; 16];
    let received = check_ok!(receive(far, &mut buf[..3], 0, ROOM));
    check_eq!((received.count, received.fds.len()), (3, 1));
    let received = check_ok!(receive(far, &mut buf, RECV_WAITALL, ROOM));
    check_eq!((received.count, received.fds.len()), (5, 2));
    check_eq!(&buf[..5], b"defgh");
    let received = check_ok!(receive(far, &mut buf, 0, ROOM));
    check_eq!((received.count, received.fds.len()), (2, 0));
    // A stream carries none without a byte; a message may be empty.
    check_eq!(message::pass(near, b"", &[writer]), Ok(0));
    check_eq!(receive(far, &mut buf, socket::RECV_DONT_WAIT, ROOM), Err(EAGAIN));
    let (near, far) = check_ok!(pair(UNIX, DGRAM, 0));
    check_eq!(message::pass(near, b"", &[writer]), Ok(0));
    let received = check_ok!(receive(far, &mut buf, 0, ROOM));
    check_eq!((received.count, received.fds.len()), (0, 1));
}

/// Who looks at a message gets duplicates, and they come again with it.
fn looked_at() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let (reader, writer) = check_ok!(pipe());
    check_eq!(message::pass(near, b"x", &[writer]), Ok(1));
    for flags in [RECV_PEEK, RECV_PEEK, 0] {
        let received = check_ok!(receive(far, &mut [0; 8], flags, ROOM));
        check_eq!((received.count, received.fds.len()), (1, 1));
        check_pipe(reader, received.fds[0]);
        check_ok!(close(received.fds[0]));
    }
}

/// A socket that is passed over its own other end, and a message that is gone with the only one that
/// could receive it: nothing comes of it, and the guest ends well.
fn without_a_message() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    check_eq!(message::pass(near, b"x", &[near, far]), Ok(1));
    check_ok!(close(near));
    check_ok!(close(far));
    let (near, far) = check_ok!(pair(UNIX, DGRAM, 0));
    check_eq!(message::pass(near, b"x", &[near, far]), Ok(1));
    let received = check_ok!(receive(far, &mut [0; 8], 0, ROOM));
    check_eq!(message::pass(received.fds[0], b"x", &[near]), Ok(1));
    check_eq!(message::pass(received.fds[1], b"x", &[received.fds[1]]), Ok(1));
}
