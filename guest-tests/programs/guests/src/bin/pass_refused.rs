//! Descriptors that are not passed: bad ones, to nobody, over a network, and more than may be on their
//! way. Nothing is sent then.

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::message::{self, receive, record, record_of};
use wasix::socket::{self, AddrPort, DGRAM, INET4, RECV_DONT_WAIT, STREAM, TCP, UDP, UNIX};
use wasix::wait::{epoll, pair, pipe};
use wasix::{check_eq, check_ok, unix};

/// The operator's limit to descriptors.
const MOST: usize = 200;

fn main() {
    descriptors();
    records();
    sockets();
    over_a_network();
    too_many_on_their_way();
}

fn descriptors() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let (_, writer) = check_ok!(pipe());
    for bad in [999, u32::MAX, i32::MAX as u32] {
        check_eq!(message::pass(near, b"x", &[writer, bad]), Err(EBADF));
    }
    // It is its guest's alone.
    check_eq!(message::pass(near, b"x", &[check_ok!(epoll())]), Err(EINVAL));
    check_eq!(receive(far, &mut [0; 8], RECV_DONT_WAIT, 64), Err(EAGAIN));
    // Rights, of what sends.
    let rights = check_ok!(fdstat(near)).rights_base;
    check_ok!(set_rights(near, rights & !right::SOCK_SEND, 0));
    check_eq!(message::pass(near, b"x", &[writer]), Err(ENOTCAPABLE));
    check_ok!(set_rights(far, rights & !right::SOCK_RECV, 0));
    check_eq!(receive(far, &mut [0; 8], 0, 64), Err(ENOTCAPABLE));
}

fn records() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let (_, writer) = check_ok!(pipe());
    let fd = writer.to_le_bytes();
    for (control, errno) in [
        (record_of(0, 0, 0, &fd), EINVAL),
        (record_of(7, 0, 0, &fd), EINVAL),
        (record_of(13, 0, 0, &fd), EINVAL),
        (record_of(u32::MAX, 0, 0, &fd), EINVAL),
        (record_of(12, 1, 0, &fd), ENOTSUP),
        (record_of(12, 0, 1, &fd), ENOTSUP),
        (record(&[writer; 254]), EINVAL),
        ([record(&[writer; 200]), record(&[writer; 54])].concat(), EINVAL),
        (vec![0; 1 << 20], ENOBUFS),
    ] {
        check_eq!(message::send(near, b"x", &control), Err(errno), "{:?}", &control[..8]);
    }
    check_eq!(receive(far, &mut [0; 8], RECV_DONT_WAIT, 64), Err(EAGAIN));
    // Less than a header is none, and so is a part of a descriptor.
    check_eq!(message::send(near, b"x", &[9; 7]), Ok(1));
    check_eq!(message::send(near, b"x", &record_of(11, 0, 0, &[9; 3])), Ok(1));
    let received = check_ok!(receive(far, &mut [0; 8], 0, 64));
    check_eq!((received.count, received.fds, received.lacks_fds), (2, vec![], false));
}

fn sockets() {
    let (_, writer) = check_ok!(pipe());
    check_eq!(message::pass(writer, b"x", &[writer]), Err(ENOTSOCK));
    check_eq!(receive(writer, &mut [0; 8], 0, 64), Err(ENOTSOCK));
    check_eq!(message::pass(999, b"x", &[writer]), Err(EBADF));
    let stream = check_ok!(unix::open(STREAM));
    check_eq!(message::pass(stream, b"x", &[writer]), Err(ENOTCONN));
    check_eq!(receive(stream, &mut [0; 8], 0, 64), Err(ENOTCONN));
    let datagram = check_ok!(unix::open(DGRAM));
    check_eq!(message::pass(datagram, b"x", &[writer]), Err(EDESTADDRREQ));
    // Who has a name is not known.
    check_ok!(unix::bind(datagram, "/d"));
    let to = unix::addr("/d");
    let control = record(&[writer]);
    check_eq!(message::send_with(datagram, b"x", 0, Some(&to), &control), Err(ENOTSUP));
    check_eq!(message::send_with(datagram, b"x", 0, Some(&to), &[]), Ok(1));
    let mut from = AddrPort::unwritten();
    let received = check_ok!(message::receive_from(datagram, &mut [0; 8], 0, 64, Some(&mut from)));
    check_eq!((received.count, unix::name(&from)), (1, "/d".to_owned()));
    // One of a pair that has another peer since.
    let (near, _far) = check_ok!(pair(UNIX, DGRAM, 0));
    check_ok!(unix::connect(near, "/d"));
    check_eq!(message::pass(near, b"x", &[writer]), Err(EPERM));
    check_ok!(unix::connect(datagram, "/d"));
    check_eq!(message::pass(datagram, b"x", &[writer]), Err(EPERM));
    // The other end is gone.
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    check_ok!(close(far));
    check_eq!(message::pass(near, b"x", &[writer]), Err(EPIPE));
}

fn over_a_network() {
    let (_, writer) = check_ok!(pipe());
    let (listener, _) = check_ok!(socket::listener());
    let (near, far) = check_ok!(socket::connected(listener));
    check_eq!(message::pass(near, b"x", &[writer]), Err(ENOTSUP));
    check_eq!(message::send(near, b"plain", &[]), Ok(5));
    let mut from = AddrPort::unwritten();
    let received = check_ok!(message::receive_from(far, &mut [0; 8], 0, 64, Some(&mut from)));
    check_eq!((received.count, received.fds.len(), received.lacks_fds), (5, 0, false));
    check_eq!(Ok(from.decode()), socket::addr_local(near));
    check_eq!(message::pass(listener, b"x", &[writer]), Err(ENOTSUP));
    for (kind, protocol) in [(STREAM, TCP), (DGRAM, UDP)] {
        let fresh = check_ok!(socket::open(INET4, kind, protocol));
        check_eq!(message::pass(fresh, b"x", &[writer]), Err(ENOTSUP));
    }
}

/// As many as may be open, and each message is one more.
fn too_many_on_their_way() {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let (_, writer) = check_ok!(pipe());
    check_eq!(message::pass(near, b"x", &[writer; MOST - 1]), Ok(1));
    check_eq!(message::pass(near, b"x", &[writer]), Err(EMFILE));
    check_eq!(receive(far, &mut [0; 8], 0, 0).map(|it| it.count), Ok(1));
    for _ in 0..MOST / 2 {
        check_eq!(message::pass(near, b"x", &[writer]), Ok(1));
    }
    check_eq!(message::pass(near, b"x", &[writer]), Err(EMFILE));
    for _ in 0..MOST / 2 {
        let received = check_ok!(receive(far, &mut [0; 8], 0, 64));
        check_eq!((received.count, received.fds.len()), (1, 1));
        check_ok!(close(received.fds[0]));
    }
    check_eq!(receive(far, &mut [0; 8], RECV_DONT_WAIT, 64), Err(EAGAIN));
}
