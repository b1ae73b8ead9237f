//! `dns_server ADDR...`: a name server for a zone of three names, over UDP at each address.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use wasix::socket::*;
use wasix::{Fd, check_ok, wait};

const FOUR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Names as they travel, and what each has.
const ZONE: [(&[u8], bool, bool); 3] = [
    (b"\x04four\x04test\0", true, false),
    (b"\x03six\x04test\0", false, true),
    (b"\x04both\x04test\0", true, true),
];

const HEADER: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;
const ANY_TYPE: u16 = 255;
const INTERNET: u16 = 1;
const TTL: u32 = 60;

const FORMAT_ERROR: u8 = 1;
const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
const REFUSED: u8 = 5;

fn main() {
    let watch = check_ok!(wait::epoll());
    for addr in std::env::args().skip(1) {
        let addr: SocketAddr = addr.parse().expect("an address");
        let fd = check_ok!(open(if addr.is_ipv4() { INET4 } else { INET6 }, DGRAM, UDP));
        check_ok!(bind(fd, addr));
        check_ok!(wait::add(watch, fd, wait::IN));
    }
    loop {
        for (fd, _) in check_ok!(wait::next(watch)) {
            serve(fd);
        }
    }
}

/// "Messages carried by UDP are restricted to 512 bytes" - RFC 1035
fn serve(fd: Fd) {
    let mut query = [0; 512];
    let Ok((count, is_cut, from)) = recv_whole(fd, &mut query, RECV_DONT_WAIT) else { return };
    if let Some(answer) = answer(&query[..count], is_cut) {
        // A client that is gone is no reason to stop.
        _ = send_to(fd, &answer, 0, from);
    }
}

/// What is no query at all, or an answer itself, gets none.
fn answer(query: &[u8], is_cut: bool) -> Option<Vec<u8>> {
    let header: [u8; HEADER] = query.get(..HEADER)?.try_into().ok()?;
    if header[2] & 0x80 != 0 {
        return None;
    }
    if is_cut {
        return Some(reply(header, &[], FORMAT_ERROR, &[]));
    }
    if header[2] & 0x78 != 0 {
        return Some(reply(header, &[], NOT_IMPLEMENTED, &[]));
    }
    let question = match (header[4..6] == [0, 1], question(&query[HEADER..])) {
        (true, Some(question)) => question,
        _ => return Some(reply(header, &[], FORMAT_ERROR, &[])),
    };
    let (name, &[t0, t1, c0, c1]) = question.split_last_chunk().expect("a question");
    if u16::from_be_bytes([c0, c1]) != INTERNET {
        return Some(reply(header, question, REFUSED, &[]));
    }
    let name = name.to_ascii_lowercase();
    let Some((_, has_four, has_six)) = ZONE.iter().find(|(known, ..)| *known == name) else {
        return Some(reply(header, question, NO_SUCH_NAME, &[]));
    };
    let asked = u16::from_be_bytes([t0, t1]);
    let mut records = Vec::new();
    if *has_four && matches!(asked, A | ANY_TYPE) {
        records.push(record(A, &FOUR.octets()));
    }
    if *has_six && matches!(asked, AAAA | ANY_TYPE) {
        records.push(record(AAAA, &SIX.octets()));
    }
    Some(reply(header, question, 0, &records))
}

/// The first question: labels up to an empty one, type and class.
fn question(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => break,
            length @ 1..=63 => at += 1 + usize::from(length),
            // A pointer, with nothing before it to point to.
            _ => return None,
        }
    }
    bytes.get(..at + 5).filter(|_| at < 255)
}

/// Of the name of the question, which is at 12.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, HEADER as u8];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    bytes.extend(TTL.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn reply(header: [u8; HEADER], question: &[u8], code: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = header[..2].to_vec();
    // An authoritative answer; recursion if it was asked for, but there is none.
    bytes.extend([0x84 | (header[2] & 0x79), code]);
    bytes.extend(u16::from(!question.is_empty()).to_be_bytes());
    bytes.extend((records.len() as u16).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(question);
    bytes.extend(records.concat());
    bytes
}
