//! Sockets that were opened outside, and that the service holds from its start on.

use super::*;
use std::os::unix::net::UnixListener;

/// A listener, and a site whose service holds it too.
fn with_listener(
    choose: impl FnOnce(WasockCtxBuilder) -> Result<WasockCtxBuilder>,
) -> Result<(TcpListener, SocketAddr, Site, mpsc::Receiver<Event>)> {
    let kept = TcpListener::bind("127.0.0.1:0")?;
    let (addr, clone) = (kept.local_addr()?, kept.try_clone()?);
    let (site, events) = impatient(|builder| choose(builder.adoptable_socket(clone)?))?;
    Ok((kept, addr, site, events))
}

fn is_nonblocking(socket: &TcpListener) -> Result<bool> {
    Ok(rustix::fs::fcntl_getfl(socket)?.contains(rustix::fs::OFlags::NONBLOCK))
}

fn is_kept_alive(socket: &TcpListener) -> Result<bool> {
    Ok(rustix::net::sockopt::socket_keepalive(socket)?)
}

#[test]
fn a7_a_program_that_binds_gets_the_socket_that_was_passed() -> Result<()> {
    for profile in [ListenProfile::Wasix, ListenProfile::Winsock] {
        let (kept, addr, mut site, _) = with_listener(|builder| Ok(builder.listen_profile(profile)))?;
        let early = connect(addr)?;
        let mut one = site.start()?;
        one.each(&["open a tcp", "keepalive a on", &format!("bind a {addr}"), "listen a 4"])?;
        one.expect("accept a one", "ok")?;
        is_served(early, "one")?;
        // Its options are its own, for the service manager has the socket too.
        one.expect("is_kept_alive a", "true")?;
        ensure!(!is_kept_alive(&kept)?, "the option is set");
        one.expect("close a", "ok")?;
        one.exit()?;
        // Between two instances the clients wait.
        let waiting = connect(addr)?;
        let mut two = site.start()?;
        two.listen("a", &addr.to_string())?;
        two.expect("accept a two", "ok")?;
        is_served(waiting, "two")?;
        two.exit()?;
        drop(site);
        ensure!(!is_nonblocking(&kept)?, "the service manager's socket does not block any more");
        ensure!(!is_refused(addr), "it is closed");
    }
    Ok(())
}

#[test]
fn a7_it_is_granted_and_nothing_else() -> Result<()> {
    let kept = TcpListener::bind("127.0.0.2:0")?;
    let (addr, clone) = (kept.local_addr()?, kept.try_clone()?);
    let mut site = Site::new(|builder| Ok(builder.keep_listeners(false).adoptable_socket(clone)?))?;
    let mut one = site.start()?;
    one.listen("a", &addr.to_string())?;
    one.expect("open b tcp", "ok")?;
    one.expect("bind b 127.0.0.2:0", "EACCES (2)")?;
    // What it makes itself is not held, for nobody has chosen that.
    let own = one.listen("c", "127.0.0.1:0")?;
    ensure!(site.service.held_listeners() == 1, "more is held");
    one.exit()?;
    ensure!(is_refused(own) && !is_refused(addr), "the wrong one is closed");
    Ok(())
}

#[test]
fn a7_a_name_is_found_in_a_directory_of_the_guest() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s");
    let kept = UnixListener::bind(&path)?;
    let clone = kept.try_clone()?;
    let mut site = Site::new(|builder| {
        let builder = builder.preopened_dir(folder.path(), "/run", Access::ReadWrite)?;
        Ok(builder.adoptable_socket(clone)?)
    })?;
    let mut one = site.start()?;
    one.each(&["unlink /run/s", "open a unix", "bind a /run/s", "listen a 8"])?;
    let client = UnixStream::connect(&path)?;
    one.expect("accept a one", "ok")?;
    is_served(client, "one")?;
    one.exit()?;
    drop(site);
    ensure!(path.exists(), "the name is gone");
    Ok(())
}

#[test]
fn a9_what_was_passed_and_is_not_bound_stays_and_is_reported() -> Result<()> {
    let (_kept, addr, mut site, events) = with_listener(Ok)?;
    let waiting = connect(addr)?;
    let mut one = site.start()?;
    one.listen("a", "127.0.0.1:0")?;
    let event = events.recv_timeout(WAIT_TIMEOUT)?;
    ensure!(event == Event::Unclaimed { local: addr.into(), is_closed: false }, "{event:?}");
    one.listen("b", &addr.to_string())?;
    one.expect("accept b one", "ok")?;
    is_served(waiting, "one")?;
    one.exit()
}

#[test]
fn a7_a_connection_is_of_no_use() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let refused = WasockCtx::builder().adoptable_socket(client).err().context("it was taken")?;
    ensure!(refused.to_string().contains("expected a listener or a datagram socket"), "{refused}");
    Ok(())
}
