//! `forking_server SHAPE ADDRESS`: HTTP by the shapes of classic servers.
//!
//! * `workers`: listens, forks four times, and each child accepts; the parent starts one anew that has ended.
//! * `one`: the same work by the process alone.
//! * `connections`: forks for each connection; the parent accepts.
//!
//! A request for `/end` ends its process, one for `/number` returns the number of the process.

use asyncify_programs::process::{exit, fork, pid, reap, wait};
use wasix::{Fd, check_ok, descriptor, ends, socket};

const WORKERS: u32 = 4;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let shape = arguments.next().expect("a shape");
    let place = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let (_, listener) = check_ok!(ends::serve_at(&place));
    match shape.as_str() {
        "one" => serve_all(listener),
        "workers" => {
            for _ in 0..WORKERS {
                begin(listener);
            }
            loop {
                let _ended = check_ok!(wait(0, true));
                begin(listener);
            }
        }
        "connections" => loop {
            let Ok((connection, _)) = socket::accept_v2(listener, 0) else { continue };
            match fork() {
                Ok(0) => {
                    check_ok!(descriptor::close(listener));
                    serve(connection);
                    exit(0);
                }
                Ok(_) => {}
                // As many as there may be: those that have ended make room.
                Err(error) => eprintln!("fork: {error:?}"),
            }
            let _closed = descriptor::close(connection);
            reap();
        },
        other => panic!("{other}: no such shape"),
    }
}

fn begin(listener: Fd) {
    if check_ok!(fork()) == 0 {
        serve_all(listener);
    }
}

/// Accepts for ever.
fn serve_all(listener: Fd) -> ! {
    loop {
        let Ok((connection, _)) = socket::accept_v2(listener, 0) else { continue };
        serve(connection);
        let _closed = descriptor::close(connection);
    }
}

/// Answers the requests of one connection.
fn serve(connection: Fd) {
    let (mut request, mut length) = ([0; 4096], 0);
    loop {
        while !request[..length].windows(4).any(|end| end == b"\r\n\r\n") {
            match socket::recv(connection, &mut request[length..], 0) {
                Ok(count @ 1..) => length += count,
                _ => return,
            }
        }
        let asked = String::from_utf8_lossy(&request[..length]).into_owned();
        length = 0;
        if asked.starts_with("GET /end ") {
            exit(1);
        }
        let body = if asked.starts_with("GET /number ") { pid().to_string() } else { "hello\n".to_owned() };
        let keeps = asked.contains("eep-") && !asked.contains("HTTP/1.0\r\n\r\n");
        let kept = if keeps { "keep-alive" } else { "close" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: {kept}\r\n\r\n", body.len());
        if socket::send_all(connection, format!("{head}{body}").as_bytes()).is_err() || !keeps {
            return;
        }
    }
}
