//! Echoes each connection to the address of its first argument, one after the other. The second argument is what
//! it says first to each. A client that says `trap` traps it. One that says `much` is sent as much as is taken and then
//! dropped; `last` is the same, and the end of the program.

use std::env;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use component_programs::{accept, from_wasi, listen, read, write_all};
use wasip2::io::streams::OutputStream;
use wasip2::sockets::network::ErrorCode;

fn main() {
    let mut arguments = env::args().skip(1);
    let address: SocketAddr = arguments.next().expect("an address").parse().expect("it is one");
    let greeting = arguments.next().unwrap_or_default();
    let listener = listen(address).expect("it may listen");
    println!("at {}", from_wasi(listener.local_address().expect("it is bound")));
    loop {
        let (socket, input, output) = match accept(&listener) {
            // At a limit it is ready once there is room.
            Err(ErrorCode::NewSocketLimit) => {
                listener.subscribe().block();
                continue;
            }
            accepted => accepted.expect("it listens"),
        };
        if write_all(&output, greeting.as_bytes()).is_err() {
            continue;
        }
        while let Ok(data) = read(&input) {
            if data.starts_with(b"trap") {
                std::process::abort();
            }
            if data.starts_with(b"much") || data.starts_with(b"last") {
                let peer = from_wasi(socket.remote_address().expect("it is connected"));
                let written = write_much(&output);
                let is_last = data.starts_with(b"last");
                if !is_last {
                    // Who reads the line may end this program: by then the rest is the host's to deliver.
                    drop((input, output, socket));
                }
                println!("wrote {written} bytes to {peer}");
                if is_last {
                    return;
                }
                break;
            }
            if data.is_empty() || write_all(&output, &data).is_err() {
                break;
            }
        }
    }
}

/// Writes until no more is permitted for a while, so that the peer has not all yet.
fn write_much(output: &OutputStream) -> usize {
    let mut written = 0;
    loop {
        if matches!(output.check_write(), Ok(0)) {
            thread::sleep(Duration::from_millis(300));
        }
        match output.check_write() {
            Ok(permit @ 1..) => {
                let bytes = vec![b'x'; usize::try_from(permit).expect("it is small")];
                output.write(&bytes).expect("it was permitted");
                written += bytes.len();
            }
            _ => return written,
        }
    }
}
