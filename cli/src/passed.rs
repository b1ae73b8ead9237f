//! Sockets that the service manager passed to this process: `sd_listen_fds(3)`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use listenfd::ListenFd;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use wasock::observe::Escaped;

use crate::args::SocketSource;

/// Where a service manager puts the names of the sockets that it passes.
const NAMES: &str = "LISTEN_FDNAMES";

/// The sockets that a guest can be given.
const KINDS: [(AddressFamily, SocketType); 5] = [
    // Of IPv6 too, for the crate.
    (AddressFamily::INET, SocketType::STREAM),
    (AddressFamily::INET, SocketType::DGRAM),
    (AddressFamily::UNIX, SocketType::STREAM),
    (AddressFamily::UNIX, SocketType::DGRAM),
    (AddressFamily::UNIX, SocketType::SEQPACKET),
];

/// The sockets that this process was started with, and their names; `flag` asks for them.
///
/// # Errors
///
/// Where none was passed, or one that no guest can be given.
pub(crate) fn sockets(flag: &str) -> Result<Vec<(String, OwnedFd)>> {
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    ensure!(passed.len() > 0, "{flag}: LISTEN_FDS and LISTEN_PID do not say that a socket was passed");
    let mut sockets = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        let socket = take(&mut passed, index);
        let socket = socket.with_context(|| format!("the socket {name:?} that was passed ({flag})"))?;
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

/// Those that were passed for places where the host itself listens.
#[derive(Default)]
pub(crate) struct PassedListeners(Vec<(String, OwnedFd)>);

impl PassedListeners {
    /// All that were passed.
    ///
    /// # Errors
    ///
    /// As for [`sockets`].
    pub(crate) fn all(flag: &str) -> Result<Self> {
        Ok(Self(sockets(flag)?))
    }

    /// Takes out those at `place`.
    pub(crate) fn take_at(&mut self, place: &SocketSource) -> Vec<OwnedFd> {
        let (there, others) =
            std::mem::take(&mut self.0).into_iter().partition(|(_, socket)| At::of(socket).is_at(place));
        self.0 = others;
        let there: Vec<(String, OwnedFd)> = there;
        there.into_iter().map(|(_, socket)| socket).collect()
    }

    /// Every one was taken.
    ///
    /// # Errors
    ///
    /// Where one was not, whose clients would wait for ever.
    pub(crate) fn finish(self, flag: &str) -> Result<()> {
        if let Some((name, socket)) = self.0.first() {
            bail!("the socket {name:?} that was passed is at {}: name that too ({flag})", At::of(socket));
        }
        Ok(())
    }
}

/// Where a socket is.
enum At {
    Inet(SocketAddr),
    Path(PathBuf),
    Nowhere,
}

impl At {
    fn of(socket: impl AsFd) -> Self {
        let Ok(local) = rustix::net::getsockname(socket) else { return Self::Nowhere };
        if let Ok(address) = SocketAddr::try_from(local.clone()) {
            return Self::Inet(address);
        }
        let name = SocketAddrUnix::try_from(local).ok();
        let path = name.as_ref().and_then(SocketAddrUnix::path_bytes);
        let path = path.map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)));
        path.map_or(Self::Nowhere, Self::Path)
    }

    fn is_at(&self, place: &SocketSource) -> bool {
        let is_loopback = |ip: IpAddr| ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
        match (self, place) {
            (Self::Inet(at), SocketSource::Inet(place)) => at == place,
            (Self::Inet(at), SocketSource::Localhost(port)) => is_loopback(at.ip()) && at.port() == *port,
            (Self::Inet(at), SocketSource::Any(port)) => at.ip().is_unspecified() && at.port() == *port,
            (Self::Path(at), SocketSource::Unix(place)) => is_same_path(at, place),
            _ => false,
        }
    }
}

/// Do both name one place in one directory?
fn is_same_path(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Some((folder.unwrap_or(Path::new(".")).canonicalize().ok()?, path.file_name()?.to_owned()))
    };
    one == other || place(one).is_some_and(|one| place(other).is_some_and(|other| one == other))
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(at) => at.fmt(f),
            Self::Path(path) => write!(f, "unix:{}", Escaped(&path.display())),
            Self::Nowhere => f.write_str("no address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_place_is_found_among_those_that_were_passed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("s");
        let (listener, other) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("0.0.0.0:0")?);
        let (at, any) = (listener.local_addr()?, other.local_addr()?.port());
        let mut passed = PassedListeners(vec![
            ("web".to_owned(), listener.into()),
            ("any".to_owned(), other.into()),
            ("name".to_owned(), UnixListener::bind(&path)?.into()),
        ]);
        let elsewhere = folder.path().join("./../s");
        let mut count = |place: SocketSource| passed.take_at(&place).len();
        ensure!(count(SocketSource::Any(at.port())) == 0, "another address");
        ensure!(count(SocketSource::Unix(elsewhere)) == 0, "another directory");
        ensure!(count(SocketSource::Localhost(at.port())) == 1, "the loopback address");
        ensure!(count(SocketSource::Inet(at)) == 0, "taken twice");
        ensure!(count(SocketSource::Unix(folder.path().join("./s"))) == 1, "the same directory");
        let left = passed.finish("--adopt").err().map(|error| error.to_string()).unwrap_or_default();
        let said = format!("the socket \"any\" that was passed is at 0.0.0.0:{any}: name that too (--adopt)");
        ensure!(left == said, "{left}");
        Ok(())
    }
}
