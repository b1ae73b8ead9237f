//! Echoes its connections, all at once, by tokio.

use std::env;

use component_std as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = env::args().nth(1).expect("an address");
    let listener = TcpListener::bind(address).await?;
    println!("at {}", listener.local_addr()?);
    loop {
        let (mut connection, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count) = connection.read(&mut buffer).await {
                if count == 0 || connection.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        });
    }
}
