//! `host_sockets`: tries to reach what each line of its standard input names, and answers each with a
//! line: how it went.

use std::io::BufRead as _;
use std::net::{IpAddr, SocketAddr};
use wasix::errno::ENOSYS;
use wasix::socket::{DGRAM, INET4, INET6, STREAM};
use wasix::{Fd, Result, descriptor, resolve, socket, unix};

fn main() {
    for line in std::io::stdin().lock().lines() {
        let step = line.expect("a line");
        let words: Vec<&str> = step.split(' ').collect();
        let answer = obey(&words).map_or_else(|errno| errno.name().to_owned(), |()| "done".to_owned());
        println!("{step}: {answer}");
    }
}

fn obey(words: &[&str]) -> Result<()> {
    match *words {
        ["tcp", place] => with(address(place), STREAM, socket::connect),
        ["listen", place] => with(address(place), STREAM, socket::bind),
        ["udp", place] => with(address(place), DGRAM, |fd, to| socket::send_to(fd, b"x", 0, to).map(drop)),
        ["udp_connect", place] => with(address(place), DGRAM, socket::connect),
        ["udp_bind", place] => with(address(place), DGRAM, socket::bind),
        ["name", name, port] => {
            let port = port.parse().expect("a port");
            let found = resolve::resolve(name, 8)?;
            let mut last = Err(ENOSYS);
            for ip in found {
                last = with(SocketAddr::new(IpAddr::from(ip), port), STREAM, socket::connect);
                if last.is_ok() {
                    break;
                }
            }
            last
        }
        ["unix", path] => unix::client(STREAM, path).map(drop),
        ["unix_bind", path] => unix::listener(STREAM, path, 4).map(drop),
        ["unix_send", path] => {
            let fd = unix::open(DGRAM)?;
            unix::send_to(fd, b"READY=1", 0, path).map(drop)
        }
        // A descriptor that it never got.
        ["descriptors"] => {
            let others = (3..64).filter(|fd| socket::addr_local(*fd).is_ok()).count();
            if others == 0 { Ok(()) } else { Err(ENOSYS) }
        }
        _ => Err(ENOSYS),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Does that with a fresh socket of the family of `place`, and closes it.
fn with(place: SocketAddr, kind: u32, does: impl FnOnce(Fd, SocketAddr) -> Result<()>) -> Result<()> {
    let family = if place.is_ipv4() { INET4 } else { INET6 };
    let fd = socket::open(family, kind, 0)?;
    let done = does(fd, place);
    descriptor::close(fd)?;
    done
}
