//! Streams over Unix names, from one end to the other inside of one program: names,
//! data, ends, a full queue, errors by state. Needs `/run` and grants for all in it.

use wasix::descriptor::{NONBLOCK, close, dup, set_flags, write};
use wasix::errno::*;
use wasix::poll::{Subscription, poll};
use wasix::socket::{self, *};
use wasix::{Fd, check, check_eq, check_ok, file, unix, wait};

const SECOND: u64 = 1_000_000_000;

fn main() {
    names();
    long_names();
    relative_names();
    data_both_ways();
    ends();
    readiness();
    full_queue();
    states();
    targets();
    other_families();
    options();
    taken_names();
}

fn connected(path: &str) -> (Fd, Fd, Fd) {
    let listener = check_ok!(unix::listener(STREAM, path, 8));
    let near = check_ok!(unix::client(STREAM, path));
    let (far, _) = check_ok!(unix::accept(listener, 0));
    (listener, near, far)
}

fn names() {
    let listener = check_ok!(unix::open(STREAM));
    check_eq!(unix::local(listener), Ok(String::new()));
    check_eq!(unix::peer(listener), Err(ENOTCONN));
    check_eq!(status(listener), Ok(0));
    check_ok!(unix::bind(listener, "/run/names"));
    check_ok!(listen(listener, 4));
    check_eq!(status(listener), Ok(1));
    check_eq!(unix::local(listener), Ok("/run/names".into()));
    // A client without a name, then one with.
    let near = check_ok!(unix::client(STREAM, "/run/names"));
    check_eq!(unix::local(near), Ok("".into()));
    check_eq!(unix::peer(near), Ok("/run/names".into()));
    let (far, peer) = check_ok!(unix::accept(listener, 0));
    check_eq!(peer, "");
    check_eq!(unix::peer(far), Ok("".into()));
    check_eq!(unix::local(far), Ok("/run/names".into()));
    let named = check_ok!(unix::open(STREAM));
    check_ok!(unix::bind(named, "/run/client"));
    check_ok!(unix::connect(named, "/run/names"));
    let (far, peer) = check_ok!(unix::accept(listener, 0));
    check_eq!((unix::peer(far), peer), (Ok("/run/client".into()), "/run/client".to_owned()));
    check_eq!(unix::local(named), Ok("/run/client".into()));
}

/// More than the 17 bytes for which programs of the first generation have room.
fn long_names() {
    let listener = check_ok!(unix::listener(STREAM, "/run/more_than_17_bytes", 4));
    check_eq!(unix::local(listener), Ok("/run/more_than_17_bytes".into()));
    let near = check_ok!(unix::client(STREAM, "/run/more_than_17_bytes"));
    check_eq!(unix::peer(near), Ok("/run/more_than_17_bytes".into()));
}

fn relative_names() {
    check_ok!(file::chdir("/run"));
    let listener = check_ok!(unix::listener(STREAM, "relative", 4));
    check_eq!(unix::local(listener), Ok("relative".into()));
    check_ok!(unix::client(STREAM, "/run/relative"));
    check_ok!(unix::client(STREAM, "./../run/relative"));
    check_ok!(file::chdir("/"));
    check_eq!(unix::client(STREAM, "relative").err(), Some(EACCES), "/relative is not granted");
}

fn data_both_ways() {
    let (_, near, far) = connected("/run/data");
    let mut buf = [0; 16];
    for (from, to) in [(near, far), (far, near)] {
        check_eq!(recv(to, &mut buf, RECV_DONT_WAIT), Err(EAGAIN));
        check_ok!(send_all(from, b"hello"));
        check_eq!(write(from, b", world"), Ok(7));
        check_eq!(recv(to, &mut buf, RECV_PEEK), Ok(12));
        check_eq!(unix::recv(to, &mut buf[..5], RECV_DATA_TRUNCATED), Ok((5, false)), "a stream is not cut");
        check_eq!(recv(to, &mut buf[..7], RECV_WAITALL), Ok(7));
        check_eq!(&buf[..7], b", world");
    }
    // The C library receives by this call, and names a destination that does not count.
    check_eq!(unix::send_to(near, b"to", 0, "/run/nobody"), Ok(2));
    check_eq!(unix::recv_from(far, &mut buf, 0), Ok((2, false, String::new())));
    check_eq!(unix::recv_from(near, &mut buf, RECV_DONT_WAIT).err(), Some(EAGAIN));
    // More than any buffer holds, as far as it goes.
    check_ok!(set_flags(near, NONBLOCK));
    let mut sent = 0;
    let refused = loop {
        match send(near, &[7; 65536], 0) {
            Ok(count) => sent += count,
            Err(errno) => break errno,
        }
    };
    check_eq!(refused, EAGAIN);
    let mut received = 0;
    let mut large = vec![0; 100_000];
    while received < sent {
        received += check_ok!(recv(far, &mut large, 0));
    }
    check_eq!(received, sent);
}

