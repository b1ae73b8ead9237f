//! The calls of a guest.

mod memory;
mod raw;
mod thread;

pub use thread::{Thread, mark, set_mark, spawn, standing, thread_id};

use crate::{EpollEvent, Errno, Fd, PollEvent, Result, Subscription};
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::AtomicU32;

fn outcome(answer: i32) -> Result<()> {
    match answer {
        0 => Ok(()),
        number => Err(Errno(number as u16)),
    }
}

fn at<T: ?Sized>(value: &T) -> u32 {
    core::ptr::from_ref(value).cast::<u8>() as usize as u32
}

fn at_mut<T: ?Sized>(value: &mut T) -> u32 {
    core::ptr::from_mut(value).cast::<u8>() as usize as u32
}

#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    say(&alloc::format!("{info}\n"));
    exit(101)
}

pub fn args() -> Vec<String> {
    let (mut count, mut size) = (0u32, 0u32);
    outcome(unsafe { raw::args_sizes_get(at_mut(&mut count), at_mut(&mut size)) }).expect("arguments");
    let mut places = alloc::vec![0u32; count as usize];
    let mut bytes = alloc::vec![0u8; size as usize];
    outcome(unsafe { raw::args_get(at_mut(&mut places[..]), at_mut(&mut bytes[..])) }).expect("arguments");
    let text = |place: &u32| {
        let bytes = &bytes[(*place - at(&bytes[..])) as usize..];
        let text = CStr::from_bytes_until_nul(bytes).expect("an end");
        String::from(text.to_str().expect("text"))
    };
    places.iter().map(text).collect()
}

pub fn exit(code: u32) -> ! {
    unsafe { raw::proc_exit(code) }
}

/// Names the handler of signals to the host.
pub fn hear_signals() {
    let name = "__wasm_signal";
    unsafe { raw::callback_signal(name.as_ptr() as u32, name.len() as u32) };
}

/// Says it on standard error.
pub fn say(text: &str) {
    let _unheard = write(2, text.as_bytes());
}

/// Nanoseconds since some moment.
pub fn now() -> u64 {
    let mut time = 0u64;
    outcome(unsafe { raw::clock_time_get(1, 0, at_mut(&mut time)) }).expect("a clock");
    time
}

pub fn sleep(nanoseconds: u64) {
    outcome(unsafe { raw::thread_sleep(nanoseconds) }).expect("sleep");
}

/// Waits while the word is `expected`, as long as `limit` says; tells whether it was woken
/// or did not have to wait.
pub fn futex_wait(word: &AtomicU32, expected: u32, limit: Option<u64>) -> bool {
    let limit = [u64::from(limit.is_some()), limit.unwrap_or(0)];
    let mut woken = 0u8;
    outcome(unsafe { raw::futex_wait(at(word), expected, at(&limit), at_mut(&mut woken)) }).expect("a futex");
    woken != 0
}

pub fn futex_wake(word: &AtomicU32) {
    let mut woken = 0u8;
    outcome(unsafe { raw::futex_wake(at(word), at_mut(&mut woken)) }).expect("a futex");
}

pub fn futex_wake_all(word: &AtomicU32) {
    let mut woken = 0u8;
    outcome(unsafe { raw::futex_wake_all(at(word), at_mut(&mut woken)) }).expect("a futex");
}

/// An address as the calls have it: 20 bytes hold one of IPv4 or IPv6.
#[repr(C, align(2))]
struct Address {
    bytes: [u8; 20],
    /// What is known to be there only since the second generation.
    rest: [u8; 90],
}

impl Address {
    fn unwritten() -> Self {
        Self { bytes: [0; 20], rest: [0xaa; 90] }
    }

    fn of(addr: SocketAddr) -> Self {
        let IpAddr::V4(ip) = addr.ip() else { panic!("IPv4 only") };
        let mut address = Self::unwritten();
        address.bytes[0] = 1;
        address.bytes[2..4].copy_from_slice(&addr.port().to_le_bytes());
        address.bytes[4..8].copy_from_slice(&ip.octets());
        address
    }

    fn port(&self) -> u16 {
        // The first generation has 20 bytes, and other things lie behind them.
        assert!(!cfg!(feature = "v1") || self.rest == [0xaa; 90], "it was written beyond");
        u16::from_le_bytes([self.bytes[2], self.bytes[3]])
    }
}

fn open() -> Result<Fd> {
    let mut fd = u32::MAX;
    // IPv4, a stream, TCP: the same numbers in both generations.
    outcome(unsafe { raw::sock_open(1, 1, 6, at_mut(&mut fd)) })?;
    Ok(fd)
}

/// A listener.
pub fn listen(addr: SocketAddr, backlog: u32) -> Result<Fd> {
    let (fd, address) = (open()?, Address::of(addr));
    outcome(unsafe { raw::sock_bind(fd, at(&address)) })?;
    outcome(unsafe { raw::sock_listen(fd, backlog) })?;
    Ok(fd)
}

