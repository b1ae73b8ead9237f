//! Servers over UDP, and clients: the system's own where they are installed.

#![expect(clippy::indexing_slicing, reason = "a test may fail")]

use super::datagrams::granted;
use super::has_ipv6;
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Running, Wasock};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A server at an address of each family that there is.
fn start(host: Wasock, program: &str) -> Result<(Running, Vec<SocketAddr>)> {
    let mut host = host.args([program, "127.0.0.1:0"]);
    let mut families = vec!["127.0.0.1:"];
    if has_ipv6() {
        host = host.arg("[::1]:0");
        families.push("[::1]:");
    }
    let mut guest = host.start()?;
    let bound = families.iter().map(|family| guest.bound_at(family)).collect::<Result<_>>()?;
    Ok((guest, bound))
}

/// A client of the same family.
fn client(server: SocketAddr) -> Result<UdpSocket> {
    let client = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.connect(server)?;
    Ok(client)
}

/// Is the program there? A test that would use it says so where it is not.
fn has(program: &str) -> bool {
    let found =
        Command::new(program).arg("--version").output().or_else(|_| Command::new(program).arg("-v").output());
    if found.is_err() {
        eprintln!("passed over in part: {program} is not installed");
    }
    found.is_ok()
}

const A: u16 = 1;
const AAAA: u16 = 28;
const MX: u16 = 15;

/// A query of one question.
fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        bytes.extend(u8::try_from(label.len()));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend([kind.to_be_bytes(), 1_u16.to_be_bytes()].concat());
    bytes
}

/// The code of a reply, and the addresses in it.
fn answer(query: &[u8], bytes: &[u8]) -> Result<(u8, Vec<IpAddr>)> {
    ensure!(bytes.get(..2) == query.get(..2) && bytes.len() >= 12, "{bytes:?}");
    ensure!(bytes[2] & 0x80 != 0, "no answer: {bytes:?}");
    let mut rest = bytes.get(12..).unwrap_or_default();
    if bytes[5] == 1 {
        rest = rest.strip_prefix(query.get(12..).unwrap_or_default()).context("another question")?;
    }
    let mut found = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<12>() {
        let length = usize::from(u16::from_be_bytes([head[10], head[11]]));
        let (data, tail) = tail.split_at_checked(length).context("too short")?;
        found.push(match length {
            4 => IpAddr::from(<[u8; 4]>::try_from(data)?),
            _ => IpAddr::from(<[u8; 16]>::try_from(data)?),
        });
        rest = tail;
    }
    ensure!(found.len() == usize::from(bytes[7]) && rest.is_empty(), "{bytes:?}");
    Ok((bytes[3] & 0xf, found))
}

#[test]
pub(crate) fn dns_server() -> Result<()> {
    let (guest, servers) = start(granted(), guest_tests::DNS_SERVER)?;
    let (four, six): (IpAddr, IpAddr) = ("192.0.2.1".parse()?, "2001:db8::1".parse()?);
    let has_dig = has("dig");
    for server in servers {
        let client = client(server)?;
        let mut buf = [0; 512];
        let mut ask = |query: &[u8]| -> Result<(u8, Vec<IpAddr>)> {
            client.send(query)?;
            let count = client.recv(&mut buf)?;
            answer(query, buf.get(..count).unwrap_or_default())
        };
        for (name, kind, expected) in [
            ("four.test", A, (0, vec![four])),
            ("four.test", AAAA, (0, vec![])),
            ("six.test", AAAA, (0, vec![six])),
            ("both.test", 255, (0, vec![four, six])),
            ("BOTH.test", A, (0, vec![four])),
            ("both.test", MX, (0, vec![])),
            ("none.test", A, (3, vec![])),
        ] {
            let found = ask(&query(kind, name, kind))?;
            ensure!(found == expected, "{name} {kind}: {found:?}");
        }
        // A malformed query gets an error, and what is no query gets no reply.
        let good = query(7, "four.test", A);
        client.send(&[1, 2, 3])?;
        client.send(&[&good[..2], &[0x80], &good[3..]].concat())?;
        for (bytes, code) in [
            (&good[..20], 1),
            (&[&good[..], &[0; 600]].concat()[..], 1),
            (&[&good[..2], &[0x10], &good[3..]].concat()[..], 4),
            (&[&good[..12], &[0xc0, 12, 0, 1, 0, 1]].concat()[..], 1),
            (&[&good[..good.len() - 1], &[3]].concat()[..], 5),
        ] {
            let found = ask(bytes)?;
            ensure!(found == (code, vec![]), "{bytes:?}: {found:?}");
        }
        if has_dig {
            let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
            let dig = Command::new("dig").args([&at, "-p", &port, "+short", "both.test", "AAAA"]).output()?;
            ensure!(dig.stdout == b"2001:db8::1\n", "{dig:?}");
        }
    }
    guest.stop()?;
    Ok(())
}

