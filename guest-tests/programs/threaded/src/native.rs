//! The same by the calls of Linux.

use crate::Subscription;
use crate::{
    CLOCK, ERR, ET, EpollEvent, Errno, FOR_EVER, Fd, HUP, IN, ONESHOT, OUT, PollEvent, RDHUP, Result,
};
use libc::{c_int, pollfd};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU32;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The number that a call answered, or why it failed.
fn outcome(answer: impl Into<i64>) -> Result<usize> {
    usize::try_from(answer.into()).map_err(|_| errno())
}

fn descriptor(answer: c_int) -> Result<Fd> {
    outcome(answer).map(|fd| fd as Fd)
}

/// The kernel's number in WASI's words, where a program here asks for it.
fn errno() -> Errno {
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => crate::AGAIN,
        Some(libc::EBADF) => crate::BADF,
        Some(libc::ECONNRESET) => crate::CONNRESET,
        Some(libc::EEXIST) => crate::EXIST,
        Some(libc::EINVAL) => crate::INVAL,
        Some(libc::EMFILE) => crate::MFILE,
        Some(libc::ENFILE) => crate::NFILE,
        Some(libc::ENOENT) => crate::NOENT,
        Some(libc::EPIPE) => crate::PIPE,
        _ => crate::IO,
    }
}

pub fn args() -> Vec<String> {
    std::env::args().collect()
}

pub fn exit(code: u32) -> ! {
    std::process::exit(code as i32)
}

pub fn say(text: &str) {
    eprint!("{text}");
}

pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub fn sleep(nanoseconds: u64) {
    std::thread::sleep(Duration::from_nanos(nanoseconds));
}

pub struct Thread(JoinHandle<()>);

pub fn spawn(job: impl FnOnce() + Send + 'static) -> Result<Thread> {
    let builder = std::thread::Builder::new().stack_size(256 * 1024);
    builder.spawn(job).map(Thread).map_err(|_| crate::AGAIN)
}

impl Thread {
    pub fn join(self) {
        self.0.join().expect("a thread that ends well");
    }
}

thread_local! {
    static MARK: Cell<u32> = const { Cell::new(0) };
}

pub fn set_mark(mark: u32) {
    MARK.set(mark);
}

pub fn mark() -> u32 {
    MARK.get()
}

fn futex(word: &AtomicU32, operation: c_int, value: u32, limit: *const libc::timespec) -> i64 {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, limit) }
}

pub fn futex_wait(word: &AtomicU32, expected: u32, limit: Option<u64>) -> bool {
    let begun = Instant::now();
    let time = limit.map(|limit| libc::timespec {
        tv_sec: (limit / 1_000_000_000) as libc::time_t,
        tv_nsec: (limit % 1_000_000_000) as i64,
    });
    let at = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    futex(word, libc::FUTEX_WAIT, expected, at);
    limit.is_none_or(|limit| begun.elapsed() < Duration::from_nanos(limit))
}

pub fn futex_wake(word: &AtomicU32) {
    futex(word, libc::FUTEX_WAKE, 1, std::ptr::null());
}

pub fn futex_wake_all(word: &AtomicU32) {
    futex(word, libc::FUTEX_WAKE, i32::MAX as u32, std::ptr::null());
}

fn address(addr: SocketAddr) -> libc::sockaddr_in {
    let IpAddr::V4(ip) = addr.ip() else { panic!("IPv4 only") };
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: addr.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
        sin_zero: [0; 8],
    }
}

const ADDRESS_SIZE: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

fn open() -> Result<Fd> {
    descriptor(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })
}

pub fn listen(addr: SocketAddr, backlog: u32) -> Result<Fd> {
    let (fd, address, yes) = (open()?, address(addr), 1 as c_int);
    let size = size_of::<c_int>() as libc::socklen_t;
    let option = (&raw const yes).cast();
    outcome(unsafe { libc::setsockopt(fd as c_int, libc::SOL_SOCKET, libc::SO_REUSEADDR, option, size) })?;
    outcome(unsafe { libc::bind(fd as c_int, (&raw const address).cast(), ADDRESS_SIZE) })?;
    outcome(unsafe { libc::listen(fd as c_int, backlog as c_int) })?;
    Ok(fd)
}

