//! The other side of a listener: clients that connect, or try to.

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How long anything may take before the test gives up on it.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A client that is connected, as far as its kernel knows.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)
            .with_context(|| format!("cannot connect to {addr}"))?;
        Self::new(stream)
    }

    /// From an address of its own choice.
    ///
    /// # Errors
    ///
    /// When that address is taken, or there is no answer.
    pub fn connect_from(from: SocketAddr, addr: SocketAddr) -> Result<Self> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &from)?;
        rustix::net::connect(&socket, &addr)
            .map_err(std::io::Error::from)
            .with_context(|| format!("cannot connect to {addr} from {from}"))?;
        Self::new(TcpStream::from(socket))
    }

    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        stream.set_write_timeout(Some(WAIT_TIMEOUT))?;
        Ok(Self { stream })
    }

    /// Its address, as the guest names it.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub fn name(&self) -> Result<String> {
        Ok(self.stream.local_addr()?.to_string())
    }

    /// Its port.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub fn port(&self) -> Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn say(&mut self, message: &str) -> Result<()> {
        Ok(self.stream.write_all(message.as_bytes())?)
    }

    /// Waits for a message.
    ///
    /// # Errors
    ///
    /// When another one comes, or none.
    pub fn hears(&mut self, message: &str) -> Result<()> {
        let mut heard = vec![0; message.len()];
        self.stream.read_exact(&mut heard)?;
        ensure!(heard == message.as_bytes(), "heard {:?}", String::from_utf8_lossy(&heard));
        Ok(())
    }

    /// The other side closes, without another byte.
    ///
    /// # Errors
    ///
    /// When more comes, or nothing.
    pub fn hears_the_end(&mut self) -> Result<()> {
        ensure!(self.stream.read(&mut [0; 4])? == 0, "no end");
        Ok(())
    }

    /// The other side resets.
    ///
    /// # Errors
    ///
    /// When it does anything else.
    pub fn is_reset(&mut self) -> Result<()> {
        match self.stream.read(&mut [0; 4]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            other => bail!("not a reset: {other:?}"),
        }
    }

    /// The other side resets or closes.
    ///
    /// # Errors
    ///
    /// When it does neither.
    pub fn is_gone(&mut self) -> Result<()> {
        match self.stream.read(&mut [0; 4]) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            other => bail!("neither end nor reset: {other:?}"),
        }
    }

    /// Nothing came yet: no byte, no end, no reset.
    ///
    /// # Errors
    ///
    /// When something came.
    pub fn hears_nothing(&self) -> Result<()> {
        self.stream.set_nonblocking(true)?;
        let heard = self.stream.peek(&mut [0; 4]);
        self.stream.set_nonblocking(false)?;
        match heard {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => bail!("{} heard {other:?}", self.name()?),
        }
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn finish(&self) -> Result<()> {
        Ok(self.stream.shutdown(std::net::Shutdown::Write)?)
    }

    /// Closes with a reset.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn reset(self) -> Result<()> {
        Ok(sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?)
    }
}

/// A client that wants in at `addr` learns at once that it may not: maybe as it connects, for the kernel has taken the
/// connection before the host resets it.
///
/// # Errors
///
/// When it is let in, or not answered.
pub fn is_refused(addr: SocketAddr) -> Result<()> {
    refused(Client::connect(addr))
}

/// As [`is_refused`], of a client with an address of its own choice.
///
/// # Errors
///
/// When that address is taken; when it is let in, or not answered.
pub fn is_refused_from(from: SocketAddr, addr: SocketAddr) -> Result<()> {
    refused(Client::connect_from(from, addr))
}

fn refused(connected: Result<Client>) -> Result<()> {
    let is_refusal = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
    };
    match connected {
        Ok(mut client) => client.is_reset(),
        Err(error) if error.downcast_ref().is_some_and(is_refusal) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A connect that is not waited for.
#[derive(Debug)]
pub struct Attempt {
    socket: OwnedFd,
}

impl Attempt {
    /// Begins.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn start(addr: SocketAddr) -> Result<Self> {
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
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub fn is_unanswered(&self) -> Result<bool> {
        let_packets_pass()?;
        Ok(!self.is_answered_within(Duration::ZERO)?)
    }

    /// Waits until it is connected.
    ///
    /// # Errors
    ///
    /// When it is refused, or takes too long.
    pub fn wait(self) -> Result<Client> {
        ensure!(self.is_answered_within(WAIT_TIMEOUT)?, "no answer within {WAIT_TIMEOUT:?}");
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
///
/// # Errors
///
/// When this machine does not talk to itself.
pub fn let_packets_pass() -> Result<()> {
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
pub struct Silent {
    listener: OwnedFd,
    _waiting: TcpStream,
}

impl Silent {
    /// Fills a queue.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn new() -> Result<Self> {
        let listener = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
        rustix::net::listen(&listener, 0)?;
        let waiting = TcpStream::connect(address_of(&listener)?)?;
        Ok(Self { listener, _waiting: waiting })
    }

    /// Answers the clients that try, from now on: takes the one that fills the queue.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn make_room(&self) -> Result<()> {
        rustix::net::accept(&self.listener)?;
        Ok(())
    }

    /// Where it is.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub fn addr(&self) -> Result<SocketAddr> {
        address_of(&self.listener)
    }
}

fn address_of(socket: impl AsFd) -> Result<SocketAddr> {
    Ok(SocketAddr::try_from(rustix::net::getsockname(socket)?)?)
}
