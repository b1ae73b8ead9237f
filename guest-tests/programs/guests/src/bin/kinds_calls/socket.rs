//! The calls of sockets.

use crate::way::{Call, Tried, arrives, carries, done, ensure, expect};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use wasix::descriptor::{close, fdstat};
use wasix::errno::*;
use wasix::kind::{self, Addr, Kind, local, peer};
use wasix::multicast::*;
use wasix::socket::*;
use wasix::{Fd, IS_WASIX, Result, check_ok, if_known, message, outcome, raw, wait};

const SECOND: u64 = 1_000_000_000;

#[rustfmt::skip]
pub const CALLS: &[Call] = &[
    Call { name: "sock_open", make: sock_open },
    Call { name: "sock_pair", make: sock_pair },
    Call { name: "sock_bind", make: sock_bind },
    Call { name: "sock_listen", make: sock_listen },
    Call { name: "sock_accept", make: sock_accept },
    Call { name: "sock_accept_v2", make: |kind| accepted_by(kind, kind::accept) },
    Call { name: "sock_connect", make: sock_connect },
    Call { name: "sock_send", make: sock_send },
    Call { name: "sock_send_to", make: sock_send_to },
    Call { name: "sock_send_file", make: sock_send_file },
    Call { name: "sock_recv", make: sock_recv },
    Call { name: "sock_recv_from", make: sock_recv_from },
    Call { name: "sock_send_msg", make: sock_send_msg },
    Call { name: "sock_recv_msg", make: sock_recv_msg },
    Call { name: "sock_shutdown", make: sock_shutdown },
    Call { name: "sock_join_multicast_v4", make: group_v4 },
    Call { name: "sock_leave_multicast_v4", make: group_v4 },
    Call { name: "sock_join_multicast_v6", make: group_v6 },
    Call { name: "sock_leave_multicast_v6", make: group_v6 },
    Call { name: "sock_status", make: sock_status },
    Call { name: "sock_addr_local", make: sock_addr_local },
    Call { name: "sock_addr_peer", make: sock_addr_peer },
    Call { name: "sock_set_opt_flag", make: flags },
    Call { name: "sock_get_opt_flag", make: flags },
    Call { name: "sock_set_opt_size", make: sizes },
    Call { name: "sock_get_opt_size", make: sizes },
    Call { name: "sock_set_opt_time", make: times },
    Call { name: "sock_get_opt_time", make: times },
];

fn sock_open(kind: Kind) -> Tried {
    let fd = kind.open()?;
    expect("its file type", fdstat(fd).map(|stat| stat.filetype), Ok(kind.filetype()))?;
    expect("its type", size(fd, option::TYPE), Ok(kind.kind.into()))?;
    let protocol = size(fd, option::PROTO);
    if IS_WASIX || protocol != Err(ENOPROTOOPT) {
        expect("its protocol", protocol, Ok(kind.protocol.into()))?;
    }
    done([fd])
}

fn sock_pair(kind: Kind) -> Tried {
    let (near, far) = wait::pair(kind.family, kind.kind, kind.protocol)?;
    carries(near, far)?;
    carries(far, near)?;
    expect("the name of an end", local(near), Ok(Addr::Name(String::new())))?;
    done([near, far])
}

/// Addresses of no family that there is.
fn unknown_addresses() -> impl Iterator<Item = AddrPort> {
    [4, 77, 255].into_iter().map(AddrPort::of_family)
}

/// Those, and addresses of the other families.
fn wrong_addresses(kind: Kind) -> impl Iterator<Item = AddrPort> {
    let others = [INET4, INET6, UNIX].into_iter().filter(move |family| *family != kind.family);
    unknown_addresses().chain(others.map(|family| AddrPort::of_family(family as u8)))
}

/// What no flag means.
const BAD_FLAG: u32 = 1 << 9;

fn sock_bind(kind: Kind) -> Tried {
    let (fd, asked) = (check_ok!(kind.open()), kind.free_address());
    for wrong in wrong_addresses(kind) {
        expect("a wrong family", bind_raw(fd, &wrong), Err(EAFNOSUPPORT))?;
    }
    bind_raw(fd, &asked.raw())?;
    match (local(fd)?, asked) {
        (Addr::Inet(got), Addr::Inet(asked)) => {
            expect("its address", got.ip(), asked.ip())?;
            ensure("it has no port", got.port() != 0)?;
        }
        (got, asked) => expect("its name", got, asked)?,
    }
    expect("a second bind", bind_raw(fd, &kind.free_address().raw()), Err(EINVAL))?;
    done([fd])
}

