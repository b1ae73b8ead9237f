//! The calls of WASIX by those of WAMR: the same programs, another front.
//!
//! What WAMR lacks answers `ENOSYS` and is no import, for a module of two dialects would not
//! start.

pub use super::absent::*;

mod import {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn sock_open(pool: u32, family: u32, kind: u32, ret: u32) -> i32;
        pub(super) fn sock_bind(fd: u32, addr: u32) -> i32;
        pub(super) fn sock_listen(fd: u32, backlog: u32) -> i32;
        pub(super) fn sock_connect(fd: u32, addr: u32) -> i32;
        pub(super) fn sock_recv_from(
            fd: u32,
            iovs: u32,
            iovs_len: u32,
            riflags: u32,
            ret_addr: u32,
            ret_len: u32,
        ) -> i32;
        pub(super) fn sock_send_to(
            fd: u32,
            iovs: u32,
            iovs_len: u32,
            siflags: u32,
            addr: u32,
            ret_len: u32,
        ) -> i32;
        pub(super) fn sock_addr_local(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_addr_remote(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_ip_add_membership(fd: u32, group: u32, interface: u32) -> i32;
        pub(super) fn sock_set_ip_drop_membership(fd: u32, group: u32, interface: u32) -> i32;
        pub(super) fn sock_set_linger(fd: u32, flag: u32, seconds: u32) -> i32;
        pub(super) fn sock_get_linger(fd: u32, ret_flag: u32, ret_seconds: u32) -> i32;
        pub(super) fn sock_set_recv_timeout(fd: u32, micros: u64) -> i32;
        pub(super) fn sock_get_recv_timeout(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_send_timeout(fd: u32, micros: u64) -> i32;
        pub(super) fn sock_get_send_timeout(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_ip_multicast_loop(fd: u32, is_ipv6: u32, flag: u32) -> i32;
        pub(super) fn sock_get_ip_multicast_loop(fd: u32, is_ipv6: u32, ret: u32) -> i32;
        pub(super) fn sock_set_reuse_port(fd: u32, flag: u32) -> i32;
        pub(super) fn sock_get_reuse_port(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_reuse_addr(fd: u32, flag: u32) -> i32;
        pub(super) fn sock_get_reuse_addr(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_tcp_no_delay(fd: u32, flag: u32) -> i32;
        pub(super) fn sock_get_tcp_no_delay(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_ipv6_only(fd: u32, flag: u32) -> i32;
        pub(super) fn sock_get_ipv6_only(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_broadcast(fd: u32, flag: u32) -> i32;
        pub(super) fn sock_get_broadcast(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_keep_alive(fd: u32, flag: u32) -> i32;
        pub(super) fn sock_get_keep_alive(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_recv_buf_size(fd: u32, size: u32) -> i32;
        pub(super) fn sock_get_recv_buf_size(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_send_buf_size(fd: u32, size: u32) -> i32;
        pub(super) fn sock_get_send_buf_size(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_ip_ttl(fd: u32, hops: u32) -> i32;
        pub(super) fn sock_get_ip_ttl(fd: u32, ret: u32) -> i32;
        pub(super) fn sock_set_ip_multicast_ttl(fd: u32, hops: u32) -> i32;
        pub(super) fn sock_get_ip_multicast_ttl(fd: u32, ret: u32) -> i32;
    }
}

use super::preview1;
use crate::descriptor::{FdStat, SOCKET_DGRAM};
use crate::errno::{EINVAL, ENOPROTOOPT};
use crate::{address_of, address_of_mut};

/// An address: the kind, then 4 bytes of IPv4 and a port, or eight numbers of IPv6 and a port.
#[repr(C, align(4))]
struct Addr([u8; 24]);

/// Where the port is, behind an address of so many bytes.
fn port_at(length: usize) -> usize {
    4 + length
}

impl Addr {
    /// What no call has written to.
    fn unwritten() -> Self {
        Self([0xff; 24])
    }

    /// The address that WASIX has at `addr`: the port comes before the address there, and IPv6 is in
    /// network order.
    unsafe fn read(addr: u32) -> Self {
        let byte = |at: usize| unsafe { *(addr as usize as *const u8).add(at) };
        let mut bytes = [0; 24];
        let length = match byte(0) {
            1 => 4,
            2 => 16,
            // No kind that there is.
            other => {
                bytes[0] = other.max(2);
                return Self(bytes);
            }
        };
        bytes[0] = byte(0) - 1;
        (0..length).for_each(|at| bytes[4 + at] = byte(4 + at));
        swap(&mut bytes[4..4 + length]);
        bytes[port_at(length)..][..2].copy_from_slice(&[byte(2), byte(3)]);
        Self(bytes)
    }

    /// Writes it as WASIX has it, and nothing behind it.
    unsafe fn write(&self, addr: u32) {
        let put = |at: usize, byte: u8| unsafe { *(addr as usize as *mut u8).add(at) = byte };
        let length = if self.0[0] == 0 { 4 } else { 16 };
        put(0, self.0[0] + 1);
        put(1, 0);
        put(2, self.0[port_at(length)]);
        put(3, self.0[port_at(length) + 1]);
        let mut address = [0; 16];
        address[..length].copy_from_slice(&self.0[4..4 + length]);
        swap(&mut address[..length]);
        (0..length).for_each(|at| put(4 + at, address[at]));
        if length == 16 {
            (20..28).for_each(|at| put(at, 0));
        }
    }
}

/// Swaps the bytes of each number of an IPv6 address; IPv4 has none.
fn swap(address: &mut [u8]) {
    if address.len() == 16 {
        address.chunks_exact_mut(2).for_each(|two| two.reverse());
    }
}

/// Only the numbers of IPv4 and IPv6 mean something there.
pub unsafe extern "C" fn sock_open(family: u32, kind: u32, _protocol: u32, ret: u32) -> i32 {
    let family = if matches!(family, 1 | 2) { family - 1 } else { family + 8 };
    let kind = match kind {
        1 => 1,
        2 => 0,
        other => other + 8,
    };
    unsafe { import::sock_open(u32::MAX, family, kind, ret) }
}

pub unsafe extern "C" fn sock_bind(fd: u32, addr: u32) -> i32 {
    let addr = unsafe { Addr::read(addr) };
    unsafe { import::sock_bind(fd, address_of(&addr)) }
}

pub unsafe extern "C" fn sock_listen(fd: u32, backlog: u32) -> i32 {
    unsafe { import::sock_listen(fd, backlog) }
}

pub unsafe extern "C" fn sock_accept(fd: u32, flags: u32, ret: u32, ret_addr: u32) -> i32 {
    unsafe { sock_accept_v2(fd, flags, ret, ret_addr) }
}

/// The peer is asked for its address, and has none any more where it is gone.
pub unsafe extern "C" fn sock_accept_v2(fd: u32, flags: u32, ret: u32, ret_addr: u32) -> i32 {
    let answer = unsafe { preview1::sock_accept(fd, flags, ret) };
    if answer == 0 {
        let accepted = unsafe { *(ret as usize as *const u32) };
        if unsafe { sock_addr_peer(accepted, ret_addr) } != 0 {
            unsafe { Addr([0; 24]).write(ret_addr) };
        }
    }
    answer
}

pub unsafe extern "C" fn sock_connect(fd: u32, addr: u32) -> i32 {
    let addr = unsafe { Addr::read(addr) };
    unsafe { import::sock_connect(fd, address_of(&addr)) }
}

pub unsafe extern "C" fn sock_recv_from(
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    riflags: u32,
    ret_len: u32,
    ret_roflags: u32,
    ret_addr: u32,
) -> i32 {
    let mut addr = Addr::unwritten();
    let from = address_of_mut(&mut addr);
    let answer = unsafe { import::sock_recv_from(fd, iovs, iovs_len, riflags, from, ret_len) };
    if answer == 0 {
        unsafe { addr.write(ret_addr) };
        unsafe { *(ret_roflags as usize as *mut u16) = 0 };
    }
    answer
}

pub unsafe extern "C" fn sock_send_to(
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    siflags: u32,
    addr: u32,
    ret_len: u32,
) -> i32 {
    let addr = unsafe { Addr::read(addr) };
    unsafe { import::sock_send_to(fd, iovs, iovs_len, siflags, address_of(&addr), ret_len) }
}

pub unsafe extern "C" fn sock_addr_local(fd: u32, ret: u32) -> i32 {
    unsafe { tell(import::sock_addr_local, fd, ret) }
}

pub unsafe extern "C" fn sock_addr_peer(fd: u32, ret: u32) -> i32 {
    unsafe { tell(import::sock_addr_remote, fd, ret) }
}

unsafe fn tell(call: unsafe extern "C" fn(u32, u32) -> i32, fd: u32, ret: u32) -> i32 {
    let mut addr = Addr::unwritten();
    let answer = unsafe { call(fd, address_of_mut(&mut addr)) };
    if answer == 0 {
        unsafe { addr.write(ret) };
    }
    answer
}

/// The two calls of an option that is a flag.
type Flag = (unsafe extern "C" fn(u32, u32) -> i32, unsafe extern "C" fn(u32, u32) -> i32);

fn flag(number: u32) -> Option<Flag> {
    Some(match number {
        1 => (import::sock_set_reuse_port, import::sock_get_reuse_port),
        2 => (import::sock_set_reuse_addr, import::sock_get_reuse_addr),
        3 => (import::sock_set_tcp_no_delay, import::sock_get_tcp_no_delay),
        5 => (import::sock_set_ipv6_only, import::sock_get_ipv6_only),
        6 => (import::sock_set_broadcast, import::sock_get_broadcast),
        7 => (multicast_loop::set_v4, multicast_loop::get_v4),
        8 => (multicast_loop::set_v6, multicast_loop::get_v6),
        12 => (import::sock_set_keep_alive, import::sock_get_keep_alive),
        _ => return None,
    })
}

/// The family is an argument there.
mod multicast_loop {
    use super::import::{sock_get_ip_multicast_loop as get, sock_set_ip_multicast_loop as set};

    pub(super) unsafe extern "C" fn set_v4(fd: u32, flag: u32) -> i32 {
        unsafe { set(fd, 0, flag) }
    }

    pub(super) unsafe extern "C" fn get_v4(fd: u32, ret: u32) -> i32 {
        unsafe { get(fd, 0, ret) }
    }

    pub(super) unsafe extern "C" fn set_v6(fd: u32, flag: u32) -> i32 {
        unsafe { set(fd, 1, flag) }
    }

    pub(super) unsafe extern "C" fn get_v6(fd: u32, ret: u32) -> i32 {
        unsafe { get(fd, 1, ret) }
    }
}

pub unsafe extern "C" fn sock_set_opt_flag(fd: u32, number: u32, on: u32) -> i32 {
    let Some((set, _)) = flag(number) else { return i32::from(ENOPROTOOPT.0) };
    unsafe { set(fd, on) }
}

pub unsafe extern "C" fn sock_get_opt_flag(fd: u32, number: u32, ret: u32) -> i32 {
    let Some((_, get)) = flag(number) else { return i32::from(ENOPROTOOPT.0) };
    unsafe { get(fd, ret) }
}

pub unsafe extern "C" fn sock_set_opt_size(fd: u32, number: u32, size: u64) -> i32 {
    let set = match number {
        15 => import::sock_set_recv_buf_size,
        16 => import::sock_set_send_buf_size,
        23 => import::sock_set_ip_ttl,
        24 => import::sock_set_ip_multicast_ttl,
        _ => return i32::from(ENOPROTOOPT.0),
    };
    match u32::try_from(size) {
        Ok(size) => unsafe { set(fd, size) },
        Err(_) => i32::from(EINVAL.0),
    }
}

pub unsafe extern "C" fn sock_get_opt_size(fd: u32, number: u32, ret: u32) -> i32 {
    let (get, width): (unsafe extern "C" fn(u32, u32) -> i32, _) = match number {
        15 => (import::sock_get_recv_buf_size, u32::MAX),
        16 => (import::sock_get_send_buf_size, u32::MAX),
        23 => (import::sock_get_ip_ttl, 0xff),
        24 => (import::sock_get_ip_multicast_ttl, 0xff),
        // The guest library asks for the type so.
        25 => (kind, u32::MAX),
        _ => return i32::from(ENOPROTOOPT.0),
    };
    let mut size = u32::MAX;
    let answer = unsafe { get(fd, address_of_mut(&mut size)) };
    if answer == 0 {
        unsafe { *(ret as usize as *mut u64) = u64::from(size & width) };
    }
    answer
}

unsafe extern "C" fn kind(fd: u32, ret: u32) -> i32 {
    let mut stat = FdStat::default();
    let answer = unsafe { preview1::fd_fdstat_get(fd, address_of_mut(&mut stat)) };
    unsafe { *(ret as usize as *mut u32) = if stat.filetype == SOCKET_DGRAM { 2 } else { 1 } };
    answer
}

const SECOND: u64 = 1_000_000_000;

/// An optional time is a tag and, at 8, nanoseconds.
pub unsafe extern "C" fn sock_set_opt_time(fd: u32, number: u32, time: u32) -> i32 {
    let tag = unsafe { *(time as usize as *const u8) };
    let nanoseconds = if tag == 0 { 0 } else { unsafe { *(time as usize as *const u64).add(1) } };
    let micros = nanoseconds / 1000;
    match number {
        13 => unsafe { import::sock_set_linger(fd, tag.into(), (nanoseconds / SECOND) as u32) },
        // The limits of an accept and a connect are those of receiving and sending.
        19 | 22 => unsafe { import::sock_set_recv_timeout(fd, micros) },
        20 | 21 => unsafe { import::sock_set_send_timeout(fd, micros) },
        _ => i32::from(ENOPROTOOPT.0),
    }
}

pub unsafe extern "C" fn sock_get_opt_time(fd: u32, number: u32, ret: u32) -> i32 {
    let (mut micros, mut flag, mut seconds) = (0_u64, 0_u8, 0_u32);
    let at = address_of_mut(&mut micros);
    let answer = match number {
        13 => unsafe { import::sock_get_linger(fd, address_of_mut(&mut flag), address_of_mut(&mut seconds)) },
        19 | 22 => unsafe { import::sock_get_recv_timeout(fd, at) },
        20 | 21 => unsafe { import::sock_get_send_timeout(fd, at) },
        _ => i32::from(ENOPROTOOPT.0),
    };
    if answer == 0 {
        let lingers = number == 13;
        let nanoseconds = if lingers { u64::from(seconds) * SECOND } else { micros * 1000 };
        unsafe { *(ret as usize as *mut u8) = if lingers { flag } else { u8::from(micros != 0) } };
        unsafe { *(ret as usize as *mut u64).add(1) = nanoseconds };
    }
    answer
}

/// A group and an address of IPv4, by what they are in memory.
unsafe fn group_v4(
    call: unsafe extern "C" fn(u32, u32, u32) -> i32,
    fd: u32,
    group: u32,
    interface: u32,
) -> i32 {
    let read = |at: u32| unsafe { (at as usize as *const u32).read_unaligned() };
    let group = [0, read(group), 0, 0, 0];
    unsafe { call(fd, address_of(&group), read(interface)) }
}

unsafe fn group_v6(
    call: unsafe extern "C" fn(u32, u32, u32) -> i32,
    fd: u32,
    group: u32,
    interface: u32,
) -> i32 {
    let mut bytes = unsafe { *(group as usize as *const [u8; 16]) };
    swap(&mut bytes);
    let mut group = Addr([0; 24]);
    group.0[0] = 1;
    group.0[4..20].copy_from_slice(&bytes);
    unsafe { call(fd, address_of(&group), interface) }
}

pub unsafe extern "C" fn sock_join_multicast_v4(fd: u32, group: u32, interface: u32) -> i32 {
    unsafe { group_v4(import::sock_set_ip_add_membership, fd, group, interface) }
}

pub unsafe extern "C" fn sock_leave_multicast_v4(fd: u32, group: u32, interface: u32) -> i32 {
    unsafe { group_v4(import::sock_set_ip_drop_membership, fd, group, interface) }
}

pub unsafe extern "C" fn sock_join_multicast_v6(fd: u32, group: u32, interface: u32) -> i32 {
    unsafe { group_v6(import::sock_set_ip_add_membership, fd, group, interface) }
}

pub unsafe extern "C" fn sock_leave_multicast_v6(fd: u32, group: u32, interface: u32) -> i32 {
    unsafe { group_v6(import::sock_set_ip_drop_membership, fd, group, interface) }
}

absent! {
    sock_send_file(out_fd: u32, in_fd: u32, offset: u64, count: u64, ret: u32);
    sock_status(fd: u32, ret: u32);
}
