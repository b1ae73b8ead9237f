//! `echo_server [ADDR]`: one connection at a time, blocking, and back comes what
//! came in. Odd connections go through `fd_read` and `fd_write`, even ones
//! through `sock_recv` and `sock_send`.

use std::net::SocketAddr;
use wasix::{Errno, Fd, check_ok, descriptor, socket};

fn main() {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let addr: SocketAddr = addr.parse().expect("an address");
    let listener = check_ok!(socket::open_for(addr));
    check_ok!(socket::bind(listener, addr));
    check_ok!(socket::listen(listener, 128));
    let mut number = 0u64;
    loop {
        let fd = match socket::accept_v2(listener, 0) {
            Ok((fd, _)) => fd,
            Err(errno) => {
                eprintln!("accept: {errno:?}");
                continue;
            }
        };
        number += 1;
        let outcome = if number % 2 == 1 {
            echo(fd, descriptor::read, |fd, buf| descriptor::write(fd, buf))
        } else {
            echo(fd, |fd, buf| socket::recv(fd, buf, 0), |fd, buf| socket::send(fd, buf, 0))
        };
        if let Err(errno) = outcome {
            eprintln!("connection {number}: {errno:?}");
        }
        check_ok!(descriptor::close(fd));
    }
}

fn echo(
    fd: Fd,
    read: impl Fn(Fd, &mut [u8]) -> Result<usize, Errno>,
    write: impl Fn(Fd, &[u8]) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    let mut buf = [0; 4096];
    loop {
        let count = read(fd, &mut buf)?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buf[..count];
        while !rest.is_empty() {
            rest = &rest[write(fd, rest)?..];
        }
    }
}
