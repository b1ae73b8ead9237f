//! R3, R4, R9 and R11: one generation takes the place of another.

use super::*;

/// R3, R4 and R6: who accepts when.
#[test]
fn r4_a_reload_has_the_new_one_accept_and_the_old_one_go_on() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder)?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.each(&["open a tcp", &format!("bind a {addr}")])?;
    // It does not listen yet: the old one serves.
    serves(&mut one, addr, "one")?;
    two.expect("listen a 16", "ok")?;
    ensure!(reload.done()? == Ok(2), "another generation");
    ensure!(running.event(|it| matches!(it, Event::Reloaded { generation: 2, .. }).then_some(())).is_ok());
    let client = connect(addr)?;
    one.expect("poll a 50", "nothing")?;
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    // It goes on with its connection, and ends with it.
    one.expect("say kept one", "ok")?;
    one.tell("close kept")?;
    is_served(kept, "one")?;
    one.is_gone()?;
    ensure!(running.service.metrics().reloads == 1, "{:?}", running.service.metrics());
    two.tell("exit 4")?;
    ensure!(running.ended()? == 4, "another code");
    Ok(())
}

#[test]
fn r3_a_new_one_that_ends_is_rolled_back() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder)?.listening()?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    two.each(&["open a tcp", &format!("bind a {addr}")])?;
    two.tell("exit 7")?;
    ensure!(reload.done()? == Err(ReloadError::Ended("exit code 7".to_owned())), "another outcome");
    serves(&mut one, addr, "one")?;
    ensure!(running.service.metrics().failed_reloads == 1, "{:?}", running.service.metrics());
    // The next attempt is as good as the first.
    let mut three = running.reloaded("127.0.0.1:0", 3)?;
    one.is_gone()?;
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r3_a_new_one_that_listens_and_dies_at_once_is_rolled_back() -> Result<()> {
    for _ in 0..10 {
        if dies_at_once()? {
            return Ok(());
        }
    }
    bail!("the machine is too slow");
}

/// `false` where the new one had to wait for a processor for so long that it passed as good.
fn dies_at_once() -> Result<bool> {
    let (running, mut one, addr) = Running::start(|builder| builder)?.listening()?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    // All of it is there to be read: nothing is waited for in between.
    two.tell("open a tcp\nbind a 127.0.0.1:0\nlisten a 16\nexit 7")?;
    match reload.done()? {
        Ok(2) => {
            one.is_gone()?;
            ensure!(running.ended()? == 7, "another code");
            return Ok(false);
        }
        outcome => ensure!(outcome == Err(ReloadError::Ended("exit code 7".to_owned())), "{outcome:?}"),
    }
    serves(&mut one, addr, "one")?;
    one.tell("exit 0")?;
    running.ended()?;
    Ok(true)
}

#[test]
fn r3_while_the_old_one_is_between_two_instances_the_new_one_must_listen_where_that_did() -> Result<()> {
    let (running, mut one, addr) =
        Running::start(|builder| builder.restart(Restart::OnFailure).ready_timeout(4 * MOMENT))?
            .listening()?;
    one.tell("exit 1")?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    two.tell("exit 1")?;
    running.restarted()?;
    ensure!(running.restarted()?.2 == Duration::from_millis(100), "another delay");
    // The one that begins first is the new generation, or not: neither listens.
    let reload = running.reload()?;
    let mut next = [running.next()?, running.next()?];
    ensure!(reload.done()? == Err(ReloadError::NotListening), "another outcome");
    let mut old = next.iter_mut().filter_map(|it| it.listen("a", &addr.to_string()).ok().map(|_| it));
    let old = old.next().context("the old one is gone")?;
    old.tell("exit 0")?;
    running.ended().map(drop)
}

/// A new one that has nowhere to listen is to live for a second.
#[test]
fn r3_a_new_one_of_an_old_one_that_has_not_listened_shows_by_its_life_that_it_is_good() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    let mut one = running.next()?;
    let reload = running.reload()?;
    running.next()?.tell("exit 7")?;
    ensure!(reload.done()? == Err(ReloadError::Ended("exit code 7".to_owned())), "another outcome");
    let reload = running.reload()?;
    let mut three = running.next()?;
    ensure!(reload.done()? == Ok(3), "another outcome");
    one.is_gone()?;
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r3_an_old_one_that_ends_for_good_leaves_its_place_to_one_that_lives() -> Result<()> {
    let running = Running::start(|builder| builder.ready_timeout(2 * MOMENT))?;
    let mut one = running.next()?;
    one.listen("a", "127.0.0.1:0")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    let begun = Instant::now();
    one.tell("exit 1")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    ensure!(begun.elapsed() > MOMENT, "it was ready after {:?}", begun.elapsed());
    two.tell("exit 4")?;
    ensure!(running.ended()? == 4, "another code");
    Ok(())
}

