//! `p3_server ADDR`: answers requests of HTTP with their path, each client by a task of its own.

use component_programs_p3::*;
use wasip3::sockets::types::TcpSocket;
use wasip3::spawn_local;

program!(run);

async fn run() -> Result<(), ()> {
    let failed = |code| eprintln!("{}", errno(code));
    let socket = bound_to(address(1)).map_err(failed)?;
    // As many as may wait, before the first ones come.
    socket.set_listen_backlog_size(u64::MAX).map_err(failed)?;
    let mut listener = Listener::of(socket).map_err(failed)?;
    while let Some(socket) = listener.connections.next().await {
        spawn_local(serve(socket));
    }
    Ok(())
}

async fn serve(socket: TcpSocket) {
    let mut connection = Connection::of(socket);
    let mut received = Vec::new();
    loop {
        while let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = received.split_off(end + 4);
            let request = std::mem::replace(&mut received, rest);
            if connection.write(answer(&request).as_bytes()).await.is_err() {
                return;
            }
        }
        let more = connection.read().await;
        if more.is_empty() {
            return;
        }
        received.extend(more);
    }
}

/// The answer to a request without a body.
fn answer(request: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let body = format!("hello {}", request.split(' ').nth(1).unwrap_or("nobody"));
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
