//! The C library's test for the byte order of ports: it binds 0.0.0.0 to a port
//! whose two bytes differ and asks for it back. It must succeed without a grant,
//! and lead nowhere: `port_probe listen` goes on to listen there, which is refused.

use wasix::errno::*;
use wasix::socket::*;
use wasix::{address_of_mut, check_eq, check_ok, descriptor, raw};

fn main() {
    let listens = std::env::args().nth(1).is_some();
    for _ in 0..2 {
        let fd = check_ok!(open(INET4, STREAM, TCP));
        check_ok!(bind(fd, "0.0.0.0:10275".parse().unwrap()));
        let mut bytes = AddrPort::unwritten();
        check_eq!(unsafe { raw::wasix::sock_addr_local(fd, address_of_mut(&mut bytes)) }, 0);
        check_eq!(bytes.0[0], 1);
        check_eq!(bytes.0[2..8], [0x23, 0x28, 0, 0, 0, 0]);
        if listens {
            check_eq!(listen(fd, 4), Err(EACCES));
        }
        check_ok!(descriptor::close(fd));
    }
}