#[test]
pub(crate) fn udp_chat() -> Result<()> {
    let (guest, servers) = start(granted(), guest_tests::UDP_CHAT)?;
    let hears = |client: &UdpSocket, expected: &str| -> Result<()> {
        let mut buf = [0; 256];
        let count = client.recv(&mut buf)?;
        let heard = String::from_utf8_lossy(buf.get(..count).unwrap_or_default()).into_owned();
        ensure!(heard == expected, "{heard:?}, not {expected:?}");
        Ok(())
    };
    // Clients of each family join, and earlier ones receive their messages.
    let mut room: Vec<(UdpSocket, String)> = Vec::new();
    for server in servers.iter().cycle().take(4) {
        let one = client(*server)?;
        let name = one.local_addr()?.to_string();
        one.send(b"hi")?;
        for (other, _) in &room {
            hears(other, &format!("{name}: hi"))?;
        }
        room.push((one, name));
    }
    let ((first, name), rest) = room.split_first().context("no clients")?;
    first.send(b"all")?;
    for (other, _) in rest {
        hears(other, &format!("{name}: all"))?;
    }
    first.send(b"/who")?;
    hears(first, "4 here")?;
    // A client that left receives nothing: the next it receives is the reply to itself.
    first.send(b"/leave")?;
    first.send(b"/who")?;
    hears(first, "3 here")?;
    let (last, name) = rest.last().context("no clients")?;
    last.send(b"bye")?;
    for (other, _) in rest.iter().rev().skip(1) {
        hears(other, &format!("{name}: bye"))?;
    }
    last.send(b"/who")?;
    hears(last, "3 here")?;
    first.send(b"/who")?;
    hears(first, "3 here")?;
    first.send(b"/close")?;
    guest.finish()?.expect_code(0)?;
    Ok(())
}

/// A request to read, as RFC 1350 has it.
fn request(name: &str, mode: &str) -> Vec<u8> {
    [b"\0\x01", name.as_bytes(), b"\0", mode.as_bytes(), b"\0"].concat()
}

/// Reads a file as a client does; the code of an error where one came.
fn fetch(server: SocketAddr, request: &[u8]) -> Result<Result<Vec<u8>, u8>> {
    let client = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let stranger = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
    stranger.set_read_timeout(Some(WAIT_TIMEOUT))?;
    client.send_to(request, server)?;
    let (mut bytes, mut buf, mut number) = (Vec::new(), [0; 600], 1_u16);
    loop {
        let (count, from) = client.recv_from(&mut buf)?;
        let packet = buf.get(..count).unwrap_or_default();
        if packet.starts_with(&[0, 5]) {
            return Ok(Err(packet[3]));
        }
        ensure!(from.port() != server.port(), "a transfer has a port of its own");
        let [n0, n1] = number.to_be_bytes();
        ensure!(packet.starts_with(&[0, 3, n0, n1]), "{packet:?}");
        bytes.extend(packet.get(4..).unwrap_or_default());
        if number == 2 {
            // No other client gets in between.
            stranger.send_to(&[0, 4, n0, n1], from)?;
            let told = stranger.recv(&mut buf)?;
            ensure!(buf.get(..told).is_some_and(|told| told.starts_with(&[0, 5, 0, 5])), "{buf:?}");
        }
        client.send_to(&[0, 4, n0, n1], from)?;
        if count < 516 {
            return Ok(Ok(bytes));
        }
        number += 1;
    }
}

#[test]
pub(crate) fn tftp_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut files = BTreeMap::new();
    for size in [0, 1, 511, 512, 513, 1024, 70_000] {
        let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 249).unwrap_or(0)).collect();
        fs::write(folder.path().join(size.to_string()), &bytes)?;
        files.insert(size.to_string(), bytes);
    }
    let host = granted().args(["--dir-ro", &format!("{}::/srv", folder.path().display())]);
    let (guest, servers) = start(host, guest_tests::TFTP_SERVER)?;
    let has_curl = has("curl");
    for server in servers {
        for (name, bytes) in files.iter().filter(|(_, bytes)| bytes.len() <= 1024) {
            let fetched = fetch(server, &request(name, "octet"))?;
            ensure!(fetched.as_ref() == Ok(bytes), "{name}: {:?}", fetched.map(|bytes| bytes.len()));
        }
        for (bad, code) in [
            (request("none", "octet"), 1),
            (request("../../etc/passwd", "octet"), 1),
            (request("1", "mail"), 4),
            (b"\0\x02new\0octet\0".to_vec(), 2),
            (b"\0\x01unfinished".to_vec(), 4),
            (b"\0".to_vec(), 4),
        ] {
            let answer = fetch(server, &bad)?;
            ensure!(answer == Err(code), "{bad:?}: {answer:?}");
        }
        for (name, bytes) in files.iter().filter(|_| has_curl) {
            let url = format!("tftp://{server}/{name}");
            let curl = Command::new("curl").args(["-sS", "--max-time", "20", &url]).output()?;
            ensure!(curl.status.success() && curl.stdout == *bytes, "{name}: {curl:?}");
        }
    }
    guest.stop()?;
    Ok(())
}
