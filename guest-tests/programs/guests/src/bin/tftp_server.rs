//! `tftp_server ADDR...`: the files of `/srv`, to read, as RFC 1350 has it: 512 bytes at a
//! time, each acknowledged, from a socket for each transfer. One transfer after another.

use std::net::SocketAddr;
use wasix::socket::*;
use wasix::{Fd, check_ok, descriptor, wait};

const BLOCK: usize = 512;
/// "timeouts" are the RFC's word for what is lost; nothing is, on a machine.
const WAIT_TIMEOUT: u64 = 2_000_000_000;
const TRIES: u32 = 5;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;

const NOT_FOUND: u16 = 1;
const FORBIDDEN: u16 = 2;
const ILLEGAL: u16 = 4;
const UNKNOWN_TRANSFER: u16 = 5;

fn main() {
    let watch = check_ok!(wait::epoll());
    let mut listeners = Vec::new();
    for addr in std::env::args().skip(1) {
        let addr: SocketAddr = addr.parse().expect("an address");
        let fd = socket_at(addr);
        check_ok!(wait::add(watch, fd, wait::IN));
        listeners.push((fd, addr));
    }
    loop {
        for (fd, _) in check_ok!(wait::next(watch)) {
            let mut request = [0; BLOCK];
            if let Ok((count, _, client)) = recv_whole(fd, &mut request, RECV_DONT_WAIT) {
                let (_, at) = listeners.iter().find(|(listener, _)| *listener == fd).expect("a listener");
                let own = socket_at(SocketAddr::new(at.ip(), 0));
                serve(own, client, &request[..count]);
                check_ok!(descriptor::close(own));
            }
        }
    }
}

fn socket_at(addr: SocketAddr) -> Fd {
    let fd = check_ok!(open(if addr.is_ipv4() { INET4 } else { INET6 }, DGRAM, UDP));
    check_ok!(bind(fd, addr));
    fd
}

fn serve(own: Fd, client: SocketAddr, request: &[u8]) {
    check_ok!(set_time(own, option::RECV_TIMEOUT, Some(WAIT_TIMEOUT)));
    match wanted(request) {
        Ok(bytes) => transfer(own, client, &bytes),
        Err((code, text)) => _ = send_to(own, &error(code, text), 0, client),
    }
}

/// The bytes of the file that a request names.
fn wanted(request: &[u8]) -> Result<Vec<u8>, (u16, &'static str)> {
    let illegal = (ILLEGAL, "not a request");
    let (opcode, rest) = request.split_first_chunk().ok_or(illegal)?;
    let mut texts = rest.split(|byte| *byte == 0);
    let (Some(name), Some(mode), Some(_)) = (texts.next(), texts.next(), texts.next()) else {
        return Err(illegal);
    };
    match u16::from_be_bytes(*opcode) {
        READ if mode.eq_ignore_ascii_case(b"octet") => {}
        READ => return Err((ILLEGAL, "octet only")),
        WRITE => return Err((FORBIDDEN, "read only")),
        _ => return Err(illegal),
    }
    let name = std::str::from_utf8(name).map_err(|_| (NOT_FOUND, "no such file"))?;
    std::fs::read(format!("/srv/{}", name.trim_start_matches('/'))).map_err(|_| (NOT_FOUND, "no such file"))
}

/// "A data packet of less than 512 bytes signals termination": an empty one too.
fn transfer(own: Fd, client: SocketAddr, bytes: &[u8]) {
    let count = bytes.len() / BLOCK + 1;
    for number in 1..=count {
        let data = &bytes[(number - 1) * BLOCK..bytes.len().min(number * BLOCK)];
        // Block 65,536 is 0, as clients expect of a large file.
        let number = number as u16;
        let packet = [&DATA.to_be_bytes(), &number.to_be_bytes(), data].concat();
        if !(0..TRIES)
            .any(|_| send_to(own, &packet, 0, client).is_ok() && is_acknowledged(own, client, number))
        {
            return;
        }
    }
}

/// Waits for the answer to a block. Old ones are passed over, and strangers get an error.
fn is_acknowledged(own: Fd, client: SocketAddr, number: u16) -> bool {
    let mut answer = [0; BLOCK];
    loop {
        match recv_whole(own, &mut answer, 0) {
            Ok((_, _, from)) if from != client => {
                _ = send_to(own, &error(UNKNOWN_TRANSFER, "unknown transfer"), 0, from);
            }
            Ok((4.., _, _)) if answer[..4] == [ACK.to_be_bytes(), number.to_be_bytes()].concat() => {
                return true;
            }
            Ok((2.., _, _)) if answer[..2] == ERROR.to_be_bytes() => return false,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn error(code: u16, text: &str) -> Vec<u8> {
    [&ERROR.to_be_bytes(), &code.to_be_bytes(), text.as_bytes(), b"\0"].concat()
}
