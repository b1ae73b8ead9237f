//! `client ADDR TEXT`: sends TEXT, says that this was all, and prints the answer.

use std::io::Write;
use std::net::SocketAddr;
use wasix::{check_ok, socket};

fn main() {
    let mut args = std::env::args().skip(1);
    let addr: SocketAddr = args.next().expect("an address").parse().expect("an address");
    let text = args.next().unwrap_or_default();
    let fd = check_ok!(socket::open_for(addr));
    if let Err(errno) = socket::connect(fd, addr) {
        eprintln!("cannot connect to {addr}: {errno:?}");
        std::process::exit(i32::from(errno.0));
    }
    check_ok!(socket::send_all(fd, text.as_bytes()));
    check_ok!(socket::shutdown(fd, socket::SHUT_WR));
    let mut buf = [0; 4096];
    loop {
        let count = check_ok!(socket::recv(fd, &mut buf, 0));
        if count == 0 {
            return;
        }
        std::io::stdout().write_all(&buf[..count]).unwrap();
    }
}
