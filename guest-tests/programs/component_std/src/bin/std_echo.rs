//! Echoes each connection, one after the other, by the standard library.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let address = env::args().nth(1).expect("an address");
    let listener = TcpListener::bind(address)?;
    println!("at {}", listener.local_addr()?);
    for connection in listener.incoming() {
        let mut connection = connection?;
        connection.set_nodelay(true)?;
        let mut buffer = [0; 4096];
        while let Ok(count) = connection.read(&mut buffer) {
            if count == 0 || connection.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    }
    Ok(())
}
