//! The other side: clients that connect, or try to.

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How long anything may take before the test gives up on it.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A client that is connected, as far as its kernel knows.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(super) fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)
            .with_context(|| format!("cannot connect to {addr}"))?;
        Self::new(stream)
    }

    /// From an address of its own choice.
    pub(super) fn connect_from(from: SocketAddr, addr: SocketAddr) -> Result<Self> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &from)?;
        rustix::net::connect(&socket, &addr)?;
        Self::new(TcpStream::from(socket))
    }

    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// Its address, as the guest names it.
    pub(super) fn name(&self) -> Result<String> {
        Ok(self.stream.local_addr()?.to_string())
    }

    pub(super) fn port(&self) -> Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    pub(super) fn say(&mut self, message: &str) -> Result<()> {
        Ok(self.stream.write_all(message.as_bytes())?)
    }

    pub(super) fn hears(&mut self, message: &str) -> Result<()> {
        let mut heard = vec![0; message.len()];
        self.stream.read_exact(&mut heard)?;
        ensure!(heard == message.as_bytes(), "heard {:?}", String::from_utf8_lossy(&heard));
        Ok(())
    }

    /// The other side closes, without another byte.
    pub(super) fn hears_the_end(&mut self) -> Result<()> {
        ensure!(self.stream.read(&mut [0; 4])? == 0, "no end");
        Ok(())
    }

    /// The other side resets.
    pub(super) fn is_reset(&mut self) -> Result<()> {
        match self.stream.read(&mut [0; 4]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            other => bail!("not a reset: {other:?}"),
        }
    }

    /// The other side resets or closes.
    pub(super) fn is_gone(&mut self) -> Result<()> {
        match self.stream.read(&mut [0; 4]) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            other => bail!("neither end nor reset: {other:?}"),
        }
    }

    /// Nothing came yet: no byte, no end, no reset.
    pub(super) fn hears_nothing(&self) -> Result<()> {
        self.stream.set_nonblocking(true)?;
        let heard = self.stream.peek(&mut [0; 4]);
        self.stream.set_nonblocking(false)?;
        match heard {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => bail!("{} heard {other:?}", self.name()?),
        }
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&self) -> Result<()> {
        Ok(self.stream.shutdown(std::net::Shutdown::Write)?)
    }

    /// Closes with a reset.
    pub(super) fn reset(self) -> Result<()> {
        Ok(sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?)
    }
}

/// A client that wants in at `addr` learns at once that it may not.
pub(super) fn is_refused(addr: SocketAddr) -> Result<()> {
    let refusal = |kind| matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset);
    match TcpStream::connect_timeout(&addr, PATIENCE) {
        // The kernel took the connection, and the host resets it.
        Ok(stream) => Client::new(stream)?.is_reset(),
        Err(error) if refusal(error.kind()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A connect that nobody waits for.
#[derive(Debug)]
pub(super) struct Attempt {
    socket: OwnedFd,
}

impl Attempt {
    pub(super) fn start(addr: SocketAddr) -> Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        // Given up, it leaves nothing behind.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        match rustix::net::connect(&socket, &addr) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(Self { socket }),
            Err(errno) => Err(errno).context("cannot connect"),
        }
    }

    /// The kernel of the other side did not answer. This is certain, and waits for
    /// nothing: see [`let_packets_pass`].
    pub(super) fn is_unanswered(&self) -> Result<bool> {
        let_packets_pass()?;
        Ok(!self.is_answered_within(Duration::ZERO)?)
    }

    /// Waits until it is connected.
    pub(super) fn wait(self) -> Result<Client> {
        ensure!(self.is_answered_within(PATIENCE)?, "no answer within {PATIENCE:?}");
        if let Err(errno) = sockopt::socket_error(&self.socket)? {
            return Err(errno).context("cannot connect");
        }
        sockopt::set_socket_linger(&self.socket, None)?;
        let stream = TcpStream::from(self.socket);
        stream.set_nonblocking(false)?;
        Client::new(stream)
    }

    fn is_answered_within(&self, limit: Duration) -> Result<bool> {
        let limit = Timespec::try_from(limit)?;
        let mut asked = [PollFd::new(&self.socket, PollFlags::OUT)];
        Ok(poll(&mut asked, Some(&limit))? == 1)
    }
}

/// Waits until every packet was delivered that this machine sent to itself before.
///
/// Packets over loopback pass a queue that each processor has, in their order: when
/// a connection that was begun later on the same processor stands, those before it
/// have been answered, or dropped.
pub(super) fn let_packets_pass() -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    for processor in (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)) {
        let mut one = CpuSet::new();
        one.set(processor);
        sched_setaffinity(None, &one)?;
        let stream = TcpStream::connect(addr)?;
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    }
    Ok(sched_setaffinity(None, &allowed)?)
}

/// An address where an attempt to connect is not answered: the queue of its
/// listener is full.
#[derive(Debug)]
pub(super) struct Silent {
    listener: OwnedFd,
    _waiting: TcpStream,
}

impl Silent {
    pub(super) fn new() -> Result<Self> {
        let listener = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
        rustix::net::listen(&listener, 0)?;
        let waiting = TcpStream::connect(address_of(&listener)?)?;
        Ok(Self { listener, _waiting: waiting })
    }

    pub(super) fn addr(&self) -> Result<SocketAddr> {
        address_of(&self.listener)
    }
}

fn address_of(socket: impl AsFd) -> Result<SocketAddr> {
    Ok(SocketAddr::try_from(rustix::net::getsockname(socket)?)?)
}
