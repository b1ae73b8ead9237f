//! R2: a reload with other settings, all or nothing.

use super::*;
use wasock::ListenProfile;

#[test]
fn r2_other_settings_are_those_of_the_new_generation_alone() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder)?.listening()?;
    // It may have datagram sockets, and the new one not.
    let reload = running.reload_with(settings(&running.control)?)?;
    let mut two = running.next()?;
    two.each(&["open u udp"])?;
    let refused = two.ask("bind u 127.0.0.1:0")?;
    ensure!(refused.starts_with("EACCES"), "{refused}");
    one.each(&["open u udp", "bind u 127.0.0.1:0", "close u"])?;
    serves(&mut one, addr, "one")?;
    two.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    // A reload of the module alone goes on with them.
    let mut three = running.reloaded("127.0.0.1:0", 3)?;
    three.each(&["open u udp"])?;
    let refused = three.ask("bind u 127.0.0.1:0")?;
    ensure!(refused.starts_with("EACCES"), "{refused}");
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r2_settings_that_are_of_no_use_change_nothing() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder)?.listening()?;
    let refused = running.reload_with(settings(&running.control)?.arg("a\0b"))?.done()?;
    ensure!(
        matches!(&refused, Err(ReloadError::Settings(why)) if why.contains("holds a NUL")),
        "{refused:?}"
    );
    serves(&mut one, addr, "one")?;
    one.tell("exit 0")?;
    running.ended().map(drop)
}

/// Also where the host owns the queue, which goes over whole: the new policy counts from the moment
/// when the new generation is ready.
#[test]
fn r2_a_new_policy_admits_peers_from_the_takeover_on() -> Result<()> {
    for profile in [ListenProfile::Wasix, ListenProfile::Winsock] {
        let (running, mut one, addr) =
            Running::start_with(|ctx| Ok(ctx.listen_profile(profile)), |builder| builder)?.listening()?;
        let deny = settings(&running.control)?.listen_profile(profile).deny_from("127.0.0.0/8".parse()?);
        let reload = running.reload_with(deny)?;
        let mut two = running.next()?;
        two.listen("a", "127.0.0.1:0")?;
        ensure!(reload.done()? == Ok(2), "another outcome");
        one.is_gone()?;
        // It may see its reset as it connects.
        let client = TcpStream::connect(addr);
        two.each(&["nonblock a"])?;
        let refused = two.ask("accept a two")?;
        ensure!(refused.starts_with("EAGAIN"), "{refused}");
        match client {
            Ok(client) => is_reset(&client)?,
            Err(error) => ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}"),
        }
        two.tell("exit 0")?;
        running.ended()?;
    }
    Ok(())
}

#[test]
fn r2_connections_go_on_being_counted() -> Result<()> {
    let (running, mut one, addr) =
        Running::start_with(|ctx| Ok(ctx.max_connections(8)), |builder| builder)?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    let reload = running.reload_with(settings(&running.control)?.max_connections(1))?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    let client = connect(addr)?;
    two.expect("poll a 2000", "ready")?;
    let full = two.ask("accept a two")?;
    ensure!(full.starts_with("EMFILE"), "{full}");
    one.tell("close kept")?;
    one.is_gone()?;
    drop(kept);
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    two.tell("exit 0")?;
    running.ended().map(drop)
}