fn sock_listen(kind: Kind) -> Tried {
    let (fd, at) = check_ok!(kind.bound());
    expect("does it listen before", if_known(flag(fd, option::LISTENING)).unwrap_or(false), false)?;
    listen(fd, 4)?;
    expect("does it listen", if_known(flag(fd, option::LISTENING)).unwrap_or(true), true)?;
    let near = check_ok!(kind.open());
    expect("a connect", connect_raw(near, &at.raw()), Ok(()))?;
    done([near, fd])
}

/// The forms of `wasix_32v1` and of preview 1.
fn sock_accept(kind: Kind) -> Tried {
    let preview1 = |fd, flags| {
        let accepted = accept_preview1(fd, flags)?;
        Ok((accepted, peer(accepted)?))
    };
    let told = accepted_by(kind, preview1);
    let told_v1 = accepted_by(kind, kind::accept_v1);
    told.and(told_v1)
}

fn accepted_by(kind: Kind, accept: fn(Fd, u32) -> Result<(Fd, Addr)>) -> Tried {
    let (fd, at) = check_ok!(kind.bound());
    let (near, from) = check_ok!(kind.bound());
    if kind.connects() {
        check_ok!(listen(fd, 4));
        check_ok!(connect_raw(near, &at.raw()));
    }
    expect("an unknown flag", accept(fd, BAD_FLAG).err(), Some(EINVAL))?;
    let accepted = accept(fd, 0);
    let (far, peer) = match accepted {
        Ok(accepted) => accepted,
        Err(errno) => {
            done([fd, near])?;
            return Err(errno.into());
        }
    };
    expect("the peer", peer, from)?;
    carries(near, far)?;
    carries(far, near)?;
    done([fd, near, far])
}

fn sock_connect(kind: Kind) -> Tried {
    let (near, from) = check_ok!(kind.bound());
    let (there, at) = if kind.connects() { kind.listener(4)? } else { kind.bound()? };
    for wrong in wrong_addresses(kind) {
        expect("a wrong family", connect_raw(near, &wrong), Err(EAFNOSUPPORT))?;
    }
    connect_raw(near, &at.raw())?;
    expect("its peer", peer(near), Ok(at))?;
    if !kind.connects() {
        carries(near, there)?;
        return done([near, there]);
    }
    let (far, peer) = check_ok!(kind::accept(there, 0));
    expect("the peer", peer, from)?;
    carries(near, far)?;
    done([near, far, there])
}

/// What is sent as two comes as two, where there are messages.
fn sock_send(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    expect("an unknown flag", send(near, b"x", BAD_FLAG), Err(EINVAL))?;
    expect("the first", send(near, b"ab", 0)?, 2)?;
    expect("the second", send(near, b"cd", 0)?, 2)?;
    if kind.keeps_boundaries() {
        arrives(far, b"ab")?;
        arrives(far, b"cd")?;
    } else {
        let mut buf = [0; 4];
        expect("all of it", recv(far, &mut buf, RECV_WAITALL), Ok(4))?;
        expect("the bytes", &buf, b"abcd")?;
    }
    done([near, far])
}

/// A connection sends to its peer, whatever the address.
fn sock_send_to(kind: Kind) -> Tried {
    let (other, elsewhere) = check_ok!(kind.bound());
    if kind.connects() {
        let (near, far) = check_ok!(kind.two());
        is_refused(near, unknown_addresses())?;
        expect("how much", kind::send_to(near, b"hello", 0, &elsewhere)?, 5)?;
        arrives(far, b"hello")?;
        return done([near, far, other]);
    }
    let near = check_ok!(kind.open());
    is_refused(near, wrong_addresses(kind))?;
    expect("how much", kind::send_to(near, b"hello", 0, &elsewhere)?, 5)?;
    arrives(other, b"hello")?;
    done([near, other])
}

