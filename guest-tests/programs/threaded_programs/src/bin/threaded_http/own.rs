//! Each thread has an epoll of its own, with the listener in it: the first has the
//! connection, and keeps it. Connections are edge-triggered, and served until there is no
//! more.

use crate::connection::{Connection, Next};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use threaded::{ADD, ET, EpollEvent, FOR_EVER, Fd, IN, OUT, RDHUP};

const LISTENER: u64 = 0;

pub fn serve(listener: Fd, threads: u32) {
    threaded::set_nonblocking(listener).expect("a listener that does not wait");
    // Before the first connection takes a descriptor.
    let epolls: Arc<Vec<Fd>> = Arc::new((0..threads).map(|_| threaded::epoll().expect("an epoll")).collect());
    threaded::together(threads, move |number| work(epolls[number as usize], listener));
}

fn work(epoll: Fd, listener: Fd) {
    threaded::epoll_ctl(epoll, ADD, listener, &EpollEvent::new(IN, LISTENER)).expect("to watch it");
    let mut found = [EpollEvent::NONE; 16];
    loop {
        let count = threaded::epoll_wait(epoll, &mut found, FOR_EVER).expect("events");
        for event in &found[..count] {
            match event.data {
                LISTENER => accept(epoll, listener),
                // SAFETY: it was made below; one epoll tells of it, which is this thread's.
                at => advance(unsafe { Box::from_raw(at as usize as *mut Connection) }),
            }
        }
    }
}

/// Takes one: the others are for the others.
fn accept(epoll: Fd, listener: Fd) {
    // Another thread was quicker, or there is no descriptor left.
    let Ok(fd) = threaded::accept(listener, true) else { return };
    let at = Box::into_raw(Box::new(Connection::new(fd))) as usize as u64;
    let event = EpollEvent::new(IN | OUT | RDHUP | ET, at);
    threaded::epoll_ctl(epoll, ADD, fd, &event).expect("to watch it");
}

fn advance(mut connection: Box<Connection>) {
    match connection.advance() {
        // Its place does not change, and the epoll has it.
        Ok(Next::Read | Next::Write) => _ = Box::into_raw(connection),
        Ok(Next::Over) | Err(_) => threaded::close(connection.fd).expect("close"),
    }
}
