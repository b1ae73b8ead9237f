//! `unix_client KIND PATH TEXT`: connects and waits for that as long as it takes, says
//! TEXT and prints the answer. KIND is `stream` or `seqpacket`.

use wasix::socket::*;
use wasix::{check_ok, unix};

fn main() {
    let mut args = std::env::args().skip(1);
    let kind = if args.next().as_deref() == Some("stream") { STREAM } else { SEQPACKET };
    let path = args.next().expect("a path");
    let text = args.next().expect("a text");
    println!("connecting");
    let fd = check_ok!(unix::client(kind, &path));
    println!("connected to {}", check_ok!(unix::peer(fd)));
    check_ok!(send_all(fd, text.as_bytes()));
    let mut buf = [0; 1024];
    let count = check_ok!(recv(fd, &mut buf, 0));
    println!("answer {}", String::from_utf8_lossy(&buf[..count]));
}
