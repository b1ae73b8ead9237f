//! The calls of WASIX by those of WasmEdge: the same programs, another front.
//!
//! What WasmEdge lacks answers `ENOSYS` and is no import, for a module of two dialects would not
//! start.

pub use super::absent::*;

mod import {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn sock_open(family: u32, kind: u32, ret: u32) -> i32;
        pub(super) fn sock_bind(fd: u32, addr: u32, port: u32) -> i32;
        pub(super) fn sock_listen(fd: u32, backlog: u32) -> i32;
        pub(super) fn sock_accept_v2(fd: u32, flags: u32, ret: u32) -> i32;
        pub(super) fn sock_connect(fd: u32, addr: u32, port: u32) -> i32;
        pub(super) fn sock_recv_from_v2(
            fd: u32,
            iovs: u32,
            iovs_len: u32,
            addr: u32,
            riflags: u32,
            ret_port: u32,
            ret_len: u32,
            ret_roflags: u32,
        ) -> i32;
        pub(super) fn sock_send_to(
            fd: u32,
            iovs: u32,
            iovs_len: u32,
            addr: u32,
            port: u32,
            siflags: u32,
            ret_len: u32,
        ) -> i32;
        pub(super) fn sock_getlocaladdr_v2(fd: u32, addr: u32, ret_port: u32) -> i32;
        pub(super) fn sock_getpeeraddr_v2(fd: u32, addr: u32, ret_port: u32) -> i32;
        pub(super) fn sock_getsockopt(fd: u32, level: u32, name: u32, value: u32, len: u32) -> i32;
        pub(super) fn sock_setsockopt(fd: u32, level: u32, name: u32, value: u32, len: u32) -> i32;
    }
}

use crate::errno::{EINVAL, ENOPROTOOPT};
use crate::{address_of, address_of_mut};

/// An address of any family, and where it lies.
struct Storage {
    bytes: Box<[u8; 128]>,
    port: u32,
}

impl Storage {
    fn new() -> Self {
        Self { bytes: Box::new([0; 128]), port: 0 }
    }

    /// The address that WASIX has at `addr`.
    unsafe fn read(addr: u32) -> Self {
        let byte = |at: usize| unsafe { *(addr as usize as *const u8).add(at) };
        let mut storage = Self::new();
        storage.bytes[0] = byte(0);
        match byte(0) {
            1 => (0..4).for_each(|at| storage.bytes[2 + at] = byte(4 + at)),
            2 => (0..16).for_each(|at| storage.bytes[2 + at] = byte(4 + at)),
            3 => (2..110).for_each(|at| storage.bytes[at] = byte(at)),
            _ => {}
        }
        if matches!(byte(0), 1 | 2) {
            storage.port = u16::from_le_bytes([byte(2), byte(3)]).into();
        }
        storage
    }

    /// Writes it as WASIX has it, and nothing behind it.
    unsafe fn write(&self, addr: u32) {
        let put = |at: usize, byte: u8| unsafe { *(addr as usize as *mut u8).add(at) = byte };
        put(0, self.bytes[0]);
        put(1, 0);
        let [low, high, ..] = self.port.to_le_bytes();
        let length = match self.bytes[0] {
            1 => 4,
            2 => 16,
            _ => {
                let end = self.bytes[2..].iter().position(|byte| *byte == 0).expect("a NUL");
                return (2..=2 + end).for_each(|at| put(at, self.bytes[at]));
            }
        };
        put(2, low);
        put(3, high);
        (0..length).for_each(|at| put(4 + at, self.bytes[2 + at]));
        if length == 16 {
            (20..28).for_each(|at| put(at, 0));
        }
    }

    fn place(&mut self) -> [u32; 2] {
        [address_of_mut(&mut *self.bytes), 128]
    }
}

pub unsafe extern "C" fn sock_open(family: u32, kind: u32, _protocol: u32, ret: u32) -> i32 {
    let kind = match kind {
        1 => 2,
        2 => 1,
        other => other + 8,
    };
    unsafe { import::sock_open(family, kind, ret) }
}

