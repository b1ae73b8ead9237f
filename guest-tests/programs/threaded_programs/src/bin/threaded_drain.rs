//! `threaded_drain ADDR`: answers each line with the same line, in a thread for each
//! connection. At SIGTERM it takes no more connections, sees those that it has to their
//! end, and ends.

#![cfg_attr(target_os = "wasi", no_std, no_main)]

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use threaded::{BADF, Fd, INTR, Result};

threaded::main!(run);
threaded::on_signal!(end_soon);

const TERM: u32 = 15;

static IS_ENDING: AtomicBool = AtomicBool::new(false);
static LISTENER: AtomicU32 = AtomicU32::new(u32::MAX);

/// The signal may reach any thread, so this ends the accept of the first.
fn end_soon(signal: u32) {
    if signal == TERM && !IS_ENDING.swap(true, SeqCst) {
        threaded::close(LISTENER.load(SeqCst)).expect("close");
    }
}

fn run() {
    let arguments = threaded::args();
    let addr = threaded::argument(&arguments, 1, SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = threaded::listen(addr, 1024).expect("a listener");
    LISTENER.store(listener, SeqCst);
    threaded::hear_signals();
    let mut threads = Vec::new();
    while !IS_ENDING.load(SeqCst) {
        match threaded::accept(listener, false) {
            Ok(fd) => threads.push(threaded::spawn(move || serve(fd)).expect("a thread")),
            Err(INTR | BADF) => {}
            Err(errno) => panic!("accept: {errno:?}"),
        }
    }
    threaded::say(&format!("draining {}\n", threads.len()));
    threads.into_iter().for_each(threaded::Thread::join);
    threaded::say("drained\n");
}

fn serve(fd: Fd) {
    echo(fd).expect("a client that ends well");
    threaded::close(fd).expect("close");
}

fn echo(fd: Fd) -> Result<()> {
    let (mut line, mut bytes) = (Vec::new(), [0; 1024]);
    loop {
        let count = match threaded::recv(fd, &mut bytes) {
            Ok(0) => return Ok(()),
            // The signal came to this thread.
            Err(INTR) => continue,
            count => count?,
        };
        for byte in &bytes[..count] {
            line.push(*byte);
            if *byte == b'\n' {
                threaded::send_all(fd, &line)?;
                line.clear();
            }
        }
    }
}
