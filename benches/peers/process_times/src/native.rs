//! Processes by the calls of the C library.

use std::ffi::{CString, c_char, c_int, c_void};

mod import {
    use super::{c_char, c_int, c_void};

    unsafe extern "C" {
        pub fn fork() -> c_int;
        pub fn posix_spawn(
            child: *mut c_int,
            path: *const c_char,
            actions: *const c_void,
            attributes: *const c_void,
            argv: *const *const c_char,
            envp: *const *const c_char,
        ) -> c_int;
        pub fn waitpid(child: c_int, status: *mut c_int, options: c_int) -> c_int;
        pub fn _exit(code: c_int) -> !;
    }
}

/// A program to be started.
pub struct Program(CString);

impl Program {
    pub fn new(path: &str) -> Self {
        Self(CString::new(path).expect("a path"))
    }

    /// Starts it; returns the number of the child.
    pub fn spawn(&self) -> u32 {
        let (none, mut child) = (std::ptr::null(), 0);
        let (path, argv, envp) = (self.0.as_ptr(), [self.0.as_ptr(), std::ptr::null()], [std::ptr::null()]);
        let errno =
            unsafe { import::posix_spawn(&raw mut child, path, none, none, argv.as_ptr(), envp.as_ptr()) };
        assert_eq!(errno, 0, "posix_spawn");
        child.cast_unsigned()
    }
}

/// Copies the process; returns the number of the child, and 0 there.
pub fn fork() -> u32 {
    let child = unsafe { import::fork() };
    assert!(child >= 0, "fork");
    child.cast_unsigned()
}

/// Waits for a child, which has ended well.
pub fn wait(child: u32) {
    let mut status = 0;
    let ended = unsafe { import::waitpid(child.cast_signed(), &raw mut status, 0) };
    assert_eq!((ended, status), (child.cast_signed(), 0), "waitpid");
}

pub fn exit(code: u32) -> ! {
    unsafe { import::_exit(code.cast_signed()) }
}
