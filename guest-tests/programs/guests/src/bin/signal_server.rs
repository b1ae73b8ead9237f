//! `signal_server`: answers each line of each client with the same line, by an epoll.
//! SIGHUP is counted. At SIGTERM it takes no more connections, sees those that it has
//! to their end, and ends with 0.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use wasix::errno::{EAGAIN, EINTR};
use wasix::signal::{HUP, TERM, handle};
use wasix::socket::*;
use wasix::wait::{IN, RDHUP, add, epoll, wait};
use wasix::{Fd, check_ok, descriptor};

static REMINDED: AtomicU32 = AtomicU32::new(0);
static IS_ENDING: AtomicBool = AtomicBool::new(false);

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(signal: i32) {
    match signal.cast_unsigned() {
        HUP => _ = REMINDED.fetch_add(1, SeqCst),
        TERM => IS_ENDING.store(true, SeqCst),
        _ => {}
    }
}

fn main() {
    handle();
    let (listener, _) = check_ok!(listener());
    let epfd = check_ok!(epoll());
    check_ok!(add(epfd, listener, IN));
    let mut lines: HashMap<Fd, Vec<u8>> = HashMap::new();
    let mut interrupted = 0;
    let mut is_draining = false;
    loop {
        if IS_ENDING.load(SeqCst) && !is_draining {
            is_draining = true;
            check_ok!(descriptor::close(listener));
            println!("draining {}", lines.len());
        }
        if is_draining && lines.is_empty() {
            break;
        }
        let events = match wait(epfd, 64, u64::MAX) {
            Err(EINTR) => {
                interrupted += 1;
                continue;
            }
            events => check_ok!(events),
        };
        for event in events {
            if event.fd != listener {
                serve(event.fd, &mut lines);
            } else if !is_draining {
                while let Ok((fd, _)) = accept_v2(listener, descriptor::NONBLOCK) {
                    check_ok!(add(epfd, fd, IN | RDHUP));
                    lines.insert(fd, Vec::new());
                }
            }
        }
    }
    println!("reminded {} interrupted {interrupted}", REMINDED.load(SeqCst));
}

fn serve(fd: Fd, lines: &mut HashMap<Fd, Vec<u8>>) {
    let mut buf = [0; 1024];
    let Some(line) = lines.get_mut(&fd) else { return };
    match recv(fd, &mut buf, 0) {
        Ok(count @ 1..) => {
            for byte in &buf[..count] {
                line.push(*byte);
                if *byte == b'\n' {
                    check_ok!(send_all(fd, line));
                    line.clear();
                }
            }
        }
        Err(EAGAIN | EINTR) => {}
        _ => {
            lines.remove(&fd);
            check_ok!(descriptor::close(fd));
        }
    }
}
