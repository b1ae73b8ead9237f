//! `front ADDR`: answers each line of its clients, one client after the other, with what another component says to it.

use std::net::SocketAddr;

use component_parts::List;
use component_programs::{accept, errno, listen, read, write_all};

#[link(wasm_import_module = "wasock:parts/answers@0.1.0")]
unsafe extern "C" {
    #[link_name = "answer"]
    fn imported_answer(request: *const u8, length: usize, returned: *mut List);
}

fn answer(request: &[u8]) -> Vec<u8> {
    let mut returned = List::EMPTY;
    // SAFETY: the list is allocated by `cabi_realloc` of this program, and is this one's.
    unsafe {
        imported_answer(request.as_ptr(), request.len(), &mut returned);
        returned.into_bytes()
    }
}

fn main() {
    let address: SocketAddr = std::env::args().nth(1).expect("an address").parse().expect("an address");
    let listener = listen(address).unwrap_or_else(|code| panic!("{}", errno(code)));
    loop {
        let (_socket, input, output) = accept(&listener).expect("a connection");
        let mut received = Vec::new();
        while let Ok(data) = read(&input) {
            if data.is_empty() {
                break;
            }
            received.extend(data);
            while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
                let rest = received.split_off(end + 1);
                let line = std::mem::replace(&mut received, rest);
                if write_all(&output, &answer(&line)).is_err() {
                    break;
                }
            }
        }
    }
}
