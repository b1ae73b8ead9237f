//! What the C library of some toolchains lacks.

#![cfg(target_os = "wasi")]

use std::ffi::c_int;

const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const O_NONBLOCK: c_int = 4;

/// Sets and clears the nonblocking mode of a socket.
const FIONBIO: c_int = 2;

const EINVAL: c_int = 28;

unsafe extern "C" {
    fn ioctl(fd: c_int, request: c_int, ...) -> c_int;
    fn __errno_location() -> *mut c_int;
}

/// The `fcntl` of this program. That of Rust 1.95 is `EINVAL` for a socket, whatever it is asked, so tokio would
/// accept nothing. The arguments that follow a C function's own lie in memory.
///
/// # Safety
///
/// There is one argument, an int, for `F_SETFL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl(fd: c_int, command: c_int, arguments: *const c_int) -> c_int {
    match command {
        F_GETFL => 0,
        F_SETFL => {
            let mut is_nonblocking = c_int::from(unsafe { *arguments } & O_NONBLOCK != 0);
            unsafe { ioctl(fd, FIONBIO, &raw mut is_nonblocking) }
        }
        _ => {
            unsafe { *__errno_location() = EINVAL };
            -1
        }
    }
}
