//! Answers one request of HTTP on its standard input and output, and ends.
//!
//! `one_request`, as a guest with an instance for each connection, and natively the program that a
//! server executes for each. `one_request ADDRESS`, natively alone: that server, which forks and executes this very
//! program, as inetd and a service manager do.

use std::io::{Read as _, Write as _};

fn main() {
    #[cfg(not(target_family = "wasm"))]
    if let Some(address) = std::env::args().nth(1) {
        return server::serve(&address);
    }
    let (mut request, mut length) = ([0; 4096], 0);
    while !request[..length].windows(4).any(|end| end == b"\r\n\r\n") {
        match std::io::stdin().read(&mut request[length..]) {
            Ok(1..) if length == request.len() => return,
            Ok(0) | Err(_) => return,
            Ok(count) => length += count,
        }
    }
    let body = "Hello from an instance\n";
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _gone = std::io::stdout().write_all(format!("{head}{body}").as_bytes());
}

#[cfg(not(target_family = "wasm"))]
mod server {
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::process::{Child, Command};
    use std::sync::mpsc;
    use std::thread;

    pub(crate) fn serve(address: &str) {
        let listener = TcpListener::bind(address).expect("a listener");
        let program = std::env::current_exe().expect("a name");
        let (sender, children) = mpsc::channel::<Child>();
        thread::spawn(move || children.into_iter().for_each(|mut child| drop(child.wait())));
        for connection in listener.incoming().flatten() {
            let input = OwnedFd::from(connection);
            let Ok(output) = input.try_clone() else { continue };
            if let Ok(child) = Command::new(&program).stdin(input).stdout(output).spawn() {
                let _ended = sender.send(child);
            }
        }
    }
}
