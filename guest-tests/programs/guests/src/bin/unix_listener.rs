//! `unix_listener KIND PATH BACKLOG`: listens, and does what the lines of standard input
//! say; ends with its input. KIND is `stream`, `seqpacket` or `datagram`, which only binds.

use std::io::BufRead;
use wasix::descriptor::{NONBLOCK, close};
use wasix::socket::*;
use wasix::{Errno, Fd, Result, check_ok, unix};

fn main() {
    let mut args = std::env::args().skip(1);
    let kind = match args.next().as_deref() {
        Some("stream") => STREAM,
        Some("seqpacket") => SEQPACKET,
        _ => DGRAM,
    };
    let path = args.next().expect("a path");
    let backlog: u32 = args.next().expect("a backlog").parse().unwrap();
    let listener = check_ok!(unix::open(kind));
    check_ok!(unix::bind(listener, &path));
    if kind != DGRAM {
        check_ok!(listen(listener, backlog));
    }
    println!("ready");
    let mut accepted = Vec::new();
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let answer = obey(listener, &mut accepted, &line.unwrap());
        println!("answer {number}: {}", answer.unwrap_or_else(|errno| errno.name().to_owned()));
    }
}

fn obey(listener: Fd, accepted: &mut Vec<Fd>, line: &str) -> Result<String> {
    let (verb, value) = line.split_once(' ').unwrap_or((line, "0"));
    let newest = accepted.last().copied().unwrap_or(listener);
    let mut buf = [0; 1024];
    match verb {
        // The next one, and its name.
        "accept" => {
            let (fd, name) = unix::accept(listener, 0)?;
            accepted.push(fd);
            Ok(format!("from {name:?}"))
        }
        "accept_all" => {
            let mut count = 0;
            loop {
                match unix::accept(listener, NONBLOCK) {
                    Ok((fd, _)) => accepted.push(fd),
                    Err(wasix::errno::EAGAIN) => return Ok(count.to_string()),
                    Err(errno) => return Err(errno),
                }
                count += 1;
            }
        }
        "listen" => listen(listener, value.parse().unwrap()).map(|()| "done".to_owned()),
        "read" => {
            let (count, is_cut, from) = unix::recv_from(newest, &mut buf, 0)?;
            let text = String::from_utf8_lossy(&buf[..count]).into_owned();
            Ok(format!("{text:?} from {from:?}{}", if is_cut { ", cut" } else { "" }))
        }
        "write" => send(newest, value.as_bytes(), 0).map(|count| count.to_string()),
        "close" => {
            accepted.pop();
            close(newest).map(|()| "done".to_owned())
        }
        "close_listener" => close(listener).map(|()| "done".to_owned()),
        _ => Err(Errno::named("ENOSYS")),
    }
}
