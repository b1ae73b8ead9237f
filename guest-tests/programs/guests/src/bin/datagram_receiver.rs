//! `datagram_receiver HOW ADDR`: says what comes and from which sender, up to `end`. HOW is how it
//! waits: `recv`, `poll`, `epoll` or `edge`. With `edge`, and with `late`, which is `recv`, it
//! begins when it has read a line.
//! `datagram_receiver limit ADDR`: takes a line, and then no message for a while.
//! `datagram_receiver peer ADDR PEER`: takes a line, and then has PEER for its peer.

use std::io::BufRead;
use std::net::SocketAddr;
use wasix::descriptor::{NONBLOCK, set_flags};
use wasix::errno::*;
use wasix::poll::{self, Subscription};
use wasix::socket::*;
use wasix::{check_eq, check_ok, wait};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let here: SocketAddr = args[1].parse().expect("an address");
    let fd = check_ok!(open(if here.is_ipv4() { INET4 } else { INET6 }, DGRAM, UDP));
    check_ok!(set_size(fd, option::RECV_BUF_SIZE, 1 << 20));
    check_ok!(bind(fd, here));
    let how = args[0].as_str();
    match how {
        "edge" | "late" => _ = std::io::stdin().lock().read_line(&mut String::new()),
        "limit" => {
            _ = std::io::stdin().lock().read_line(&mut String::new());
            check_eq!(recv(fd, &mut [0; 64], RECV_DONT_WAIT), Err(EAGAIN));
            check_ok!(set_time(fd, option::RECV_TIMEOUT, Some(300_000_000)));
            check_eq!(recv(fd, &mut [0; 64], 0), Err(EAGAIN));
            println!("in time");
            return;
        }
        "peer" => {
            _ = std::io::stdin().lock().read_line(&mut String::new());
            check_ok!(connect(fd, args[2].parse().expect("an address")));
            check_eq!(send(fd, b"hello", 0), Ok(5));
        }
        _ => {}
    }
    let watch = check_ok!(wait::epoll());
    check_ok!(wait::add(watch, fd, if how == "edge" { wait::IN | wait::ET } else { wait::IN }));
    if !matches!(how, "recv" | "late" | "peer") {
        check_ok!(set_flags(fd, NONBLOCK));
    }
    loop {
        match how {
            "poll" => _ = check_ok!(poll::poll(&[Subscription::read(fd, 0)])),
            "epoll" | "edge" => check_eq!(wait::next(watch), Ok(vec![(fd, wait::IN)])),
            _ => {}
        }
        loop {
            let mut buf = [0; 64];
            // A look tells as much as a receive.
            let looked = match recv_whole(fd, &mut buf, RECV_PEEK) {
                // With an edge, there may have been none but of wrong senders.
                Err(EAGAIN) if how == "edge" => break,
                looked => check_ok!(looked),
            };
            check_eq!(recv_whole(fd, &mut buf, 0), Ok(looked));
            let (count, _, from) = looked;
            let text = String::from_utf8_lossy(&buf[..count]).into_owned();
            println!("{text} from {from}");
            if text == "end" {
                return;
            }
            if matches!(how, "poll" | "epoll") {
                break;
            }
        }
    }
}
