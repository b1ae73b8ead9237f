//! Sockets that the host opens for the guest.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct SocketArgs {
    /// Listen here and pass the guest the listener as a descriptor, from 3 on; for programs
    /// that can't listen themselves. It needs no --listen. A unix:PATH is the host's here
    #[arg(long, value_name = "[NAME=]ADDR", value_parser = parse_listener)]
    pub(crate) preopen_listen: Vec<NamedSocket>,

    /// Connect there and pass the guest the connection, as a descriptor after those of
    /// --preopen-listen. It needs no --connect. A unix:PATH is the host's here
    #[arg(long, value_name = "[NAME=]ADDR", value_parser = parse_peer)]
    pub(crate) preopen_connect: Vec<NamedSocket>,

    /// Pass the guest a UDP socket that is bound here, as a descriptor after those of
    /// --preopen-connect. It needs no --udp-bind
    #[arg(long, value_name = "[NAME=]ADDR", value_parser = parse_datagrams)]
    pub(crate) preopen_udp: Vec<NamedSocket>,

    /// Pass the guest these sockets and those of --listen-fds in nonblocking mode, or not: its
    /// calls on them fail with EAGAIN instead of waiting [default: nonblocking for a program that
    /// Go made, whose net.FileListener needs it, and else blocking]
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) preopen_nonblocking: Option<bool>,

    /// Pass the guest the sockets that the service manager passed to this process
    /// (LISTEN_FDS), as descriptors after those of --preopen-udp: listeners, connections and
    /// datagram sockets over TCP, UDP and Unix
    #[arg(long)]
    pub(crate) listen_fds: bool,

    /// Hold the sockets that the service manager passed to this process (LISTEN_FDS): where the
    /// guest binds to the very address of one, it gets that one. For programs that know nothing
    /// of socket activation. It needs no --listen. With --per-connection the host takes those that are
    /// at its addresses
    #[arg(long, conflicts_with = "listen_fds")]
    pub(crate) adopt: bool,
}

/// A socket that the host opens, and the name by which the guest learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedSocket {
    pub(crate) name: String,
    pub(crate) place: SocketSource,
}

/// The address of a preopened socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketSource {
    Inet(SocketAddr),
    /// A port at the loopback address of both families: two sockets.
    Localhost(u16),
    /// A port at any address of both families: one socket.
    Any(u16),
    /// A path of the host's.
    Unix(PathBuf),
}

impl fmt::Display for SocketSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Any(port) => write!(f, ":{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a path of a socket begins with.
const UNIX: &str = "unix:";

fn parse_listener(text: &str) -> Result<NamedSocket, String> {
    let expected = "expected [NAME=]ADDRESS:PORT or [NAME=]unix:PATH, as in 127.0.0.1:8080, \
                    localhost:8080, :8080, web=[::1]:80 or unix:./app.sock";
    parse(text, |place| path(place).or_else(|| shorthand(place)).or_else(|| address(place)), expected)
}

/// A place where the host listens, without a name.
pub(crate) fn parse_place(text: &str) -> Result<SocketSource, String> {
    let expected = "expected ADDRESS:PORT or unix:PATH, as in 127.0.0.1:8080, localhost:8080, :8080 or \
                    unix:./app.sock";
    path(text).or_else(|| shorthand(text)).or_else(|| address(text)).ok_or_else(|| expected.to_owned())
}

/// A place that a network leads to.
pub(crate) fn parse_probed(text: &str) -> Result<SocketSource, String> {
    let expected = "expected ADDRESS:PORT, as in 10.0.0.1:9000, or :9000 for any address; for this machine alone \
                    there is --admin";
    let place = shorthand(text).or_else(|| address(text));
    place.filter(|place| !matches!(place, SocketSource::Localhost(_))).ok_or_else(|| expected.to_owned())
}

fn parse_peer(text: &str) -> Result<NamedSocket, String> {
    let expected = "expected [NAME=]ADDRESS:PORT or [NAME=]unix:PATH, as in 127.0.0.1:5432, db=[::1]:5432 \
                    or unix:/run/db.sock; a peer is at one address, so :5432 and localhost:5432 name none";
    parse(text, |place| path(place).or_else(|| address(place)), expected)
}

fn parse_datagrams(text: &str) -> Result<NamedSocket, String> {
    let expected = "expected [NAME=]ADDRESS:PORT, as in 127.0.0.1:53, localhost:53, :53 or dns=[::1]:53";
    parse(text, |place| shorthand(place).or_else(|| address(place)), expected)
}

/// Reads `[NAME=]PLACE`.
fn parse(
    text: &str,
    place: impl FnOnce(&str) -> Option<SocketSource>,
    expected: &str,
) -> Result<NamedSocket, String> {
    // "unknown": what a service manager's library says where there is no name.
    let named = if text.starts_with(UNIX) { None } else { text.split_once('=') };
    let (name, rest) = named.unwrap_or(("unknown", text));
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_graphic() && letter != ':');
    match place(rest).filter(|_| is_name) {
        Some(place) => Ok(NamedSocket { name: name.to_owned(), place }),
        None => Err(expected.to_owned()),
    }
}

