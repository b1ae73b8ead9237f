//! The connection that a guest was started for, where it has an instance of its own.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use super::threads::MAIN;
use super::{Open, OpenFile};
use crate::address::Address;
use crate::error::ParseError;
use crate::fd::{Descriptor, Rights};
use crate::socket::Socket;

/// How a guest that was started for one connection finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionAs {
    /// As standard input and standard output, with the addresses in the environment as
    /// UCSPI has them: `PROTO`, `TCPREMOTEIP`, `TCPREMOTEPORT`, `TCPLOCALIP`, `TCPLOCALPORT`.
    #[default]
    Stdio,
    /// As descriptor 3, with `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`, and with `REMOTE_ADDR`
    /// and `REMOTE_PORT`, as a service manager has them that accepts.
    Fd,
    /// By the module's own `wasock_on_accept(listener, fd)`, after its start, where `listener` is -1, unless the
    /// start of a module that is [copied](crate::Guest::load_to_copy) has left that listener open.
    Event,
}

/// Its number under [`ConnectionAs::Fd`].
pub(crate) const FIRST_SOCKET: u32 = 3;

/// The variables that [`ConnectionAs`] sets: those of the operator with these names do not count.
const VARIABLES: [&str; 16] = [
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "PROTO",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "TCPLOCALHOST",
    "TCPLOCALIP",
    "TCPLOCALPORT",
    "TCPREMOTEHOST",
    "TCPREMOTEINFO",
    "TCPREMOTEIP",
    "TCPREMOTEPORT",
    "UNIXLOCALPATH",
    "UNIXREMOTEEUID",
    "UNIXREMOTEPATH",
];

impl fmt::Display for ConnectionAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdio => "stdio",
            Self::Fd => "fd",
            Self::Event => "event",
        })
    }
}

impl FromStr for ConnectionAs {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Stdio, Self::Fd, Self::Event];
        let found = all.into_iter().find(|it| it.to_string() == text);
        found.ok_or_else(|| ParseError::new("expected stdio, fd or event"))
    }
}

/// A connection for one instance.
pub(crate) struct GivenConnection {
    open: Arc<OpenFile>,
    shown_as: ConnectionAs,
}

impl GivenConnection {
    pub(crate) fn new(socket: Arc<Socket>, shown_as: ConnectionAs) -> Self {
        Self { open: OpenFile::shared(Open::Socket(socket)), shown_as }
    }

    /// Does it take the places of standard input and standard output?
    pub(super) fn is_stdio(&self) -> bool {
        self.shown_as == ConnectionAs::Stdio
    }

    /// Is it the first descriptor after the standard streams?
    pub(super) fn is_first_socket(&self) -> bool {
        self.shown_as == ConnectionAs::Fd
    }

    /// The number that it has at the guest's start, where it has one.
    pub(crate) fn number(&self) -> Option<u32> {
        match self.shown_as {
            ConnectionAs::Stdio => Some(0),
            ConnectionAs::Fd => Some(FIRST_SOCKET),
            ConnectionAs::Event => None,
        }
    }

    /// Has calls on it not wait.
    pub(crate) fn make_nonblocking(&self) {
        self.open.set_nonblocking(true);
    }

    /// What stands for it in the guest's table: as for a connection that the guest accepts.
    pub(crate) fn descriptor(&self) -> Descriptor<OpenFile> {
        Descriptor {
            open: Arc::clone(&self.open),
            rights: Rights::SOCKET,
            inheriting: Rights::SOCKET,
            close_on_exec: false,
        }
    }
}

/// The variables that describe a connection of `peer` to `local`, as `NAME=value`.
pub(crate) fn variables_of(shown_as: ConnectionAs, local: &Address, peer: &Address) -> Vec<String> {
    match shown_as {
        ConnectionAs::Stdio => ucspi(local, peer),
        ConnectionAs::Fd => {
            let mut variables = vec![
                "LISTEN_FDS=1".to_owned(),
                "LISTEN_FDNAMES=connection".to_owned(),
                format!("LISTEN_PID={MAIN}"),
            ];
            if let Some((ip, port)) = peer.inet().map(plain) {
                variables.push(format!("REMOTE_ADDR={ip}"));
                variables.push(format!("REMOTE_PORT={port}"));
            }
            variables
        }
        ConnectionAs::Event => Vec::new(),
    }
}

