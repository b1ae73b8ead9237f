//! The end of a listener, and its duplicates, in every profile.

use super::*;

/// Close: waiting clients see it, the port is free at once, and nothing is left.
pub(super) fn close_with_clients_waiting(profile: Profile) -> Result<()> {
    holds(profile, "closing_while_another_waits")?;
    let mut listener = Listener::start(profile, 4)?;
    listener.still_serves()?;
    let before = listener.host_descriptors()?;
    for _ in 0..10 {
        listener.also(3)?;
        let mut waiting = listener.fill(profile.waiting_for(3))?;
        listener.expect("close_listener", "done")?;
        for client in &mut waiting {
            client.is_gone()?;
        }
        // Another process may have it.
        std::net::TcpListener::bind(listener.addr).context("the port is not free")?;
    }
    listener.returns_to(before)?;
    // The first one goes on as if nothing had happened.
    listener.addr = listener.tell("local")?.parse()?;
    listener.still_serves()
}

/// Shutdown: of a listener it is ENOTCONN, and it goes on listening.
pub(super) fn shutdown_of_a_listener(profile: Profile) -> Result<()> {
    holds(profile, "shutdown_of_a_listener")?;
    let mut listener = Listener::start(profile, 1)?;
    let waiting = listener.fill(profile.waiting_for(1))?;
    listener.expect("shutdown", "ENOTCONN")?;
    listener.is_full()?;
    listener.accepts_all(&waiting)?;
    listener.still_serves()
}

/// Duplicates: each sees and takes from the one queue, and closing one leaves it to the others.
pub(super) fn duplicates_share_the_queue(profile: Profile) -> Result<()> {
    holds(profile, "duplicates_share_the_queue")?;
    // A blocking accept of one is not ended by the close of another before.
    let mut listener = Listener::start(profile, 4)?;
    listener.expect("dup", "done")?;
    listener.expect("use 0", "done")?;
    listener.expect("close_listener", "done")?;
    listener.begin("accept_waiting")?;
    let client = listener.connect()?;
    let answer = listener.answer()?;
    ensure!(answer == client.name()?, "{answer}");
    listener.still_serves()
}

/// Duplicates: listening again through one changes the backlog of the socket.
pub(super) fn listen_again_on_a_duplicate(profile: Profile) -> Result<()> {
    let mut listener = Listener::start(profile, 1)?;
    listener.expect("dup", "done")?;
    let mut waiting = listener.fill(profile.waiting_for(1))?;
    listener.expect("listen 3", "done")?;
    listener.connect_until(&mut waiting, profile.waiting_for(3))?;
    listener.is_full()?;
    listener.expect("use 0", "done")?;
    listener.accepts_all(&waiting)?;
    let waiting = listener.fill(profile.waiting_for(3))?;
    listener.expect("close_listener", "done")?;
    listener.accepts_all(&waiting)
}