fn is_refused(fd: Fd, wrong: impl Iterator<Item = AddrPort>) -> Tried {
    for addr in wrong {
        expect("a wrong family", kind::send_to_raw(fd, b"x", 0, &addr), Err(EAFNOSUPPORT))?;
    }
    Ok(())
}

fn sock_send_file(kind: Kind) -> Tried {
    fs::write("/run/file", "0123456789").expect("a file");
    let file = fs::File::open("/run/file").expect("the file");
    let (near, far) = check_ok!(kind.two());
    expect("how much", kind::send_file(near, file.as_raw_fd() as u32, 2, 5)?, 5)?;
    arrives(far, b"23456")?;
    done([near, far])
}

fn sock_recv(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    let mut buf = [0; 8];
    expect("an unknown flag", recv(far, &mut buf, BAD_FLAG), Err(EINVAL))?;
    expect("where there is nothing", recv(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN))?;
    check_ok!(send(near, b"hello", 0));
    expect("a look", recv(far, &mut buf, RECV_PEEK), Ok(5))?;
    expect("how much", recv(far, &mut buf[..3], 0)?, 3)?;
    expect("the bytes", &buf[..3], b"hel")?;
    // The rest of a message is gone.
    let rest = if kind.keeps_boundaries() { Err(EAGAIN) } else { Ok(2) };
    expect("the rest", recv(far, &mut buf, RECV_DONT_WAIT), rest)?;
    done([near, far])
}

fn sock_recv_from(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    check_ok!(send(near, b"hello", 0));
    let mut buf = [0; 8];
    expect("an unknown flag", kind::recv_from(far, &mut buf, BAD_FLAG).err(), Some(EINVAL))?;
    let (count, from) = kind::recv_from(far, &mut buf, 0)?;
    expect("the bytes", &buf[..count], b"hello")?;
    expect("the sender", Ok(from), local(near))?;
    done([near, far])
}

fn sock_send_msg(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    expect("how much", message::send(near, b"hello", &[])?, 5)?;
    arrives(far, b"hello")?;
    let to = local(far)?.raw();
    expect("how much", message::send_with(near, b"again", 0, Some(&to), &[])?, 5)?;
    arrives(far, b"again")?;
    expect("an unknown flag", message::send_with(near, b"hello", BAD_FLAG, None, &[]), Err(EINVAL))?;
    done([near, far])
}

fn sock_recv_msg(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    let mut buf = [0; 8];
    check_ok!(send(near, b"hello", 0));
    let received = |count| message::Received { count, is_cut: false, fds: vec![], lacks_fds: false };
    expect("a look", message::receive(far, &mut buf, RECV_PEEK, 64)?, received(5))?;
    let mut from = AddrPort::unwritten();
    let found = message::receive_from(far, &mut buf, 0, 64, Some(&mut from))?;
    expect("what came", (found, &buf[..5]), (received(5), &b"hello"[..]))?;
    expect("the sender", Ok(Addr::read(&from)), local(near))?;
    expect("an unknown flag", message::receive(far, &mut buf, BAD_FLAG, 64).err(), Some(EINVAL))?;
    expect("nothing", message::receive(far, &mut buf, RECV_DONT_WAIT, 64).err(), Some(EAGAIN))?;
    done([near, far])
}

fn sock_shutdown(kind: Kind) -> Tried {
    let alone = check_ok!(kind.open());
    expect("without a peer", shutdown(alone, SHUT_WR), Err(ENOTCONN))?;
    expect("in no direction", shutdown(alone, 0), Err(EINVAL))?;
    let (near, far) = check_ok!(kind.two());
    shutdown(near, SHUT_WR)?;
    expect("a send", send(near, b"hello", 0), Err(EPIPE))?;
    if kind.connects() {
        expect("the end", recv(far, &mut [0; 8], 0), Ok(0))?;
    }
    carries(far, near)?;
    shutdown(near, SHUT_RD)?;
    expect("a recv", recv(near, &mut [0; 8], 0), Ok(0))?;
    done([alone, near, far])
}

fn group_v4(kind: Kind) -> Tried {
    let (group, here) = (Ipv4Addr::new(239, 255, 18, 9), Ipv4Addr::LOCALHOST);
    is_joined_and_left(kind, |fd| join_v4(fd, group, here), |fd| leave_v4(fd, group, here))
}