fn ends() {
    let (_, near, far) = connected("/run/ends");
    let mut buf = [0; 8];
    check_ok!(send_all(near, b"last"));
    check_ok!(shutdown(near, SHUT_WR));
    check_eq!(send(near, b"x", 0), Err(EPIPE));
    check_eq!(recv(far, &mut buf, 0), Ok(4));
    check_eq!(recv(far, &mut buf, 0), Ok(0));
    check_ok!(send_all(far, b"answer"));
    check_eq!(recv(near, &mut buf, 0), Ok(6));
    check_eq!(status(far), Ok(1));
    // A duplicate keeps it open.
    let twin = check_ok!(dup(near));
    check_ok!(close(near));
    check_ok!(send_all(far, b"twin"));
    check_eq!(recv(twin, &mut buf, 0), Ok(4));
    check_ok!(close(twin));
    check_eq!(send(far, b"x", 0), Err(EPIPE));
    check_eq!(status(far), Ok(2));
    check_eq!(unix::local(far), Ok("/run/ends".into()));
}

fn readiness() {
    let listener = check_ok!(unix::listener(STREAM, "/run/ready", 4));
    let watch = check_ok!(wait::epoll());
    check_ok!(wait::add(watch, listener, wait::IN));
    check_eq!(wait::now(watch), Ok(vec![]));
    check_eq!(unix::accept(listener, NONBLOCK).err(), Some(EAGAIN));
    let near = check_ok!(unix::client(STREAM, "/run/ready"));
    check_eq!(wait::next(watch), Ok(vec![(listener, wait::IN)]));
    let events = check_ok!(poll(&[Subscription::read(listener, 1)]));
    check_eq!((events.len(), events[0].error), (1, 0));
    let (far, _) = check_ok!(unix::accept(listener, NONBLOCK));
    check_ok!(wait::add(watch, far, wait::IN | wait::OUT | wait::RDHUP));
    check_eq!(wait::next(watch), Ok(vec![(far, wait::OUT)]));
    check_ok!(send_all(near, b"x"));
    check_eq!(wait::next(watch), Ok(vec![(far, wait::IN | wait::OUT)]));
    check_ok!(close(near));
    let found = check_ok!(wait::next(watch));
    check!(found.len() == 1 && found[0].1 & wait::HUP != 0, "{found:?}");
    // An accept that waits has a limit, if the program chose one.
    check_ok!(set_time(listener, option::ACCEPT_TIMEOUT, Some(SECOND / 20)));
    check_eq!(unix::accept(listener, 0).err(), Some(EAGAIN));
}

fn full_queue() {
    let listener = check_ok!(unix::listener(STREAM, "/run/full", 1));
    let _first = check_ok!(unix::client(STREAM, "/run/full"));
    let second = check_ok!(unix::open(STREAM));
    check_ok!(set_flags(second, NONBLOCK));
    check_eq!(unix::connect(second, "/run/full"), Err(EAGAIN));
    check_eq!(unix::connect(second, "/run/full"), Err(EAGAIN), "once more");
    // One that waits does so for as long as it may.
    check_ok!(set_flags(second, 0));
    check_ok!(set_time(second, option::CONNECT_TIMEOUT, Some(SECOND / 10)));
    check_eq!(unix::connect(second, "/run/full"), Err(ETIMEDOUT));
    check_ok!(unix::accept(listener, 0));
    check_ok!(unix::connect(second, "/run/full"));
    let (far, _) = check_ok!(unix::accept(listener, 0));
    check_ok!(send_all(second, b"in"));
    check_eq!(recv(far, &mut [0; 8], 0), Ok(2));
}

fn states() {
    let (listener, near, far) = connected("/run/states");
    let fresh = check_ok!(unix::open(STREAM));
    for fd in [fresh, listener] {
        check_eq!(send(fd, b"x", 0), Err(ENOTCONN));
        check_eq!(recv(fd, &mut [0; 8], 0), Err(ENOTCONN));
        check_eq!(shutdown(fd, SHUT_RDWR), Err(ENOTCONN));
        check_eq!(unix::peer(fd), Err(ENOTCONN));
    }
    for fd in [fresh, near, far] {
        check_eq!(unix::accept(fd, 0).err(), Some(EINVAL));
    }
    for fd in [listener, near, far] {
        check_eq!(unix::bind(fd, "/run/other"), Err(EINVAL));
    }
    check_eq!(unix::connect(near, "/run/states"), Err(EISCONN));
    check_eq!(unix::connect(listener, "/run/states"), Err(ENOTSUP));
    check_eq!(listen(near, 4), Err(EISCONN));
    check_eq!(listen(fresh, 4), Err(EINVAL));
    check_ok!(listen(listener, 9));
}

