//! Descriptors that there is no room for: they are closed, and the length of the control data says so.

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::message::{self, receive};
use wasix::socket::{self, RECV_DONT_WAIT, RECV_PEEK, STREAM, UNIX};
use wasix::wait::{pair, pipe};
use wasix::{Fd, check_eq, check_ok};

fn main() {
    no_room_for_all();
    receives_without_control_data();
    a_full_table();
}

/// Two pipes, whose writers are passed over a pair and then closed here: their readers, and where the
/// message is received.
fn sent() -> (Fd, Fd, Fd) {
    let (near, far) = check_ok!(pair(UNIX, STREAM, 0));
    let (first, one) = check_ok!(pipe());
    let (second, two) = check_ok!(pipe());
    check_eq!(message::pass(near, b"x", &[one, two]), Ok(1));
    for fd in [one, two, near] {
        check_ok!(close(fd));
    }
    (first, second, far)
}

fn no_room_for_all() {
    // A record of one has 12 bytes. In the C library it has 16, and one of two has 20.
    for (room, fits) in [(0, 0), (4, 0), (11, 0), (12, 1), (16, 1), (19, 1), (20, 2), (400, 2)] {
        let (first, second, far) = sent();
        let received = check_ok!(receive(far, &mut [0; 8], 0, room));
        check_eq!((received.count, received.fds.len()), (1, fits), "{room}");
        check_eq!(received.lacks_fds, fits < 2, "{room}");
        for fd in received.fds {
            check_eq!(write(fd, b"x"), Ok(1));
            check_ok!(close(fd));
        }
        // Whoever is left is told that the last writer has gone.
        let ends = |fits: bool| if fits { [Ok(1), Ok(0)] } else { [Ok(0), Ok(0)] };
        check_eq!([read(first, &mut [0; 8]), read(first, &mut [0; 8])], ends(fits > 0), "{room}");
        check_eq!([read(second, &mut [0; 8]), read(second, &mut [0; 8])], ends(fits > 1), "{room}");
        check_eq!(receive(far, &mut [0; 8], 0, room).map(|it| it.count), Ok(0));
        for fd in [first, second, far] {
            check_ok!(close(fd));
        }
    }
}

fn receives_without_control_data() {
    let receives: [fn(Fd) -> usize; 3] = [
        |fd| check_ok!(socket::recv(fd, &mut [0; 8], 0)),
        |fd| check_ok!(read(fd, &mut [0; 8])),
        |fd| {
            check_eq!(socket::recv(fd, &mut [0; 8], RECV_PEEK), Ok(1));
            check_ok!(socket::recv(fd, &mut [0; 8], 0))
        },
    ];
    for receive in receives {
        let (first, second, far) = sent();
        check_eq!(receive(far), 1);
        for fd in [first, second] {
            check_eq!(read(fd, &mut [0; 8]), Ok(0), "the last writer is gone");
            check_ok!(close(fd));
        }
        check_ok!(close(far));
    }
}

fn a_full_table() {
    let (first, second, far) = sent();
    let mut filled = Vec::new();
    loop {
        match pipe() {
            Ok((reader, writer)) => filled.extend([reader, writer]),
            Err(errno) => {
                check_eq!(errno, EMFILE);
                break;
            }
        }
    }
    // Room for one.
    if let Ok(fd) = dup(first) {
        filled.push(fd);
    }
    check_eq!(dup(first), Err(EMFILE));
    check_ok!(close(check_ok!(filled.pop().ok_or(EBADF))));
    let received = check_ok!(receive(far, &mut [0; 8], 0, 64));
    check_eq!((received.count, received.fds.len(), received.lacks_fds), (1, 1, true));
    check_eq!(read(second, &mut [0; 8]), Ok(0));
    check_eq!(receive(far, &mut [0; 8], RECV_DONT_WAIT, 64).map(|it| it.count), Ok(0));
}
