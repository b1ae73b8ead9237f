//! One thread accepts; others answer one request of each connection.

use crate::connection::Connection;
use threaded::sync::Queue;
use threaded::{Fd, MFILE, NFILE};

const PAUSE: u64 = 1_000_000;

static ACCEPTED: Queue<Fd> = Queue::new();

pub fn serve(listener: Fd, threads: u32) {
    for _ in 0..threads {
        threaded::spawn(work).expect("a thread");
    }
    loop {
        match threaded::accept(listener, false) {
            Ok(fd) => ACCEPTED.put(fd),
            Err(MFILE | NFILE) => threaded::sleep(PAUSE),
            Err(errno) => panic!("accept: {errno:?}"),
        }
    }
}

fn work() {
    loop {
        let fd = ACCEPTED.take();
        let _gone = Connection::answering_once(fd).advance();
        threaded::close(fd).expect("close");
    }
}
