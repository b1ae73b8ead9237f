//! A thread for each connection.

use crate::connection::Connection;
use crew::{Fd, MFILE, NFILE};

/// How long to wait for a descriptor.
const PAUSE: u64 = 1_000_000;

pub fn serve(listener: Fd) {
    loop {
        let fd = match crew::accept(listener, false) {
            Ok(fd) => fd,
            // Those that are served have to go first.
            Err(MFILE | NFILE) => {
                crew::sleep(PAUSE);
                continue;
            }
            Err(errno) => panic!("accept: {errno:?}"),
        };
        let served = crew::spawn(move || {
            // A peer that is gone ends its own thread alone.
            let _gone = Connection::new(fd).advance();
            crew::close(fd).expect("close");
        });
        // No thread, no service.
        if served.is_err() {
            crew::close(fd).expect("close");
        }
    }
}