pub unsafe extern "C" fn sock_bind(fd: u32, addr: u32) -> i32 {
    let mut storage = unsafe { Storage::read(addr) };
    let place = storage.place();
    unsafe { import::sock_bind(fd, address_of(&place), storage.port) }
}

pub unsafe extern "C" fn sock_listen(fd: u32, backlog: u32) -> i32 {
    unsafe { import::sock_listen(fd, backlog) }
}

pub unsafe extern "C" fn sock_accept(fd: u32, flags: u32, ret: u32, ret_addr: u32) -> i32 {
    unsafe { sock_accept_v2(fd, flags, ret, ret_addr) }
}

/// The peer is asked for its address, and has none any more where it is gone.
pub unsafe extern "C" fn sock_accept_v2(fd: u32, flags: u32, ret: u32, ret_addr: u32) -> i32 {
    let answer = unsafe { import::sock_accept_v2(fd, flags, ret) };
    if answer == 0 {
        let accepted = unsafe { *(ret as usize as *const u32) };
        if unsafe { sock_addr_peer(accepted, ret_addr) } != 0 {
            let mut none = Storage::new();
            none.bytes[0] = 1;
            unsafe { none.write(ret_addr) };
        }
    }
    answer
}

pub unsafe extern "C" fn sock_connect(fd: u32, addr: u32) -> i32 {
    let mut storage = unsafe { Storage::read(addr) };
    let place = storage.place();
    unsafe { import::sock_connect(fd, address_of(&place), storage.port) }
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
    let mut storage = Storage::new();
    let (place, mut port) = (storage.place(), 0_u16);
    let (at, ret_port) = (address_of(&place), address_of_mut(&mut port));
    let answer =
        unsafe { import::sock_recv_from_v2(fd, iovs, iovs_len, at, riflags, ret_port, ret_len, ret_roflags) };
    // In network order.
    storage.port = u16::from_be(port).into();
    if answer == 0 && storage.bytes[0] != 0 {
        unsafe { storage.write(ret_addr) };
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
    let mut storage = unsafe { Storage::read(addr) };
    let place = storage.place();
    unsafe { import::sock_send_to(fd, iovs, iovs_len, address_of(&place), storage.port, siflags, ret_len) }
}

pub unsafe extern "C" fn sock_addr_local(fd: u32, ret: u32) -> i32 {
    unsafe { tell(import::sock_getlocaladdr_v2, fd, ret) }
}

pub unsafe extern "C" fn sock_addr_peer(fd: u32, ret: u32) -> i32 {
    unsafe { tell(import::sock_getpeeraddr_v2, fd, ret) }
}

unsafe fn tell(call: unsafe extern "C" fn(u32, u32, u32) -> i32, fd: u32, ret: u32) -> i32 {
    let mut storage = Storage::new();
    let (place, mut port) = (storage.place(), 0_u32);
    let answer = unsafe { call(fd, address_of(&place), address_of_mut(&mut port)) };
    storage.port = port;
    if answer == 0 {
        unsafe { storage.write(ret) };
    }
    answer
}

/// The level and the name of an option by its number in WASIX.
fn option(number: u32) -> Option<(u32, u32)> {
    Some(match number {
        2 => (0, 0),
        3 => (6, 15),
        4 => (0, 3),
        6 => (0, 4),
        10 => (0, 13),
        11 => (0, 2),
        12 => (0, 7),
        13 => (0, 9),
        14 => (0, 8),
        15 => (0, 6),
        16 => (0, 5),
        17 => (0, 10),
        // The limits of an accept and a connect are those of receiving and sending.
        19 | 22 => (0, 11),
        20 | 21 => (0, 12),
        25 => (0, 1),
        _ => return None,
    })
}

unsafe fn set<const N: usize>(fd: u32, number: u32, value: [u8; N]) -> i32 {
    let Some((level, name)) = option(number) else { return i32::from(ENOPROTOOPT.0) };
    unsafe { import::sock_setsockopt(fd, level, name, address_of(&value), N as u32) }
}

unsafe fn get<const N: usize>(fd: u32, number: u32) -> Result<[u8; N], i32> {
    let Some((level, name)) = option(number) else { return Err(i32::from(ENOPROTOOPT.0)) };
    let (mut value, mut length) = ([0; N], N as u32);
    let (at, ret_len) = (address_of_mut(&mut value), address_of_mut(&mut length));
    match unsafe { import::sock_getsockopt(fd, level, name, at, ret_len) } {
        0 => Ok(value),
        answer => Err(answer),
    }
}

pub unsafe extern "C" fn sock_set_opt_flag(fd: u32, number: u32, flag: u32) -> i32 {
    unsafe { set(fd, number, flag.to_le_bytes()) }
}

pub unsafe extern "C" fn sock_get_opt_flag(fd: u32, number: u32, ret: u32) -> i32 {
    match unsafe { get::<4>(fd, number) } {
        Ok(value) => {
            unsafe { *(ret as usize as *mut u8) = value[0] };
            0
        }
        Err(answer) => answer,
    }
}

pub unsafe extern "C" fn sock_set_opt_size(fd: u32, number: u32, size: u64) -> i32 {
    match i32::try_from(size) {
        Ok(size) => unsafe { set(fd, number, size.to_le_bytes()) },
        Err(_) => i32::from(EINVAL.0),
    }
}

pub unsafe extern "C" fn sock_get_opt_size(fd: u32, number: u32, ret: u32) -> i32 {
    match unsafe { get::<4>(fd, number) } {
        Ok(value) => {
            let size = match (number, u32::from_le_bytes(value)) {
                // Streams are 1 there, and datagrams 2.
                (25, kind) => 3 - kind,
                (_, size) => size,
            };
            unsafe { *(ret as usize as *mut u64) = size.into() };
            0
        }
        Err(answer) => answer,
    }
}

/// An optional time is a tag and, at 8, nanoseconds.
pub unsafe extern "C" fn sock_set_opt_time(fd: u32, number: u32, time: u32) -> i32 {
    let tag = unsafe { *(time as usize as *const u8) };
    let nanoseconds = if tag == 0 { 0 } else { unsafe { *(time as usize as *const u64).add(1) } };
    if number == 13 {
        let seconds = (nanoseconds / 1_000_000_000) as u32;
        let value = u64::from(u32::from(tag != 0)) | u64::from(seconds) << 32;
        return unsafe { set(fd, number, value.to_le_bytes()) };
    }
    let (seconds, micros) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000 / 1000);
    let value = u128::from(seconds) | u128::from(micros) << 64;
    unsafe { set(fd, number, value.to_le_bytes()) }
}

