//! What connects to the guests, and what they connect to: clients and servers that mean harm.
//! All of it is on loopback, and in the folder of the guest.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasock::Address;

use crate::layout::PeerPorts;
use crate::random::Random;

/// The most connections that are kept open for a while.
const KEPT: usize = 12;
const PAUSE: Duration = Duration::from_millis(3);
static FLOOD: [u8; 1 << 16] = [b'x'; 1 << 16];

/// A thread that harasses the sockets that it is given.
pub(crate) struct Peers {
    pub(crate) ports: PeerPorts,
    orders: Sender<Address>,
    /// A guest that is not closed has a sender of orders too, so their end says nothing.
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peers {
    /// Starts them; names of Unix sockets are in `folder`.
    ///
    /// # Errors
    ///
    /// Where this machine has no sockets on loopback.
    pub(crate) fn start(folder: &Path, seed: u64) -> std::io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        let ports = PeerPorts { tcp: tcp.local_addr()?.port(), udp: udp.local_addr()?.port() };
        let (sender, receiver) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let mut crowd = Crowd {
            tcp,
            udp,
            unix: None,
            folder: folder.to_owned(),
            random: Random::new(seed),
            streams: Vec::new(),
            unix_streams: Vec::new(),
        };
        let thread =
            std::thread::Builder::new().name("peers".into()).spawn(move || crowd.run(&receiver, &over))?;
        Ok(Self { ports, orders: sender, is_over, thread: Some(thread) })
    }

    /// Where to send the addresses of what may be harassed.
    pub(crate) fn orders(&self) -> Sender<Address> {
        self.orders.clone()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

struct Crowd {
    tcp: TcpListener,
    udp: UdpSocket,
    unix: Option<UnixListener>,
    folder: PathBuf,
    random: Random,
    streams: Vec<TcpStream>,
    unix_streams: Vec<UnixStream>,
}

impl Crowd {
    fn run(&mut self, orders: &Receiver<Address>, is_over: &AtomicBool) {
        while !is_over.load(Relaxed) {
            match orders.recv_timeout(PAUSE) {
                Ok(address) => {
                    for _ in 0..=self.random.below(4) {
                        self.harass(&address);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.serve();
        }
    }

    /// An address of a guest's.
    fn harass(&mut self, address: &Address) {
        match address {
            Address::Inet(address) if address.ip().is_loopback() => {
                // Which of the two it is, is not known here.
                _ = self.udp.send_to(&FLOOD[..self.random.index(2000)], address);
                self.harass_tcp(*address);
            }
            Address::Unix(name) => {
                let path = name.path().map(|path| self.folder.join(path.trim_start_matches('/')));
                if let Some(path) = path {
                    self.harass_unix(&path);
                }
            }
            Address::Inet(_) => {}
        }
    }

    fn harass_tcp(&mut self, address: SocketAddr) {
        let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(20)) else { return };
        if stream.set_nonblocking(true).is_ok() {
            self.mistreat_tcp(stream);
        }
    }

    fn mistreat_tcp(&mut self, mut stream: TcpStream) {
        match self.random.below(8) {
            0 => {}
            // A close that resets.
            1 => _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)),
            2 => _ = stream.shutdown(std::net::Shutdown::Write),
            3 => _ = stream.write(b"\x00\xff garbage \x1b[2J\r\n"),
            4 => while stream.write(&FLOOD).is_ok_and(|sent| sent > 0) {},
            5 => {
                _ = rustix::net::send(&stream, b"!", rustix::net::SendFlags::OOB);
                self.keep_tcp(stream);
                return;
            }
            6 => {
                for _ in 0..50 {
                    _ = stream.write(b"y");
                }
                self.keep_tcp(stream);
                return;
            }
            _ => {
                self.keep_tcp(stream);
                return;
            }
        }
        if self.random.once_in(2) {
            self.keep_tcp(stream);
        }
    }

    fn keep_tcp(&mut self, stream: TcpStream) {
        if self.streams.len() >= KEPT {
            let oldest = self.random.index(KEPT);
            self.streams.swap_remove(oldest);
        }
        self.streams.push(stream);
    }

    fn harass_unix(&mut self, path: &Path) {
        if self.random.once_in(4)
            && let Ok(socket) = UnixDatagram::unbound()
        {
            _ = socket.set_nonblocking(true);
            _ = socket.send_to(b"datagram", path);
        }
        // One that is full makes a client wait.
        let socket = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
            None,
        );
        let address = rustix::net::SocketAddrUnix::new(path);
        if let (Ok(socket), Ok(address)) = (socket, address)
            && rustix::net::connect(&socket, &address).is_ok()
        {
            self.mistreat_unix(socket.into());
        }
    }

    fn mistreat_unix(&mut self, mut stream: UnixStream) {
        match self.random.below(4) {
            0 => {}
            1 => _ = stream.write(b"garbage"),
            2 => while stream.write(&FLOOD).is_ok_and(|sent| sent > 0) {},
            _ => _ = stream.shutdown(std::net::Shutdown::Write),
        }
        if self.unix_streams.len() >= KEPT {
            self.unix_streams.clear();
        }
        if self.random.once_in(2) {
            self.unix_streams.push(stream);
        }
    }

    /// What guests connect to, and what they sent.
    fn serve(&mut self) {
        while let Ok((stream, _)) = self.tcp.accept() {
            if stream.set_nonblocking(true).is_ok() {
                self.mistreat_tcp(stream);
            }
        }
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = self.udp.recv_from(&mut buffer) {
            if self.random.once_in(2) {
                _ = self.udp.send_to(&buffer[..len], from);
            }
        }
        for stream in &mut self.streams {
            _ = stream.read(&mut buffer);
        }
        self.serve_unix();
    }

    /// Its name goes with the folder's contents, so it is made again.
    fn serve_unix(&mut self) {
        let path = self.folder.join("peer.sock");
        if !path.exists()
            && let Ok(listener) = UnixListener::bind(&path)
            && listener.set_nonblocking(true).is_ok()
        {
            self.unix = Some(listener);
        }
        while let Some(Ok((stream, _))) = self.unix.as_ref().map(UnixListener::accept) {
            if stream.set_nonblocking(true).is_ok() {
                self.mistreat_unix(stream);
            }
        }
    }
}
