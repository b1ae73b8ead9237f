//! Serves the one connection that it was handed, as descriptor 3, in nothing but Rust's
//! standard library: sends back what it gets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::FromRawFd;

fn main() {
    let mut stream = unsafe { TcpStream::from_raw_fd(3) };
    let mut data = Vec::new();
    stream.read_to_end(&mut data).expect("data");
    stream.write_all(&data).expect("space");
    stream.shutdown(Shutdown::Both).expect("an end");
}