fn group_v6(kind: Kind) -> Tried {
    // The first interface is the loopback.
    let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0x18, 9);
    is_joined_and_left(kind, |fd| join_v6(fd, group, 1), |fd| leave_v6(fd, group, 1))
}

/// Once each. That the messages to a group arrive, another program shows.
fn is_joined_and_left(
    kind: Kind,
    join: impl Fn(Fd) -> Result<()>,
    leave: impl Fn(Fd) -> Result<()>,
) -> Tried {
    let fd = check_ok!(kind.open());
    let (joined, again, left) = (join(fd), join(fd), leave(fd));
    let left_again = leave(fd);
    done([fd])?;
    if joined.is_err() {
        expect("a leave", left, joined)?;
    }
    joined?;
    expect("a second join", again, Err(EADDRINUSE))?;
    left?;
    expect("a second leave", left_again, Err(EADDRNOTAVAIL))
}

fn sock_status(kind: Kind) -> Tried {
    const OPENING: u8 = 0;
    const OPENED: u8 = 1;
    const CLOSED: u8 = 2;
    let fresh = check_ok!(kind.open());
    expect("a fresh one", status(fresh)?, OPENING)?;
    let (near, far) = check_ok!(kind.two());
    expect("a connected one", status(near)?, OPENED)?;
    if kind.connects() {
        check_ok!(shutdown(near, SHUT_WR));
        check_ok!(close(far));
        expect("the end", recv(near, &mut [0; 8], 0), Ok(0))?;
        expect("one whose peer is gone", status(near)?, CLOSED)?;
        return done([fresh, near]);
    }
    done([fresh, near, far])
}

fn sock_addr_local(kind: Kind) -> Tried {
    let fresh = check_ok!(kind.open());
    match local(fresh)? {
        Addr::Inet(addr) => {
            ensure("a fresh one has an address", addr.ip().is_unspecified() && addr.port() == 0)?
        }
        Addr::Name(name) => expect("its name", name.as_str(), "")?,
    }
    let (near, far) = check_ok!(kind.two());
    expect("the address of one is the other's peer", local(near), peer(far))?;
    done([fresh, near, far])
}

fn sock_addr_peer(kind: Kind) -> Tried {
    let fresh = check_ok!(kind.open());
    expect("a fresh one's peer", peer(fresh), Err(ENOTCONN))?;
    let (near, far) = check_ok!(kind.two());
    expect("the peer of one is the other", Ok(peer(near)?), local(far))?;
    done([fresh, near, far])
}

/// Read back; each option is a row of its own in another table.
fn flags(kind: Kind) -> Tried {
    let fd = check_ok!(kind.open());
    for on in [true, false, true] {
        set_flag(fd, option::REUSE_ADDR, on)?;
        expect("what was set", flag(fd, option::REUSE_ADDR)?, on)?;
    }
    if !IS_WASIX {
        // Elsewhere a flag is what it is in C: 0, or on.
        return done([fd]);
    }
    let neither = outcome(unsafe { raw::wasix::sock_set_opt_flag(fd, option::REUSE_ADDR, 2) });
    expect("neither on nor off", neither, Err(EINVAL))?;
    done([fd])
}

fn sizes(kind: Kind) -> Tried {
    let fd = check_ok!(kind.open());
    set_size(fd, option::RECV_BUF_SIZE, 65_536)?;
    ensure("it is smaller", size(fd, option::RECV_BUF_SIZE)? >= 65_536)?;
    done([fd])
}

fn times(kind: Kind) -> Tried {
    let fd = check_ok!(kind.open());
    for limit in [Some(SECOND), None] {
        set_time(fd, option::RECV_TIMEOUT, limit)?;
        expect("what was set", time(fd, option::RECV_TIMEOUT)?, limit)?;
    }
    if !IS_WASIX {
        // Elsewhere no tag says whether there is a limit.
        return done([fd]);
    }
    let neither = OptionTimestamp { tag: 2, value: 1 };
    expect("neither some nor none", set_time_raw(fd, option::RECV_TIMEOUT, &neither), Err(EINVAL))?;
    done([fd])
}
