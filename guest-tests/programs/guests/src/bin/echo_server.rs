//! `echo_server [PLACE]`: one connection at a time, blocking, and back comes what
//! came in. Odd connections go through `fd_read` and `fd_write`, even ones
//! through `sock_recv` and `sock_send`. PLACE may be a name, too, of a socket that takes
//! datagrams even: each goes back to its sender.

use wasix::{Errno, Fd, check_ok, descriptor, ends, socket, unix};

fn main() {
    let place = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let (kind, listener) = check_ok!(ends::serve_at(&place));
    if !kind.is_connection() {
        return echo_datagrams(listener);
    }
    let mut number = 0u64;
    loop {
        let fd = match kind.accept(listener, 0) {
            Ok(fd) => fd,
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

fn echo_datagrams(fd: Fd) {
    println!("ready");
    let mut buf = vec![0; 65_536];
    loop {
        let (count, _, from) = check_ok!(unix::recv_from(fd, &mut buf, 0));
        if let Err(errno) = unix::send_to(fd, &buf[..count], 0, &from) {
            eprintln!("to {from:?}: {errno:?}");
        }
    }
}

fn echo(
    fd: Fd,
    read: impl Fn(Fd, &mut [u8]) -> Result<usize, Errno>,
    write: impl Fn(Fd, &[u8]) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    let mut buf = vec![0; 65_536];
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
