//! A server in nothing but Rust's standard library, which can't listen on WASI preview
//! 1: its listener is descriptor 3. It serves as many connections as its first argument
//! says: sends back what it gets, then the file that its second argument names.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::FromRawFd;

/// What the standard library has no call for.
fn is_nonblocking(fd: u32) -> bool {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn fd_fdstat_get(fd: u32, stat: *mut u64) -> i32;
    }
    // The kind of file is in the lowest byte, the flags are 2 bytes from its second on.
    let mut stat = [0; 3];
    assert_eq!(unsafe { fd_fdstat_get(fd, stat.as_mut_ptr()) }, 0);
    stat[0] >> 16 & 4 != 0
}

fn main() {
    let mut args = std::env::args().skip(1);
    let count = args.next().expect("a number").parse().expect("a number");
    let page = args.next().map(std::fs::read);
    let page = page.transpose().expect("the file").unwrap_or_default();
    for name in ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"] {
        println!("{name}={}", std::env::var(name).unwrap_or_default());
    }
    let listener = unsafe { TcpListener::from_raw_fd(3) };
    println!("nonblocking: {}", is_nonblocking(3));
    for _ in 0..count {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut data = Vec::new();
        stream.read_to_end(&mut data).expect("data");
        stream.write_all(&data).expect("space");
        stream.write_all(&page).expect("space");
    }
}
