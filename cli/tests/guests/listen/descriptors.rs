//! Without free descriptors, of the guest or of the host, in every profile.

use super::*;
use guest_tests::HttpClient;

/// Few enough to run out of, and enough to start with.
const HOST_DESCRIPTORS: u32 = 40;

/// Rule 8: a full table of the guest is EMFILE, a host without descriptors ENFILE; listening takes none.
pub(super) fn row_08_out_of_descriptors(profile: Profile) -> Result<()> {
    let mut listener = full_table(profile)?;
    listener.expect("listen 8", "done")?;
    let mut listener = exhausted_host(profile)?;
    listener.expect("listen 8", "done")
}

/// A listener whose guest has no number left.
fn full_table(profile: Profile) -> Result<Listener> {
    // 0 to 2, and the listener.
    let limited = host(profile).args(["--max-fds", "10"]);
    let mut listener = Listener::start_on(profile, limited, "127.0.0.1:0", 4)?;
    listener.expect("open 1000", "6 then EMFILE")?;
    Ok(listener)
}

/// A listener whose host has no descriptor left.
fn exhausted_host(profile: Profile) -> Result<Listener> {
    let mut listener = Listener::start_limited(profile, HOST_DESCRIPTORS, 4)?;
    // The host's timer takes one that the guest could otherwise free in vain.
    listener.tell("poll 1")?;
    let answer = listener.tell("open 1000")?;
    ensure!(answer.ends_with("then ENFILE") && !answer.starts_with("0 "), "{answer}");
    Ok(listener)
}

/// Rule 12: with a full table of the guest accept is EMFILE, loses no connection, and works again later.
pub(super) fn row_12_accept_with_a_full_table(profile: Profile) -> Result<()> {
    accepts_again_later(full_table(profile)?, "EMFILE")
}

/// Rule 12: on a host without descriptors accept is ENFILE, loses no connection, and works again later.
pub(super) fn row_12_accept_without_host_descriptors(profile: Profile) -> Result<()> {
    accepts_again_later(exhausted_host(profile)?, "ENFILE")
}

/// Out of descriptors: no connection is lost, and accept works when one is free again.
fn accepts_again_later(mut listener: Listener, errno: &str) -> Result<()> {
    let mut first = listener.connect()?;
    for _ in 0..10 {
        listener.expect("accept", errno)?;
        listener.expect("accept_waiting", errno)?;
        listener.expect("accept_within 1", errno)?;
    }
    // The connection still waits, and waiting with a limit needs no descriptor.
    let answer = listener.tell("poll 1000")?;
    ensure!(answer.starts_with("1 ready"), "{answer}");
    let others = [listener.connect()?, listener.connect()?, listener.connect()?];
    listener.rests("no descriptor is free")?;
    listener.expect("accept", errno)?;

    // One descriptor is enough to serve all of them, in turn.
    listener.expect("give_back", "done")?;
    listener.expect("accept", &first.name()?)?;
    first.say("patience")?;
    listener.expect("read", "patience")?;
    for client in &others {
        client.hears_nothing()?;
        listener.expect("accept", errno)?;
        listener.expect("close", "done")?;
        let answer = listener.tell("poll 15000")?;
        ensure!(answer.starts_with("1 ready"), "{answer}");
        listener.expect("accept_waiting", &client.name()?)?;
    }
    // None is pending any more: reporting one would make a guest spin.
    let answer = listener.tell("poll 20")?;
    ensure!(answer.starts_with("0 ready"), "{answer}");
    listener.expect("close", "done")?;
    // As before: a client that arrives at an empty queue is reported.
    listener.begin("poll 15000")?;
    let client = listener.connect()?;
    let answer = listener.answer()?;
    ensure!(answer.starts_with("1 ready"), "{answer}");
    listener.serves(client)
}

/// Rule 12: a poll with a limit needs no descriptor of the host.
pub(super) fn row_12_poll_without_host_descriptors(profile: Profile) -> Result<()> {
    let mut listener = Listener::start_limited(profile, HOST_DESCRIPTORS, 4)?;
    let answer = listener.tell("open 1000")?;
    ensure!(answer.ends_with("then ENFILE"), "{answer}");
    let answer = listener.tell("poll 50")?;
    ensure!(answer.starts_with("0 ready after "), "{answer}");
    Ok(())
}

/// Rule 12: a guest that waits at an epoll sleeps, also while a client waits for a descriptor.
pub(super) fn row_12_epoll_without_host_descriptors(profile: Profile) -> Result<()> {
    let mut guest = host(profile)
        .args(["--no-cache", guest_tests::EPOLL_WITHOUT_DESCRIPTORS])
        .limit_descriptors(HOST_DESCRIPTORS)
        .start()?;
    let addr = guest.listening()?;
    let deadline = std::time::Instant::now() + WAIT_TIMEOUT;
    while guest.descriptors()? < usize::try_from(HOST_DESCRIPTORS)? {
        ensure!(std::time::Instant::now() < deadline, "{} descriptors", guest.descriptors()?);
        std::thread::sleep(Duration::from_millis(5));
    }
    let _client = Client::connect(addr)?;
    let before = guest.processor_time()?;
    std::thread::sleep(Duration::from_millis(500));
    let used = guest.processor_time()? - before;
    ensure!(used < Duration::from_millis(150), "{used:?} of processor time");
    guest.stop().map(drop)
}

/// Rule 12: a server out of descriptors serves the clients that it has, and sleeps.
pub(super) fn row_12_server_without_host_descriptors(profile: Profile) -> Result<()> {
    // What cleans the cache up now and then takes descriptors, and gives them back.
    let mut server = host(profile)
        .args(["--no-cache", profile.programs.http_server, "127.0.0.1:0"])
        .limit_descriptors(HOST_DESCRIPTORS)
        .start()?;
    let addr = server.listening()?;
    let mut first = HttpClient::connect(addr)?;
    ensure!(first.get("/")?.status == 200, "the first");
    let mut others = Vec::new();
    for _ in 0..60 {
        others.push(HttpClient::connect(addr)?);
    }
    ensure!(first.get("/")?.status == 200, "the first, again");
    let before = server.processor_time()?;
    std::thread::sleep(Duration::from_secs(1));
    let used = server.processor_time()? - before;
    ensure!(used < Duration::from_millis(300), "{used:?} of processor time");
    // Each client is served in turn, as earlier ones leave.
    for mut client in others {
        ensure!(client.get("/")?.status == 200, "one that waited");
    }
    server.stop().map(drop)
}
