//! A thread for each connection.

use crate::connection::Connection;
use threaded::{Fd, MFILE, NFILE};

/// How long to wait for a descriptor.
const PAUSE: u64 = 1_000_000;

pub fn serve(listener: Fd) {
    loop {
        let fd = match threaded::accept(listener, false) {
            Ok(fd) => fd,
            // Those that are served have to go first.
            Err(MFILE | NFILE) => {
                threaded::sleep(PAUSE);
                continue;
            }
            Err(errno) => panic!("accept: {errno:?}"),
        };
        let served = threaded::spawn(move || {
            // A peer that is gone ends its own thread alone.
            let _gone = Connection::new(fd).advance();
            threaded::close(fd).expect("close");
        });
        // No thread, no service.
        if served.is_err() {
            threaded::close(fd).expect("close");
        }
    }
}
