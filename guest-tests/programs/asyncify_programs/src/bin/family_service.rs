//! `family_service SHAPE ADDRESS`: repeats to its clients what they say, by processes of which the first one serves nobody.
//!
//! * `prefork`: it listens, and two children accept.
//! * `child`: a child listens and serves, and the first process waits for it.
//! * `orphan`: the same, and the first process ends.

use asyncify_programs::process::{exit, fork, wait};
use wasix::{Fd, check_ok, descriptor, ends, socket};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let shape = arguments.next().expect("a shape");
    let place = arguments.next().expect("an address");
    let listen = || check_ok!(ends::serve_at(&place)).1;
    match shape.as_str() {
        "prefork" => {
            let listener = listen();
            for _ in 0..2 {
                begin(|| listener);
            }
            wait_for_all();
        }
        "child" => {
            begin(listen);
            wait_for_all();
        }
        "orphan" => begin(listen),
        other => panic!("{other}: no such shape"),
    }
}

fn begin(listen: impl FnOnce() -> Fd) {
    if check_ok!(fork()) == 0 {
        serve(listen());
    }
}

fn wait_for_all() {
    while wait(0, true).is_ok() {}
    exit(1);
}

fn serve(listener: Fd) -> ! {
    loop {
        let Ok((connection, _)) = socket::accept_v2(listener, 0) else { continue };
        let mut said = [0; 1024];
        while let Ok(count @ 1..) = socket::recv(connection, &mut said, 0) {
            if socket::send_all(connection, &said[..count]).is_err() {
                break;
            }
        }
        let _closed = descriptor::close(connection);
    }
}
