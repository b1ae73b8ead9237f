//! `component_sender ADDR BYTES`: sends so many bytes as they are permitted, shuts the connection down and ends, without
//! a look at what became of them.

use std::net::SocketAddr;

use component_programs::*;
use wasip2::sockets::tcp::ShutdownType;

fn main() {
    let mut args = std::env::args().skip(1);
    let address: SocketAddr = args.next().expect("an address").parse().expect("an address");
    let bytes: usize = args.next().expect("how many").parse().expect("a number");
    let (socket, input, output) = connect(address).expect("a connection");
    // What the kernel takes at once is little.
    socket.set_send_buffer_size(4096).expect("a size");
    let mut sent = 0;
    while sent < bytes {
        let permit = output.check_write().expect("it is open") as usize;
        if permit == 0 {
            output.subscribe().block();
            continue;
        }
        let piece: Vec<u8> = (sent..bytes.min(sent + permit)).map(|at| (at % 251) as u8).collect();
        output.write(&piece).expect("it was permitted");
        sent += piece.len();
    }
    socket.shutdown(ShutdownType::Send).expect("it is connected");
    drop((socket, input, output));
}
