//! Sockets that the operator hands to the guest.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use listenfd::ListenFd;
use tokio::runtime::Handle;

use super::args::{ListenerArg, RunArgs};
use crate::host::Builder;

/// Where a service manager tells the names of the sockets that it passes.
const NAMES: &str = "LISTEN_FDNAMES";

/// Gives `builder` the sockets of --preopen-listen, then those of --listen-fds.
///
/// # Errors
///
/// Where an address can't be listened on, or a socket that was passed is of no use.
pub(super) fn hand_over(mut builder: Builder, args: &RunArgs) -> Result<Builder> {
    for ListenerArg { name, address } in &args.preopen_listen {
        let listener = TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address} (--preopen-listen)"))?;
        listener.set_nonblocking(args.preopen_nonblocking)?;
        builder = builder.preopened_socket(name, listener)?;
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
fn passed() -> Result<Vec<(String, TcpListener)>> {
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    ensure!(passed.len() > 0, "--listen-fds: LISTEN_FDS and LISTEN_PID do not say that a socket was passed");
    let mut sockets = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        // A connection is one, too, for the crate.
        let socket = passed.take_tcp_listener(index);
        let socket = socket.with_context(|| format!("the socket {name:?} that was passed (--listen-fds)"))?;
        sockets.push((name.to_owned(), socket.context("a socket was passed twice")?));
    }
    Ok(sockets)
}