pub unsafe extern "C" fn sock_get_opt_time(fd: u32, number: u32, ret: u32) -> i32 {
    let found = if number == 13 {
        unsafe { get::<8>(fd, number) }.map(|value| {
            let value = u64::from_le_bytes(value);
            (value as u32 != 0, (value >> 32) * 1_000_000_000)
        })
    } else {
        unsafe { get::<16>(fd, number) }.map(|value| {
            let value = u128::from_le_bytes(value);
            let nanoseconds = value as u64 * 1_000_000_000 + (value >> 64) as u64 * 1000;
            (nanoseconds != 0, nanoseconds)
        })
    };
    match found {
        Ok((is_some, nanoseconds)) => {
            unsafe { *(ret as usize as *mut u8) = u8::from(is_some) };
            unsafe { *(ret as usize as *mut u64).add(1) = nanoseconds };
            0
        }
        Err(answer) => answer,
    }
}

absent! {
    sock_send_file(out_fd: u32, in_fd: u32, offset: u64, count: u64, ret: u32);
    sock_status(fd: u32, ret: u32);
    sock_join_multicast_v4(fd: u32, group: u32, interface: u32);
    sock_join_multicast_v6(fd: u32, group: u32, interface: u32);
    sock_leave_multicast_v4(fd: u32, group: u32, interface: u32);
    sock_leave_multicast_v6(fd: u32, group: u32, interface: u32);
}
