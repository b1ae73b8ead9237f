//! `sock_shutdown`: one direction ends, the other goes on.

use wasix::descriptor::right;
use wasix::errno::*;
use wasix::socket::*;
use wasix::{check, check_eq, check_ok, descriptor};

fn main() {
    let (listener, _) = check_ok!(listener());
    let mut buf = [0; 64];

    let (near, far) = check_ok!(connected(listener));
    check_ok!(send_all(near, b"question"));
    check_ok!(shutdown(near, SHUT_WR));
    check_eq!(send(near, b"x", 0), Err(EPIPE));
    check_eq!(recv(far, &mut buf, RECV_WAITALL), Ok(8));
    check_eq!(recv(far, &mut buf, 0), Ok(0));
    check_ok!(send_all(far, b"answer"));
    check_ok!(shutdown(far, SHUT_WR));
    check_eq!(recv(near, &mut buf, RECV_WAITALL), Ok(6));
    check_eq!(recv(near, &mut buf, 0), Ok(0));

    let (near, far) = check_ok!(connected(listener));
    check_ok!(shutdown(near, SHUT_RD));
    check_eq!(recv(near, &mut buf, 0), Ok(0));
    check_ok!(send_all(near, b"still sending"));
    check_eq!(recv(far, &mut buf, 0), Ok(13));

    let (near, far) = check_ok!(connected(listener));
    check_ok!(shutdown(near, SHUT_RDWR));
    check_eq!(recv(near, &mut buf, 0), Ok(0));
    check_eq!(send(near, b"x", 0), Err(EPIPE));
    check_eq!(recv(far, &mut buf, 0), Ok(0));

    for how in [0, 4, 255, 256, u32::MAX] {
        check_eq!(shutdown(far, how), Err(EINVAL), "how {how}");
    }
    check_eq!(shutdown(listener, 0), Err(EINVAL));
    let fresh = check_ok!(open(INET4, STREAM, TCP));
    check_eq!(shutdown(fresh, SHUT_RDWR), Err(ENOTCONN));
    check_ok!(bind(fresh, loopback(0)));
    check_eq!(shutdown(fresh, SHUT_RDWR), Err(ENOTCONN));
    let answer = shutdown(listener, SHUT_RDWR);
    check!(matches!(answer, Err(ENOTCONN)), "a listener answered {answer:?}");
    check_eq!(shutdown(900, SHUT_RDWR), Err(EBADF));
    check_eq!(shutdown(1, SHUT_RDWR), Err(ENOTSOCK));
    check_eq!(shutdown(3, SHUT_RDWR), Err(ENOTSOCK));

    let (near, _far) = check_ok!(connected(listener));
    check_ok!(descriptor::drop_rights(near, right::SOCK_SHUTDOWN));
    check_eq!(shutdown(near, SHUT_WR), Err(ENOTCAPABLE));
}