fn path(text: &str) -> Option<SocketSource> {
    text.strip_prefix(UNIX).filter(|path| !path.is_empty()).map(|path| SocketSource::Unix(path.into()))
}

fn address(text: &str) -> Option<SocketSource> {
    text.parse().ok().map(SocketSource::Inet)
}

/// What stands for more than one address.
fn shorthand(text: &str) -> Option<SocketSource> {
    match text.split_once(':') {
        Some(("localhost", port)) => port.parse().ok().map(SocketSource::Localhost),
        Some(("", port)) => port.parse().ok().map(SocketSource::Any),
        Some(_) => None,
        None => text.parse().ok().map(SocketSource::Any),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<(String, SocketSource), String>;

    fn read(parse: fn(&str) -> Result<NamedSocket, String>, text: &str) -> Read {
        parse(text).map(|socket| (socket.name, socket.place))
    }

    fn named(name: &str, place: SocketSource) -> Read {
        Ok((name.to_owned(), place))
    }

    #[test]
    fn a_listener_is_an_address_or_a_path() {
        for (text, expected) in [
            ("web=127.0.0.1:80", named("web", SocketSource::Inet(([127, 0, 0, 1], 80).into()))),
            ("unix:./s", named("unknown", SocketSource::Unix("./s".into()))),
            ("web=unix:/run/s", named("web", SocketSource::Unix("/run/s".into()))),
            ("unix:/a=b", named("unknown", SocketSource::Unix("/a=b".into()))),
            ("localhost:80", named("unknown", SocketSource::Localhost(80))),
            ("web=:80", named("web", SocketSource::Any(80))),
            ("80", named("unknown", SocketSource::Any(80))),
        ] {
            assert_eq!(read(parse_listener, text), expected, "{text}");
        }
        for wrong in
            ["unix:", "web=unix:", "=unix:/s", "web=/s", "a:b=unix:/s", "127.0.0.1", "localhost", "65536", ""]
        {
            assert!(parse_listener(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_peer_is_at_one_address() {
        assert_eq!(read(parse_peer, "db=[::1]:5432").map(|(name, _)| name).as_deref(), Ok("db"));
        assert_eq!(read(parse_peer, "unix:/s"), named("unknown", SocketSource::Unix("/s".into())));
        for wrong in ["localhost:80", ":80", "80", "db="] {
            assert!(parse_peer(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_has_no_name() {
        assert_eq!(parse_place("80"), Ok(SocketSource::Any(80)));
        assert_eq!(parse_place("unix:a=b"), Ok(SocketSource::Unix("a=b".into())));
        for wrong in ["web=127.0.0.1:80", "127.0.0.1", "unix:", ""] {
            assert!(parse_place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn probes_come_over_a_network() {
        assert_eq!(parse_probed(":9000"), Ok(SocketSource::Any(9000)));
        assert_eq!(parse_probed("10.0.0.1:0"), Ok(SocketSource::Inet(([10, 0, 0, 1], 0).into())));
        for wrong in ["localhost:9000", "unix:/run/s", "web=:80", "10.0.0.1", ""] {
            assert!(parse_probed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn datagrams_have_no_path() {
        assert_eq!(read(parse_datagrams, "dns=:53"), named("dns", SocketSource::Any(53)));
        assert!(parse_datagrams("unix:/s").is_err());
    }
}
