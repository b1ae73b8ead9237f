//! Processes by the calls of `wasix_32v1`.

mod import {
    #[link(wasm_import_module = "wasix_32v1")]
    unsafe extern "C" {
        pub fn proc_fork(copy_memory: u32, ret: *mut u32) -> i32;
        pub fn proc_spawn2(
            name: *const u8,
            name_len: usize,
            args: *const u8,
            args_len: usize,
            envs: *const u8,
            envs_len: usize,
            ops: *const u8,
            ops_len: usize,
            dispositions: *const u8,
            dispositions_len: usize,
            search: u32,
            path: *const u8,
            path_len: usize,
            ret: *mut u32,
        ) -> i32;
        pub fn proc_join(child: *mut u32, flags: u32, status: *mut u8) -> i32;
        pub fn proc_exit2(code: u32) -> !;
    }
}

/// A program to be started.
pub struct Program {
    path: String,
    arguments: String,
}

impl Program {
    pub fn new(path: &str) -> Self {
        Self { path: path.to_owned(), arguments: format!("{path}\n") }
    }

    /// Starts it; returns the number of the child.
    pub fn spawn(&self) -> u32 {
        let (none, mut child) = (std::ptr::null(), 0);
        let Self { path, arguments } = self;
        let errno = unsafe {
            import::proc_spawn2(
                path.as_ptr(),
                path.len(),
                arguments.as_ptr(),
                arguments.len(),
                none,
                0,
                none,
                0,
                none,
                0,
                0,
                none,
                0,
                &raw mut child,
            )
        };
        assert_eq!(errno, 0, "proc_spawn2");
        child
    }
}

/// Copies the process; returns the number of the child, and 0 there.
#[inline(never)]
pub fn fork() -> u32 {
    let mut child = 0;
    let errno = unsafe { import::proc_fork(1, &raw mut child) };
    assert_eq!(errno, 0, "proc_fork");
    // The host has written it, in each of the two.
    unsafe { std::ptr::read_volatile(&raw const child) }
}

/// Waits for a child, which has ended well.
pub fn wait(child: u32) {
    let (mut which, mut status) = ([1, child], [0_u8; 6]);
    let errno = unsafe { import::proc_join(which.as_mut_ptr(), 0, status.as_mut_ptr()) };
    // It has exited, with the code 0.
    assert_eq!((errno, which[1], status), (0, child, [1, 0, 0, 0, 0, 0]), "proc_join");
}

pub fn exit(code: u32) -> ! {
    unsafe { import::proc_exit2(code) }
}