/// What a name may stand for instead of a listener.
fn targets() {
    let fresh = check_ok!(unix::open(STREAM));
    check_eq!(unix::connect(fresh, "/run/none"), Err(ENOENT));
    check_ok!(file::open(check_ok!(file::folder("/run")), "file", file::CREAT, 0));
    check_eq!(unix::connect(fresh, "/run/file"), Err(ECONNREFUSED));
    check_eq!(unix::connect(fresh, "/run"), Err(EACCES), "/run is not in /run");
    let bound = check_ok!(unix::open(STREAM));
    check_ok!(unix::bind(bound, "/run/bound"));
    check_eq!(unix::connect(fresh, "/run/bound"), Err(ECONNREFUSED), "it does not listen");
    check_ok!(close(bound));
    check_eq!(unix::connect(fresh, "/run/bound"), Err(ECONNREFUSED), "no socket has it any more");
    for kind in [DGRAM, SEQPACKET] {
        let path = format!("/run/of_kind_{kind}");
        let other = check_ok!(unix::open(kind));
        check_ok!(unix::bind(other, &path));
        check_eq!(unix::connect(fresh, &path), Err(EPROTOTYPE), "kind {kind}");
    }
    // After all that it is as good as new.
    let listener = check_ok!(unix::listener(STREAM, "/run/target", 4));
    check_ok!(unix::connect(fresh, "/run/target"));
    check_ok!(unix::accept(listener, 0));
}

fn other_families() {
    let (unix_fd, inet_fd) = (check_ok!(unix::open(STREAM)), check_ok!(open(INET4, STREAM, 0)));
    check_eq!(bind(unix_fd, loopback(0)), Err(EAFNOSUPPORT));
    check_eq!(connect(unix_fd, loopback(1)), Err(EAFNOSUPPORT));
    check_eq!(unix::bind(inet_fd, "/run/inet"), Err(EAFNOSUPPORT));
    check_eq!(unix::connect(inet_fd, "/run/names"), Err(EAFNOSUPPORT));
    for tag in [0, 4, 255] {
        check_eq!(bind_raw(unix_fd, &AddrPort::of_family(tag)), Err(EAFNOSUPPORT), "tag {tag}");
    }
}

fn options() {
    let fd = check_ok!(unix::open(STREAM));
    for option in [option::NO_DELAY, option::ONLY_V6, option::BROADCAST, option::REUSE_PORT] {
        check_eq!(flag(fd, option), Err(ENOPROTOOPT), "option {option}");
        check_eq!(set_flag(fd, option, true), Err(ENOPROTOOPT), "option {option}");
    }
    for option in [option::REUSE_ADDR, option::KEEP_ALIVE] {
        check_ok!(set_flag(fd, option, true));
        check_eq!(flag(fd, option), Ok(true), "option {option}");
    }
    check_eq!(flag(fd, option::LISTENING), Ok(false));
    check_eq!(size(fd, option::TTL), Err(ENOPROTOOPT));
    check_eq!(set_size(fd, option::TTL, 8), Err(ENOPROTOOPT));
    check_eq!(size(fd, option::TYPE), Ok(STREAM.into()));
    check_eq!(size(fd, option::PROTO), Ok(0));
    check_eq!(size(fd, option::LAST_ERROR), Ok(0));
    for option in [option::SEND_BUF_SIZE, option::RECV_BUF_SIZE] {
        check_ok!(set_size(fd, option, 20_000));
        check!(check_ok!(size(fd, option)) >= 20_000, "option {option}");
    }
    check_ok!(set_time(fd, option::RECV_TIMEOUT, Some(SECOND)));
    check_eq!(time(fd, option::RECV_TIMEOUT), Ok(Some(SECOND)));
    check_ok!(set_time(fd, option::LINGER, Some(SECOND)));
    check_eq!(time(fd, option::LINGER), Ok(Some(SECOND)));
    let (_, near, _far) = connected("/run/options");
    check_ok!(set_time(near, option::RECV_TIMEOUT, Some(SECOND / 20)));
    check_eq!(socket::recv(near, &mut [0; 8], 0), Err(EAGAIN));
}

/// A name is there after its socket closes, until the program removes it.
fn taken_names() {
    let first = check_ok!(unix::listener(STREAM, "/run/taken", 4));
    let second = check_ok!(unix::open(STREAM));
    check_eq!(unix::bind(second, "/run/taken"), Err(EADDRINUSE));
    check_ok!(close(first));
    check_eq!(unix::bind(second, "/run/taken"), Err(EADDRINUSE));
    check_eq!(unix::bind(second, "/run/file"), Err(EADDRINUSE), "a file has it");
    check_ok!(file::unlink(check_ok!(file::folder("/run")), "taken"));
    check_ok!(unix::bind(second, "/run/taken"));
    check_ok!(listen(second, 4));
    check_ok!(unix::client(STREAM, "/run/taken"));
}