/// The port that a socket is bound to.
pub fn port(fd: Fd) -> Result<u16> {
    let mut address = Address::unwritten();
    outcome(unsafe { raw::sock_addr_local(fd, at_mut(&mut address)) })?;
    Ok(address.port())
}

/// A connection to this port of this machine.
pub fn connect(port: u16) -> Result<Fd> {
    let (fd, address) = (open()?, Address::of(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
    outcome(unsafe { raw::sock_connect(fd, at(&address)) })?;
    Ok(fd)
}

/// Takes a connection, which waits later unless it is to be `nonblocking`; so does this
/// call.
pub fn accept(listener: Fd, nonblocking: bool) -> Result<Fd> {
    let (mut fd, mut address) = (u32::MAX, Address::unwritten());
    let flags = if nonblocking { 4 } else { 0 };
    outcome(unsafe { raw::sock_accept(listener, flags, at_mut(&mut fd), at_mut(&mut address)) })?;
    assert!(address.port() != 0, "a peer without a port");
    Ok(fd)
}

pub fn set_nonblocking(fd: Fd) -> Result<()> {
    outcome(unsafe { raw::fd_fdstat_set_flags(fd, 4) })
}

pub fn close(fd: Fd) -> Result<()> {
    outcome(unsafe { raw::fd_close(fd) })
}

pub fn dup(fd: Fd) -> Result<Fd> {
    let mut copy = u32::MAX;
    outcome(unsafe { raw::fd_dup(fd, at_mut(&mut copy)) })?;
    Ok(copy)
}

pub fn recv(fd: Fd, bytes: &mut [u8]) -> Result<usize> {
    let vector = [at_mut(bytes), bytes.len() as u32];
    let (mut count, mut flags) = (0u32, 0u16);
    outcome(unsafe { raw::sock_recv(fd, at(&vector), 1, 0, at_mut(&mut count), at_mut(&mut flags)) })?;
    Ok(count as usize)
}

pub fn send(fd: Fd, bytes: &[u8]) -> Result<usize> {
    let vector = [at(bytes), bytes.len() as u32];
    let mut count = 0u32;
    outcome(unsafe { raw::sock_send(fd, at(&vector), 1, 0, at_mut(&mut count)) })?;
    Ok(count as usize)
}

pub fn read(fd: Fd, bytes: &mut [u8]) -> Result<usize> {
    let vector = [at_mut(bytes), bytes.len() as u32];
    let mut count = 0u32;
    outcome(unsafe { raw::fd_read(fd, at(&vector), 1, at_mut(&mut count)) })?;
    Ok(count as usize)
}

pub fn write(fd: Fd, bytes: &[u8]) -> Result<usize> {
    let vector = [at(bytes), bytes.len() as u32];
    let mut count = 0u32;
    outcome(unsafe { raw::fd_write(fd, at(&vector), 1, at_mut(&mut count)) })?;
    Ok(count as usize)
}

/// An event descriptor, which waits.
pub fn event(initial: u64, is_semaphore: bool) -> Result<Fd> {
    let mut fd = u32::MAX;
    outcome(unsafe { raw::fd_event(initial, u32::from(is_semaphore), at_mut(&mut fd)) })?;
    Ok(fd)
}

/// The end to read, and the end to write.
pub fn pipe() -> Result<(Fd, Fd)> {
    let (mut reader, mut writer) = (u32::MAX, u32::MAX);
    outcome(unsafe { raw::fd_pipe(at_mut(&mut reader), at_mut(&mut writer)) })?;
    Ok((reader, writer))
}

/// Two sockets that are connected.
pub fn pair() -> Result<(Fd, Fd)> {
    let (mut near, mut far) = (u32::MAX, u32::MAX);
    outcome(unsafe { raw::sock_pair(3, 1, 0, at_mut(&mut near), at_mut(&mut far)) })?;
    Ok((near, far))
}

pub fn epoll() -> Result<Fd> {
    let mut fd = u32::MAX;
    outcome(unsafe { raw::epoll_create(at_mut(&mut fd)) })?;
    Ok(fd)
}

pub fn epoll_ctl(epoll: Fd, op: u32, fd: Fd, event: &EpollEvent) -> Result<()> {
    outcome(unsafe { raw::epoll_ctl(epoll, op, fd, at(event)) })
}

/// Waits until something is ready; tells how many of `found` are filled in.
pub fn epoll_wait(epoll: Fd, found: &mut [EpollEvent], timeout: u64) -> Result<usize> {
    let mut count = 0u32;
    let (events, most) = (at_mut(found), found.len() as u32);
    outcome(unsafe { raw::epoll_wait(epoll, events, most, timeout, at_mut(&mut count)) })?;
    Ok(count as usize)
}

/// Waits until something happens; tells how many of `found` are filled in.
pub fn poll(asked: &[Subscription], found: &mut [PollEvent]) -> Result<usize> {
    assert!(found.len() >= asked.len(), "space for every event");
    let mut count = 0u32;
    let (asked, most) = (at(asked), asked.len() as u32);
    outcome(unsafe { raw::poll_oneoff(asked, at_mut(found), most, at_mut(&mut count)) })?;
    Ok(count as usize)
}
