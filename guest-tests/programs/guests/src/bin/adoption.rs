//! `adoption CONTROL`: does with its sockets what it reads from a connection to CONTROL, a
//! line an order, and answers each with a line. Sockets have names of the test's.

use std::collections::HashMap;
use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, close, dup, set_flags};
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::wait::{self, IN};
use wasix::{Errno, Fd, check_ok, descriptor, file, socket, unix};

#[derive(Default)]
struct Sockets {
    by_name: HashMap<String, Fd>,
    epoll: Option<Fd>,
}

fn main() {
    let control = std::env::args().nth(1).expect("an address");
    let control: SocketAddr = control.parse().expect("an address");
    let fd = check_ok!(socket::open_for(control));
    check_ok!(socket::connect(fd, control));
    let mut sockets = Sockets::default();
    while let Some(line) = read_line(fd) {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match sockets.obey(&words) {
            Ok(answer) => answer,
            Err(errno) => format!("{errno:?}"),
        };
        check_ok!(socket::send_all(fd, format!("{answer}\n").as_bytes()));
    }
}

fn read_line(fd: Fd) -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match descriptor::read(fd, &mut byte) {
            Ok(1) if byte[0] == b'\n' => return String::from_utf8(line).ok(),
            Ok(1) => line.push(byte[0]),
            _ => return None,
        }
    }
}

impl Sockets {
    fn obey(&mut self, words: &[&str]) -> Result<String, Errno> {
        let done = "ok".to_owned();
        match words {
            ["open", name, "tcp"] => self.name(name, socket::open(socket::INET4, socket::STREAM, 0)?),
            ["open", name, "tcp6"] => self.name(name, socket::open(socket::INET6, socket::STREAM, 0)?),
            ["open", name, "udp"] => self.name(name, socket::open(socket::INET4, socket::DGRAM, 0)?),
            ["open", name, "unix"] => self.name(name, unix::open(socket::STREAM)?),
            ["dup", name, other] => self.name(other, dup(self.fd(name))?),
            ["bind", name, place] => match place.parse::<SocketAddr>() {
                Ok(addr) => socket::bind(self.fd(name), addr)?,
                Err(_) => unix::bind(self.fd(name), place)?,
            },
            ["listen", name, backlog] => socket::listen(self.fd(name), backlog.parse().expect("a number"))?,
            ["local", name] => return Ok(socket::addr_local(self.fd(name))?.to_string()),
            ["nonblock", name] => set_flags(self.fd(name), NONBLOCK)?,
            // Says which instance it is, and ends the connection.
            ["accept", name, word] => {
                let mut addr = socket::AddrPort::unwritten();
                let call = wasix::raw::wasix::sock_accept_v2;
                let accepted = socket::accept_raw(call, self.fd(name), 0, &mut addr)?;
                socket::send_all(accepted, word.as_bytes())?;
                close(accepted)?;
            }
            // Keeps it, under another name.
            ["take", name, other] => {
                let mut addr = socket::AddrPort::unwritten();
                let call = wasix::raw::wasix::sock_accept_v2;
                let accepted = socket::accept_raw(call, self.fd(name), 0, &mut addr)?;
                self.name(other, accepted);
            }
            ["connect", name, place] => match place.parse::<SocketAddr>() {
                Ok(addr) => socket::connect(self.fd(name), addr)?,
                Err(_) => unix::connect(self.fd(name), place)?,
            },
            // One message, and who sent it.
            ["receive", name] => {
                let mut message = [0; 64];
                let (count, _, from) = socket::recv_whole(self.fd(name), &mut message, 0)?;
                return Ok(format!("{} from {from}", String::from_utf8_lossy(&message[..count])));
            }
            ["send", name, place, word] => {
                socket::send_to(self.fd(name), word.as_bytes(), 0, place.parse().expect("an address"))?;
            }
            ["poll_write", name] => {
                let of =
                    [Subscription::write(self.fd(name), 1), Subscription::clock(MONOTONIC, 5_000_000_000, 2)];
                let is_ready = poll(&of)?.iter().any(|event| event.userdata == 1);
                return Ok(if is_ready { "ready" } else { "nothing" }.to_owned());
            }
            ["say", name, word] => socket::send_all(self.fd(name), word.as_bytes())?,
            // One byte, or the end of what the peer sends.
            ["read", name] => {
                let found = descriptor::read(self.fd(name), &mut [0])?;
                return Ok(if found == 0 { "end" } else { "byte" }.to_owned());
            }
            // As much as fits.
            ["fill", name] => {
                set_flags(self.fd(name), NONBLOCK)?;
                while descriptor::write(self.fd(name), &[b'x'; 65536]).is_ok() {}
            }
            ["poll", name, milliseconds] => {
                let limit = milliseconds.parse::<u64>().expect("a number") * 1_000_000;
                let of = [Subscription::read(self.fd(name), 1), Subscription::clock(MONOTONIC, limit, 2)];
                let is_ready = poll(&of)?.iter().any(|event| event.userdata == 1);
                return Ok(if is_ready { "ready" } else { "nothing" }.to_owned());
            }
            ["watch", name] => {
                let epoll = match self.epoll {
                    Some(epoll) => epoll,
                    None => *self.epoll.insert(wait::epoll()?),
                };
                wait::add(epoll, self.fd(name), IN)?;
            }
            ["wait", milliseconds] => {
                let limit = milliseconds.parse::<u64>().expect("a number") * 1_000_000;
                let found = wait::wait(self.epoll.expect("an epoll"), 8, limit)?;
                return Ok(if found.is_empty() { "nothing" } else { "ready" }.to_owned());
            }
            ["keepalive", name, on] => {
                socket::set_flag(self.fd(name), socket::option::KEEP_ALIVE, *on == "on")?;
            }
            ["is_kept_alive", name] => {
                return Ok(socket::flag(self.fd(name), socket::option::KEEP_ALIVE)?.to_string());
            }
            ["shared", name] => socket::set_flag(self.fd(name), socket::option::REUSE_PORT, true)?,
            ["only_v6", name] => socket::set_flag(self.fd(name), socket::option::ONLY_V6, true)?,
            ["close", name] => close(self.by_name.remove(*name).expect("a socket"))?,
            ["unlink", path] => {
                let (folder, name) = path.rsplit_once('/').expect("a path");
                file::unlink(file::folder(folder)?, name)?;
            }
            ["is_there", path] => {
                let (folder, name) = path.rsplit_once('/').expect("a path");
                file::path_stat(file::folder(folder)?, 0, name)?;
            }
            ["env", name] => return Ok(std::env::var(name).unwrap_or_default()),
            // A trap.
            ["unreachable"] => std::process::abort(),
            ["exit", code] => std::process::exit(code.parse().expect("a number")),
            _ => panic!("{words:?}"),
        }
        Ok(done)
    }

    fn name(&mut self, name: &str, fd: Fd) {
        self.by_name.insert(name.to_owned(), fd);
    }

    fn fd(&self, name: &str) -> Fd {
        self.by_name[name]
    }
}
