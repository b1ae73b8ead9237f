//! Sockets that the operator hands to the guest.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use anyhow::{Context as _, Result, ensure};
use listenfd::ListenFd;
use rustix::net::{AddressFamily, SocketType};
use tokio::runtime::Handle;

use super::args::{ListenerArg, Place, RunArgs};
use crate::host::Builder;

/// Where a service manager tells the names of the sockets that it passes.
const NAMES: &str = "LISTEN_FDNAMES";

/// The sockets that a guest can be handed.
const KINDS: [(AddressFamily, SocketType); 5] = [
    // Of IPv6 too, for the crate.
    (AddressFamily::INET, SocketType::STREAM),
    (AddressFamily::INET, SocketType::DGRAM),
    (AddressFamily::UNIX, SocketType::STREAM),
    (AddressFamily::UNIX, SocketType::DGRAM),
    (AddressFamily::UNIX, SocketType::SEQPACKET),
];

/// Gives `builder` the sockets of --preopen-listen, then those of --listen-fds.
///
/// # Errors
///
/// Where an address can't be listened on, or a socket that was passed is of no use.
pub(super) fn hand_over(mut builder: Builder, args: &RunArgs) -> Result<Builder> {
    if let Some(nonblocking) = args.preopen_nonblocking {
        builder = builder.preopened_nonblocking(nonblocking);
    }
    for ListenerArg { name, place } in &args.preopen_listen {
        let failed = || format!("cannot listen on {place} (--preopen-listen)");
        builder = match place {
            Place::Inet(address) => {
                builder.preopened_socket(name, TcpListener::bind(address).with_context(failed)?)?
            }
            Place::Unix(path) => {
                let listener = UnixListener::bind(path).with_context(failed)?;
                builder.preopened_unix_listener(name, listener)?
            }
        }
        .own_last_socket();
    }
    if args.listen_fds {
        for (name, socket) in passed()? {
            builder = builder
                .preopened_socket(&name, socket)
                .with_context(|| format!("cannot use the socket {name:?} (--listen-fds)"))?;
        }
    }
    Ok(builder.preopened_sockets_on(&Handle::current()))
}

/// The sockets that this process was started with, and their names.
fn passed() -> Result<Vec<(String, OwnedFd)>> {
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    ensure!(passed.len() > 0, "--listen-fds: LISTEN_FDS and LISTEN_PID do not say that a socket was passed");
    let mut sockets = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        let socket = take(&mut passed, index);
        let socket = socket.with_context(|| format!("the socket {name:?} that was passed (--listen-fds)"))?;
        sockets.push((name.to_owned(), socket));
    }
    Ok(sockets)
}

/// The socket that was passed with this number: the crate gives it away as one of a kind.
fn take(passed: &mut ListenFd, index: usize) -> Result<OwnedFd> {
    let mut refused = None;
    for (family, kind) in KINDS {
        let (family, kind) = (i32::from(family.as_raw()), i32::try_from(kind.as_raw())?);
        match passed.take_custom(index, family, kind, "socket of TCP, UDP or AF_UNIX") {
            Ok(socket) => return socket.context("a socket was passed twice"),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or_else(|| anyhow::anyhow!("no kind of socket"), Into::into))
}
