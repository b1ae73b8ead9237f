//! `inetd ADDRESS PROGRAM [ARGUMENT…]`: starts the program for each connection, which it has as its input and its output.

use wasix::errno::{EAGAIN, ECHILD};
use wasix::process::{FdOp, NON_BLOCKING, NOTHING, Start, wait};
use wasix::{Fd, check_ok, descriptor, ends};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, program @ ..] = &arguments[..] else { panic!("an address and a program") };
    let program: Vec<&str> = program.iter().map(String::as_str).collect();
    let (kind, listener) = check_ok!(ends::serve_at(place));
    check_ok!(descriptor::set_fdflags(listener, descriptor::CLOEXEC));
    loop {
        if let Ok(connection) = kind.accept(listener, 0) {
            serve(&program, connection);
            let _closed = descriptor::close(connection);
        }
        while wait(None, NON_BLOCKING).is_ok_and(|ended| ended.tag != NOTHING) {}
    }
}

fn serve(program: &[&str], connection: Fd) {
    let ops = [FdOp::dup2(connection, 0), FdOp::dup2(connection, 1), FdOp::close(connection)];
    let start = Start { ops: &ops, ..Start::of(program[0], program) };
    loop {
        match start.spawn() {
            Ok(_) => return,
            // As many as there may be: one that ends makes room.
            Err(EAGAIN) if wait(None, 0) != Err(ECHILD) => {}
            Err(error) => {
                eprintln!("{}: {error:?}", program[0]);
                return;
            }
        }
    }
}
