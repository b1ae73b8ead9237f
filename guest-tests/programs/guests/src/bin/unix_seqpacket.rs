//! Messages in order over Unix names: they keep their boundaries, and come whole, cut or
//! not at all. Needs `/run` and grants for all in it.

use wasix::descriptor::{NONBLOCK, close, set_flags};
use wasix::errno::*;
use wasix::socket::*;
use wasix::{check, check_eq, check_ok, unix, wait};

fn main() {
    let listener = check_ok!(unix::listener(SEQPACKET, "/run/packets", 4));
    let near = check_ok!(unix::client(SEQPACKET, "/run/packets"));
    let (far, peer) = check_ok!(unix::accept(listener, 0));
    check_eq!(peer, "");
    check_eq!(unix::peer(near), Ok("/run/packets".into()));
    check_eq!(size(far, option::TYPE), Ok(SEQPACKET.into()));

    let mut buf = [0; 8];
    for message in [b"one".as_slice(), b"second", b"third one"] {
        check_eq!(send(near, message, 0), Ok(message.len()));
    }
    check_eq!(unix::recv(far, &mut buf, RECV_PEEK), Ok((3, false)));
    check_eq!(unix::recv(far, &mut buf, RECV_WAITALL), Ok((3, false)), "one message is all");
    check_eq!(unix::recv(far, &mut buf[..4], 0), Ok((4, true)));
    check_eq!(&buf[..4], b"seco");
    check_eq!(unix::recv_from(far, &mut buf, RECV_DATA_TRUNCATED), Ok((9, true, String::new())));
    check_eq!(unix::recv(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN));

    // Scattered and gathered, a message is one still.
    let parts = [IoVec::writing(b"ab"), IoVec::writing(b""), IoVec::writing(b"cdef")];
    check_eq!(send_vectored(near, &parts, 0), Ok(6));
    let (mut head, mut tail) = ([0; 4], [0; 4]);
    check_eq!(recv_vectored(far, &[IoVec::reading(&mut head), IoVec::reading(&mut tail)], 0), Ok(6));
    check_eq!((&head, &tail[..2]), (b"abcd", b"ef".as_slice()));

    // A message that finds no room does not go in part.
    check_ok!(set_flags(near, NONBLOCK));
    let mut sent = 0;
    let refused = loop {
        match send(near, &[7; 5000], 0) {
            Ok(count) => {
                check_eq!(count, 5000);
                sent += 1;
            }
            Err(errno) => break errno,
        }
    };
    check_eq!(refused, EAGAIN);
    let watch = check_ok!(wait::epoll());
    check_ok!(wait::add(watch, near, wait::OUT));
    check_eq!(wait::now(watch), Ok(vec![]));
    let mut large = [0; 6000];
    for _ in 0..sent {
        check_eq!(unix::recv(far, &mut large, 0), Ok((5000, false)));
    }
    check_eq!(wait::next(watch), Ok(vec![(near, wait::OUT)]));
    let too_large = send(near, &vec![0; 16 << 20], 0);
    check!(too_large == Err(EMSGSIZE), "{too_large:?}");

    // The end of it.
    check_ok!(close(near));
    check_eq!(unix::recv(far, &mut buf, 0), Ok((0, false)));
    check_eq!(send(far, b"x", 0), Err(EPIPE));
    check_eq!(unix::accept(far, 0).err(), Some(EINVAL));
    let stranger = check_ok!(unix::open(STREAM));
    check_eq!(unix::connect(stranger, "/run/packets"), Err(EPROTOTYPE));
}