#[test]
fn r9_where_only_what_drains_is_left_whoever_comes_is_refused() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder)?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    let mut two = running.reloaded("127.0.0.1:0", 2)?;
    two.tell("exit 6")?;
    let ends = running.event(|event| match event {
        Event::ServiceEnds { why, generations } => Some((why.clone(), *generations)),
        _ => None,
    })?;
    ensure!(ends == ("exit code 6".to_owned(), 1), "{ends:?}");
    ensure!(is_refused(addr), "it lets clients in");
    let again = block_on(running.service.reload(guest()?));
    ensure!(again == Err(ReloadError::NotRunning), "{again:?}");
    one.expect("say kept one", "ok")?;
    one.tell("close kept")?;
    is_served(kept, "one")?;
    ensure!(running.ended()? == 6, "another code");
    Ok(())
}

#[test]
fn r3_after_a_while_one_listener_is_enough_and_none_is_not() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder.ready_timeout(MOMENT))?.listening()?;
    let other = one.listen("b", "127.0.0.1:0")?;
    let reload = running.reload()?;
    let mut two = running.next()?;
    ensure!(reload.done()? == Err(ReloadError::NotListening), "another outcome");
    two.is_gone()?;
    let mut three = running.reloaded(&addr.to_string(), 3)?;
    let missing = running.event(|event| match event {
        Event::Reloaded { generation: 3, missing } => Some(missing.clone()),
        _ => None,
    })?;
    ensure!(missing == [wasock::Address::from(other)], "{missing:?}");
    one.is_gone()?;
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r9_one_generation_more_than_may_be_ends_the_oldest() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder.max_generations(2))?.listening()?;
    let kept = running.kept_by(&mut one, addr)?;
    let _two = running.reloaded("127.0.0.1:0", 2)?;
    one.expect("poll a 50", "nothing")?;
    let reload = running.reload()?;
    is_reset(&kept)?;
    let cause = running.event(|event| match event {
        Event::DrainTimeout { generation: 1, cause, .. } => Some(*cause),
        _ => None,
    })?;
    ensure!(cause == DrainEnd::Generations, "{cause:?}");
    one.is_gone()?;
    let mut three = running.next()?;
    three.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(3), "another outcome");
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r9_a_reload_waits_for_the_one_before() -> Result<()> {
    let (running, _one, addr) = Running::start(|builder| builder)?.listening()?;
    let first = running.reload()?;
    let mut two = running.next()?;
    let second = running.reload()?;
    running.nobody_begins()?;
    two.listen("a", &addr.to_string())?;
    ensure!(first.done()? == Ok(2), "another outcome");
    let mut three = running.next()?;
    three.listen("a", &addr.to_string())?;
    ensure!(second.done()? == Ok(3), "another outcome");
    two.is_gone()?;
    three.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r11_a_sequential_reload_ends_the_old_one_first_and_clients_wait() -> Result<()> {
    let (running, mut one, addr) =
        Running::start(|builder| builder.reload_mode(ReloadMode::Sequential))?.listening()?;
    let reload = running.reload()?;
    // By SIGTERM, before the new one begins.
    one.is_gone()?;
    let client = connect(addr)?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    // One that fails is followed by the program before it.
    let reload = running.reload()?;
    two.is_gone()?;
    let client = connect(addr)?;
    running.next()?.tell("exit 5")?;
    ensure!(reload.done()? == Err(ReloadError::Ended("exit code 5".to_owned())), "another outcome");
    let mut again = running.next()?;
    again.listen("a", "127.0.0.1:0")?;
    again.expect("accept a again", "ok")?;
    is_served(client, "again")?;
    again.tell("exit 0")?;
    running.ended().map(drop)
}

/// What has not begun when a signal ends the programs does not begin after it.
#[test]
fn r11_a_signal_that_ends_the_old_one_ends_a_sequential_reload() -> Result<()> {
    // One that the guest ignores: it goes on with its connection.
    let sequential =
        |builder: ServiceBuilder| builder.reload_mode(ReloadMode::Sequential).drain_signal(Signal::Usr1);
    let (running, mut one, addr) = Running::start(sequential)?.listening()?;
    let _kept = running.kept_by(&mut one, addr)?;
    let reload = running.reload()?;
    let begun = Instant::now();
    while one.ask("poll a 0")? != "nothing" {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "it is not retired");
    }
    running.nobody_begins()?;
    running.service.signal(Signal::Term);
    one.is_gone()?;
    ensure!(reload.done()? == Err(ReloadError::NotRunning), "another outcome");
    ensure!(running.ended()? == 143, "another code");
    Ok(())
}

/// The one that starts would go on in the place of an old one that takes the signal for its end.
#[test]
fn r11_a_signal_that_ends_programs_ends_reloads_that_are_not_done() -> Result<()> {
    let (running, mut one, addr) = Running::start(|builder| builder)?.listening()?;
    let first = running.reload()?;
    let mut two = running.next()?;
    let second = running.reload()?;
    running.nobody_begins()?;
    // The guests ignore it, so that the old one shows that it lives on.
    running.service.signal(Signal::Int);
    ensure!(first.done()? == Err(ReloadError::NotRunning), "another outcome");
    ensure!(second.done()? == Err(ReloadError::NotRunning), "another outcome");
    two.is_gone()?;
    running.nobody_begins()?;
    serves(&mut one, addr, "one")?;
    one.tell("exit 0")?;
    running.ended().map(drop)
}
