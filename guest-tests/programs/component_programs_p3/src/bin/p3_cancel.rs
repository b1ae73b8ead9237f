//! `p3_cancel WHAT ADDR`: gives up calls of WASI 0.3 in their middle, again and again, with few descriptors. ADDR is that
//! of a listener that takes nobody.

use std::pin::pin;

use component_programs_p3::*;
use futures::join;
use wasip3::wit_bindgen::StreamResult;

program!(run);

/// More than there are descriptors.
const ROUNDS: u32 = 200;

async fn run() -> Result<(), ()> {
    match argument(1).expect("what").as_str() {
        "accept" => accept().await,
        "accept_stream" => accept_stream().await,
        "connect" => given_up_attempts().await,
        "receive" => receive().await,
        "send" => send().await,
        "both_streams" => both_streams().await,
        other => panic!("{other}: no such call"),
    }
    println!("holds");
    Ok(())
}

/// Reads of the stream of connections end at any time, and no connection is lost.
async fn accept() {
    let mut listener = Listener::at(loopback(0)).expect("a listener");
    let address = local(&listener.socket);
    for round in 0..ROUNDS {
        let (client, accepted) = join!(connect(address), async {
            loop {
                let accepted = match round % 3 {
                    0 => listener.try_accept(),
                    1 => listener.accept_within(0).await,
                    // A read of nothing loses nothing where it is dropped.
                    _ => listener.is_ready_within(1).await.then(|| listener.try_accept()).flatten(),
                };
                if let Some(accepted) = accepted {
                    break accepted;
                }
                // The other half goes on.
                within(0, std::future::pending::<()>()).await;
            }
        });
        assert_eq!(peer(&accepted), local(&client.expect("a connection")));
    }
}

/// The stream is dropped with a read in it and clients that wait: nothing of it is left.
async fn accept_stream() {
    for _ in 0..ROUNDS {
        let mut listener = Listener::at(loopback(0)).expect("a listener");
        let address = local(&listener.socket);
        let near = connect(address).await.expect("a connection");
        assert!(listener.is_ready_within(5000).await);
        let Listener { socket, mut connections } = listener;
        let mut read = Box::pin(connections.read(Vec::new()));
        let _ready = poll_once(read.as_mut());
        drop(read);
        drop(connections);
        drop(socket);
        assert!(Connection::of(near).read().await.is_empty(), "a client is left");
        assert!(is_code(connect(address).await, "ECONNREFUSED"), "it listens on");
    }
}

/// An attempt to connect that is dropped goes on without anybody, and ends with its socket.
async fn given_up_attempts() {
    let silent = to_wasi(address(2));
    for _ in 0..ROUNDS {
        let socket = fresh();
        let mut attempt = Box::pin(socket.connect(silent));
        assert!(poll_once(attempt.as_mut()).is_none());
        drop(attempt);
        assert!(is_code(socket.connect(silent).await, "EINVAL"), "it connects");
        assert!(is_code(socket.get_remote_address(), "EINVAL"), "it connects");
        assert!(within(1, std::future::pending::<()>()).await.is_none());
    }
}

/// Receives of which most are cancelled: every byte comes, once and in its place.
async fn receive() {
    const BYTES: usize = 1 << 20;
    let (_listener, near, far) = connected().await;
    let (mut near, far) = (Connection::of(near), Connection::of(far));
    let data: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    let mut received = Vec::with_capacity(BYTES);
    let (_rest, ()) = join!(
        async {
            let rest = near.output.write_all(data.clone()).await;
            drop(near.output);
            rest
        },
        async {
            let mut input = far.input;
            loop {
                let (result, bytes) = {
                    let mut read = pin!(input.read(Vec::with_capacity(1000)));
                    poll_once(read.as_mut()).unwrap_or_else(|| read.cancel())
                };
                received.extend(bytes);
                match result {
                    StreamResult::Dropped => break,
                    StreamResult::Complete(_) => {}
                    // Waits for more, and takes nothing.
                    StreamResult::Cancelled => drop(input.read(Vec::new()).await),
                }
            }
        }
    );
    assert!(received == data, "{} bytes", received.len());
    far.received.await.expect("in order");
}

/// Sends of which many are cancelled: what they say was sent is what the peer has.
async fn send() {
    let (_listener, near, far) = connected().await;
    near.set_send_buffer_size(4096).expect("a size");
    let (near, far) = (Connection::of(near), Connection::of(far));
    let (sent, received) = join!(
        async {
            let mut output = near.output;
            let mut sent = 0;
            for round in 0..2000_usize {
                let piece: Vec<u8> = (sent..sent + 5000).map(|at| (at % 251) as u8).collect();
                let mut write = pin!(output.write(piece));
                let (result, _) = match poll_once(write.as_mut()) {
                    Some(done) => done,
                    None if round % 2 == 0 => write.cancel(),
                    None => write.await,
                };
                match result {
                    StreamResult::Complete(count) => sent += count,
                    StreamResult::Cancelled => {}
                    StreamResult::Dropped => panic!("it ended"),
                }
            }
            drop(output);
            near.sent.await.expect("all was sent");
            sent
        },
        far.input.collect()
    );
    assert_eq!(received.len(), sent);
    assert!(received.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8), "other bytes");
}

/// Everything is dropped with a read and a write in it.
async fn both_streams() {
    let mut listener = Listener::at(loopback(0)).expect("a listener");
    let address = local(&listener.socket);
    for _ in 0..ROUNDS {
        let near = connect(address).await.expect("a connection");
        let far = listener.accept().await;
        let mut near = Connection::of(near);
        {
            let mut read = pin!(near.input.read(Vec::with_capacity(100)));
            assert!(poll_once(read.as_mut()).is_none());
            let mut write = pin!(near.output.write_all(vec![0; 16 << 20]));
            assert!(poll_once(write.as_mut()).is_none());
        }
        drop(near);
        drop(far);
    }
}
