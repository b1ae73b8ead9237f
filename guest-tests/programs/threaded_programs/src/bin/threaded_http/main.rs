//! `threaded_http ADDR WAY THREADS`: an HTTP server, in each way that threads share the work.
//!
//! * `each`: a thread for each connection.
//! * `pool`: one thread accepts, the others answer one request of each connection; between
//!   them is a queue.
//! * `shared`: all wait in one epoll; a thread to which a connection is reported has it alone.
//! * `own`: each has an epoll of its own, and all of them watch the listener.

#![cfg_attr(target_os = "wasi", no_std, no_main)]

extern crate alloc;

mod connection;
mod each;
mod own;
mod pool;
mod shared;

use core::net::SocketAddr;

threaded::main!(run);

fn run() {
    let arguments = threaded::args();
    let addr = threaded::argument(&arguments, 1, SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = threaded::listen(addr, 1024).expect("a listener");
    let threads = threaded::argument(&arguments, 3, 4);
    match arguments.get(2).map(|way| way.as_str()) {
        Some("each") => each::serve(listener),
        Some("pool") => pool::serve(listener, threads),
        Some("shared") => shared::serve(listener, threads),
        Some("own") => own::serve(listener, threads),
        way => panic!("{way:?} is no way to serve"),
    }
}