pub fn port(fd: Fd) -> Result<u16> {
    let mut found = address(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let mut size = ADDRESS_SIZE;
    outcome(unsafe { libc::getsockname(fd as c_int, (&raw mut found).cast(), &raw mut size) })?;
    Ok(u16::from_be(found.sin_port))
}

pub fn connect(port: u16) -> Result<Fd> {
    let (fd, address) = (open()?, address(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
    outcome(unsafe { libc::connect(fd as c_int, (&raw const address).cast(), ADDRESS_SIZE) })?;
    Ok(fd)
}

/// The listener's own flag says whether it waits.
pub fn accept(listener: Fd, nonblocking: bool) -> Result<Fd> {
    let mut peer = address(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let mut size = ADDRESS_SIZE;
    let flags = libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    let peer = (&raw mut peer).cast();
    descriptor(unsafe { libc::accept4(listener as c_int, peer, &raw mut size, flags) })
}

pub fn set_nonblocking(fd: Fd) -> Result<()> {
    outcome(unsafe { libc::fcntl(fd as c_int, libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

pub fn close(fd: Fd) -> Result<()> {
    outcome(unsafe { libc::close(fd as c_int) }).map(drop)
}

pub fn dup(fd: Fd) -> Result<Fd> {
    descriptor(unsafe { libc::dup(fd as c_int) })
}

pub fn recv(fd: Fd, bytes: &mut [u8]) -> Result<usize> {
    outcome(unsafe { libc::recv(fd as c_int, bytes.as_mut_ptr().cast(), bytes.len(), 0) } as i64)
}

pub fn send(fd: Fd, bytes: &[u8]) -> Result<usize> {
    let flags = libc::MSG_NOSIGNAL;
    outcome(unsafe { libc::send(fd as c_int, bytes.as_ptr().cast(), bytes.len(), flags) } as i64)
}

pub fn read(fd: Fd, bytes: &mut [u8]) -> Result<usize> {
    outcome(unsafe { libc::read(fd as c_int, bytes.as_mut_ptr().cast(), bytes.len()) } as i64)
}

pub fn write(fd: Fd, bytes: &[u8]) -> Result<usize> {
    outcome(unsafe { libc::write(fd as c_int, bytes.as_ptr().cast(), bytes.len()) } as i64)
}

pub fn event(initial: u64, is_semaphore: bool) -> Result<Fd> {
    let flags = libc::EFD_CLOEXEC | if is_semaphore { libc::EFD_SEMAPHORE } else { 0 };
    descriptor(unsafe { libc::eventfd(initial as u32, flags) })
}

pub fn pipe() -> Result<(Fd, Fd)> {
    let mut ends = [0; 2];
    outcome(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok((ends[0] as Fd, ends[1] as Fd))
}

pub fn pair() -> Result<(Fd, Fd)> {
    let mut ends = [0; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    outcome(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    Ok((ends[0] as Fd, ends[1] as Fd))
}

pub fn epoll() -> Result<Fd> {
    descriptor(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// WASIX's bits, and Linux's.
const BITS: [(u32, c_int); 7] = [
    (IN, libc::EPOLLIN),
    (OUT, libc::EPOLLOUT),
    (RDHUP, libc::EPOLLRDHUP),
    (ERR, libc::EPOLLERR),
    (HUP, libc::EPOLLHUP),
    (ET, libc::EPOLLET),
    (ONESHOT, libc::EPOLLONESHOT),
];

pub fn epoll_ctl(epoll: Fd, op: u32, fd: Fd, event: &EpollEvent) -> Result<()> {
    let wanted = BITS.iter().filter(|(ours, _)| event.events & ours != 0);
    let events = wanted.fold(0, |bits, (_, theirs)| bits | *theirs as u32);
    let mut event = libc::epoll_event { events, u64: event.data };
    outcome(unsafe { libc::epoll_ctl(epoll as c_int, op as c_int, fd as c_int, &raw mut event) }).map(drop)
}

pub fn epoll_wait(epoll: Fd, found: &mut [EpollEvent], timeout: u64) -> Result<usize> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
    let most = found.len().min(events.len()) as c_int;
    let limit = if timeout == FOR_EVER { -1 } else { timeout.div_ceil(1_000_000) as c_int };
    let count = outcome(unsafe { libc::epoll_wait(epoll as c_int, events.as_mut_ptr(), most, limit) })?;
    for (found, event) in found.iter_mut().zip(&events[..count]) {
        let bits = event.events as c_int;
        let events = BITS.iter().filter(|(_, theirs)| bits & theirs != 0);
        *found = EpollEvent::new(events.fold(0, |bits, (ours, _)| bits | ours), event.u64);
    }
    Ok(count)
}

pub fn poll(asked: &[Subscription], found: &mut [PollEvent]) -> Result<usize> {
    let entry = |one: &Subscription| match one.tag {
        CLOCK => pollfd { fd: -1, events: 0, revents: 0 },
        _ => pollfd { fd: one.fd_or_clock as c_int, events: libc::POLLIN, revents: 0 },
    };
    let mut entries: Vec<pollfd> = asked.iter().map(entry).collect();
    let clocks = asked.iter().filter(|one| one.tag == CLOCK);
    let limit = clocks.map(|clock| clock.timeout.div_ceil(1_000_000) as c_int).min().unwrap_or(-1);
    outcome(unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, limit) })?;
    let mut count = 0;
    for (one, entry) in asked.iter().zip(&entries) {
        if entry.revents != 0 {
            found[count] = PollEvent { userdata: one.userdata, kind: one.tag, ..PollEvent::default() };
            count += 1;
        }
    }
    Ok(count)
}