/// Is it one of the variables that describe a connection?
pub(crate) fn is_variable(assignment: &str) -> bool {
    assignment.split_once('=').is_some_and(|(name, _)| VARIABLES.contains(&name))
}

/// "the environment variables for TCP: PROTO, TCPLOCALIP, TCPLOCALPORT, TCPREMOTEIP,
/// TCPREMOTEPORT" - ucspi-tcp. Names of hosts are not looked up.
fn ucspi(local: &Address, peer: &Address) -> Vec<String> {
    match (local, peer) {
        (Address::Inet(local), Address::Inet(peer)) => {
            let ((local, local_port), (peer, peer_port)) = (plain(*local), plain(*peer));
            vec![
                "PROTO=TCP".to_owned(),
                format!("TCPLOCALIP={local}"),
                format!("TCPLOCALPORT={local_port}"),
                format!("TCPREMOTEIP={peer}"),
                format!("TCPREMOTEPORT={peer_port}"),
            ]
        }
        _ => {
            let mut variables = vec!["PROTO=UNIX".to_owned()];
            // What the guest has no name for it does not learn.
            let named = [("UNIXLOCALPATH", local), ("UNIXREMOTEPATH", peer)];
            for (name, address) in named {
                if let Address::Unix(path) = address
                    && let Some(path) = path.given()
                {
                    variables.push(format!("{name}={path}"));
                }
            }
            variables
        }
    }
}

/// An address of IPv4 as such, also where the listener is one of IPv6.
fn plain(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::UnixName;

    #[test]
    fn the_addresses_are_in_the_environment() -> Result<(), std::net::AddrParseError> {
        let (local, peer) =
            (Address::Inet("[::ffff:10.0.0.1]:80".parse()?), Address::Inet("[::1]:9".parse()?));
        let found = variables_of(ConnectionAs::Stdio, &local, &peer);
        let expected =
            ["PROTO=TCP", "TCPLOCALIP=10.0.0.1", "TCPLOCALPORT=80", "TCPREMOTEIP=::1", "TCPREMOTEPORT=9"];
        assert_eq!(found, expected);
        let found = variables_of(ConnectionAs::Fd, &local, &peer);
        let expected =
            ["LISTEN_FDS=1", "LISTEN_FDNAMES=connection", "LISTEN_PID=1", "REMOTE_ADDR=::1", "REMOTE_PORT=9"];
        assert_eq!(found, expected);
        assert!(variables_of(ConnectionAs::Event, &local, &peer).is_empty());
        Ok(())
    }

    #[test]
    fn a_path_is_the_guests_own() {
        let (local, peer) = (UnixName::outside("/run/secret.sock").into(), UnixName::unnamed().into());
        assert_eq!(variables_of(ConnectionAs::Stdio, &local, &peer), ["PROTO=UNIX"]);
        let found = variables_of(ConnectionAs::Stdio, &UnixName::new("/run/a").into(), &peer);
        assert_eq!(found, ["PROTO=UNIX", "UNIXLOCALPATH=/run/a"]);
    }

    #[test]
    fn what_is_set_for_a_connection_is_known() {
        let address = Address::Inet(([127, 0, 0, 1], 1).into());
        for shown_as in [ConnectionAs::Stdio, ConnectionAs::Fd] {
            let variables = variables_of(shown_as, &address, &address);
            assert!(variables.iter().all(|variable| is_variable(variable)), "{variables:?}");
        }
        assert!(!is_variable("PATH=/bin") && !is_variable("PROTOCOL=x"));
    }

    #[test]
    fn it_reads_as_it_is_written() {
        for shown_as in [ConnectionAs::Stdio, ConnectionAs::Fd, ConnectionAs::Event] {
            assert_eq!(shown_as.to_string().parse::<ConnectionAs>().ok(), Some(shown_as));
        }
        assert!("inetd".parse::<ConnectionAs>().is_err());
    }
}
