//! What of the flags means something to a component.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Result, bail};
use wasock::inspect::Inspection;
use wasock::{Guest, OnTrap};

use crate::args::{RunArgs, SocketSource};

/// The first bytes of a component.
const PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Those of a module or a component.
const MAGIC: &[u8] = b"\0asm";

/// Refuses a component with a flag that means nothing to one: an operator who gives it expects
/// something.
///
/// # Errors
///
/// A sentence with the flag and the reason.
pub(crate) fn check(guest: &Guest, module: &Path, args: &RunArgs) -> Result<()> {
    if guest.is_component() { refuse(module, args) } else { Ok(()) }
}

/// The same before anything is compiled: for a file that is a component, or its text. One that can't be read, or is
/// broken, is not refused.
///
/// # Errors
///
/// As for [`check`].
pub(crate) fn check_file(module: &Path, args: &RunArgs) -> Result<()> {
    if without_meaning(args).is_some() && is_component(module) { refuse(module, args) } else { Ok(()) }
}

fn is_component(module: &Path) -> bool {
    let mut start = [0; PREAMBLE.len()];
    // Nothing else is opened: a pipe would have it wait.
    let is_read =
        module.is_file() && File::open(module).and_then(|mut file| file.read_exact(&mut start)).is_ok();
    match start {
        PREAMBLE => is_read,
        _ if !is_read || start.starts_with(MAGIC) => false,
        _ => Inspection::load(module).is_ok_and(|found| found.component().is_some()),
    }
}

fn refuse(module: &Path, args: &RunArgs) -> Result<()> {
    match without_meaning(args) {
        Some(why) => bail!("{} is a component; {why}", module.display()),
        None => Ok(()),
    }
}

/// The first flag that means nothing to a component, and why.
fn without_meaning(args: &RunArgs) -> Option<&'static str> {
    let (sockets, service) = (&args.sockets, &args.service);
    let is_path = |place: &SocketSource| matches!(place, SocketSource::Unix(_));
    let is_any_port = |place: &SocketSource| match place {
        SocketSource::Inet(address) => address.port() == 0,
        SocketSource::Localhost(port) | SocketSource::Any(port) => *port == 0,
        SocketSource::Unix(_) => false,
    };
    [
        (
            args.connections.is_asked(),
            "--per-connection: an instance for each connection is made of a module only",
        ),
        (
            !sockets.preopen_connect.is_empty(),
            "--preopen-connect: a component has no descriptor by which it would be given a connection",
        ),
        (
            sockets.preopen_listen.iter().any(|socket| is_path(&socket.place)),
            "--preopen-listen unix:PATH: a component gets a listener where it binds to its address, and has no Unix \
             sockets",
        ),
        (
            sockets.preopen_listen.iter().chain(&sockets.preopen_udp).any(|socket| is_any_port(&socket.place)),
            "--preopen-listen and --preopen-udp with port 0: a component gets a socket where it binds to its address, \
             so that has to be known before: name the port",
        ),
        (
            sockets.preopen_nonblocking.is_some(),
            "--preopen-nonblocking: sockets of a component have no such mode",
        ),
        (args.unix_unlink, "--unix-unlink: a component has no Unix sockets"),
        (args.handler_timeout.is_some(), "--handler-timeout: a component has no handlers of events"),
        (args.on_trap == OnTrap::Restart, "--on-trap restart: a component has no handlers of events; see --restart"),
        (
            service.drain_signal.is_some(),
            "--drain-signal: a component handles no signals, and this one would end it at once",
        ),
    ]
    .into_iter()
    .find_map(|(is_given, why)| is_given.then_some(why))
}
