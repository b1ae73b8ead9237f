//! Echoes each connection to the address of its first argument, one after the other. The second argument is what
//! it says first to each. A client that says `trap` traps it.

use std::env;
use std::net::SocketAddr;

use component_programs::{accept, from_wasi, listen, read, write_all};

fn main() {
    let mut arguments = env::args().skip(1);
    let address: SocketAddr = arguments.next().expect("an address").parse().expect("it is one");
    let greeting = arguments.next().unwrap_or_default();
    let listener = listen(address).expect("it may listen");
    println!("at {}", from_wasi(listener.local_address().expect("it is bound")));
    loop {
        let (_socket, input, output) = accept(&listener).expect("it listens");
        if write_all(&output, greeting.as_bytes()).is_err() {
            continue;
        }
        while let Ok(data) = read(&input) {
            if data.starts_with(b"trap") {
                std::process::abort();
            }
            if data.is_empty() || write_all(&output, &data).is_err() {
                break;
            }
        }
    }
}
