//! All threads wait in one epoll. Each entry is one-shot: it is reported to one of them, and armed
//! again by the thread that served it: no connection is served by two at a time. Nothing here knows
//! of the other threads, and no lock is needed.

use crate::connection::{Connection, Next};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use threaded::{ADD, EpollEvent, FOR_EVER, Fd, IN, MFILE, MOD, NFILE, ONESHOT, OUT, RDHUP};

/// What stands for the listener; a connection has its address in the memory.
const LISTENER: u64 = 0;

#[derive(Clone, Copy)]
struct Server {
    epoll: Fd,
    listener: Fd,
}

/// The listener is off until a descriptor is free.
static IS_FULL: AtomicBool = AtomicBool::new(false);

pub fn serve(listener: Fd, threads: u32) {
    threaded::set_nonblocking(listener).expect("a listener that does not wait");
    let server = Server { epoll: threaded::epoll().expect("an epoll"), listener };
    let event = EpollEvent::new(IN | ONESHOT, LISTENER);
    threaded::epoll_ctl(server.epoll, ADD, listener, &event).expect("to watch it");
    threaded::together(threads, move |_| server.work());
}

impl Server {
    fn work(self) {
        let mut found = [EpollEvent::NONE; 16];
        loop {
            let count = threaded::epoll_wait(self.epoll, &mut found, FOR_EVER).expect("events");
            for event in &found[..count] {
                match event.data {
                    LISTENER => self.accept(),
                    // SAFETY: it was made below, and told to this thread alone.
                    at => self.advance(unsafe { Box::from_raw(at as usize as *mut Connection) }, MOD),
                }
            }
        }
    }

    fn accept(self) {
        loop {
            match threaded::accept(self.listener, true) {
                Ok(fd) => self.advance(Box::new(Connection::new(fd)), ADD),
                // Once more after that is known: what was closed before watches nothing.
                Err(MFILE | NFILE) if !IS_FULL.swap(true, SeqCst) => {}
                Err(MFILE | NFILE) => return,
                Err(_) => break,
            }
        }
        self.watch_listener();
    }

    fn watch_listener(self) {
        let event = EpollEvent::new(IN | ONESHOT, LISTENER);
        threaded::epoll_ctl(self.epoll, MOD, self.listener, &event).expect("to watch it");
    }

    /// Serves a connection, and gives it back.
    fn advance(self, mut connection: Box<Connection>, op: u32) {
        let fd = connection.fd;
        let wanted = match connection.advance() {
            Ok(Next::Read) => IN | RDHUP,
            Ok(Next::Write) => OUT,
            Ok(Next::Over) | Err(_) => {
                threaded::close(fd).expect("close");
                if IS_FULL.swap(false, SeqCst) {
                    self.watch_listener();
                }
                return;
            }
        };
        let at = Box::into_raw(connection) as usize as u64;
        threaded::epoll_ctl(self.epoll, op, fd, &EpollEvent::new(wanted | ONESHOT, at)).expect("to watch it");
    }
}
