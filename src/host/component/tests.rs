//! What a component has written when nobody takes it.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use guest_tests::components::COMPONENT_ECHO;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::host::{Guest, WasockCtx};
use crate::observe::Event;

/// A connection of the service at `address` that says `word`, and then takes nothing. It has no time limit.
fn taking_nothing(address: SocketAddr, word: &str) -> Result<TcpStream, Box<dyn Error>> {
    let mut client = TcpStream::connect(address)?;
    client.read_exact(&mut [0; 6])?;
    client.write_all(word.as_bytes())?;
    Ok(client)
}

/// Was `client` reset within that time? What it has not read does not count as one.
fn is_reset(client: &TcpStream, within: Duration) -> Result<bool, Box<dyn Error>> {
    let mut fds = [PollFd::new(client, PollFlags::empty())];
    let limit = Timespec::try_from(within)?;
    Ok(rustix::event::poll(&mut fds, Some(&limit))? > 0)
}

/// The host has patience of a second in these tests; its clock begins when the component has dropped the connection.
#[test]
fn a_peer_that_takes_nothing_is_reset_in_the_end() -> Result<(), Box<dyn Error>> {
    let guest = Guest::load(&Guest::new_engine(&Guest::engine_config())?, COMPONENT_ECHO.as_ref())?;
    let (listens, listening) = channel();
    let ctx = WasockCtx::builder()
        .args(["echo", "127.0.0.1:0", "hello "])
        .listen(&"127.0.0.1:*".parse()?)
        .observer(move |event: &Event| {
            if let Event::Listening { local, .. } = event {
                _ = listens.send(local.inet());
            }
        })
        .build_for(guest.module())?;
    let handle = ctx.handle();
    let runs = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.is_ok_and(|runtime| runtime.block_on(guest.run(ctx)).is_err())
    });
    let address = listening.recv_timeout(Duration::from_secs(30))?.ok_or("no address")?;
    let client = taking_nothing(address, "much")?;
    assert!(is_reset(&client, Duration::from_secs(60))?, "it is there for good");
    // Another one is served meanwhile, and after.
    let _served = taking_nothing(address, "words")?;
    handle.terminate();
    assert!(runs.join().is_ok_and(|was_ended| was_ended));
    Ok(())
}
