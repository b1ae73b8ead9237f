//! R1: an instance that has ended is started anew.

use super::*;

#[test]
fn r1_a_failure_starts_the_guest_anew_and_nobody_is_refused() -> Result<()> {
    let (running, mut one, addr) =
        Running::start(|builder| builder.restart(Restart::OnFailure))?.listening()?;
    let client = connect(addr)?;
    one.tell("exit 3")?;
    ensure!(running.restarted()? == (0, "exit code 3".to_owned(), Duration::ZERO), "another event");
    let mut two = running.next()?;
    // By the port of its own choice, as the one before had it.
    ensure!(two.listen("a", "127.0.0.1:0")? == addr, "another port");
    two.expect("accept a two", "ok")?;
    is_served(client, "two")?;
    // A trap, after which it waits for a moment.
    let client = connect(addr)?;
    two.tell("unreachable")?;
    let (_, why, after) = running.restarted()?;
    ensure!(why.contains("unreachable") && after == Duration::from_millis(100), "{why} {after:?}");
    let mut three = running.next()?;
    three.listen("a", &addr.to_string())?;
    three.expect("accept a three", "ok")?;
    is_served(client, "three")?;
    ensure!(running.service.metrics().restarts == 2, "{:?}", running.service.metrics());
    // No failure.
    three.tell("exit 0")?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn r1_the_connections_that_end_with_an_instance_are_reported() -> Result<()> {
    let (running, mut one, addr) =
        Running::start(|builder| builder.restart(Restart::OnFailure))?.listening()?;
    let _kept = running.kept_by(&mut one, addr)?;
    // It waits in the queue, which the next instance has.
    let waits = connect(addr)?;
    one.tell("unreachable")?;
    let ended = running.event(|event| match event {
        Event::InstanceRestarted { connections, .. } => Some(*connections),
        _ => None,
    })?;
    ensure!(ended == 1, "{ended} connections ended");
    let mut two = running.next()?;
    two.listen("a", &addr.to_string())?;
    two.expect("accept a two", "ok")?;
    is_served(waits, "two")?;
    two.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn r1_never_and_always() -> Result<()> {
    let running = Running::start(|builder| builder)?;
    running.next()?.tell("exit 3")?;
    ensure!(running.ended()? == 3, "another code");
    let running = Running::start(|builder| builder.restart(Restart::Always))?;
    running.next()?.tell("exit 0")?;
    ensure!(running.restarted()?.1 == "exit code 0", "another event");
    let mut two = running.next()?;
    running.service.drain();
    two.is_gone()?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn r1_a_signal_that_a_guest_lives_on_with_leaves_restarts_on() -> Result<()> {
    let (running, mut one, addr) =
        Running::start(|builder| builder.restart(Restart::OnFailure))?.listening()?;
    running.service.signal(Signal::Usr1);
    running.service.signal(Signal::Int);
    one.expect("poll a 50", "nothing")?;
    one.tell("unreachable")?;
    ensure!(running.restarted()?.0 == 0, "another worker");
    let mut two = running.next()?;
    two.listen("a", &addr.to_string())?;
    // What it ends does not start anew.
    running.service.signal(Signal::Term);
    two.is_gone()?;
    ensure!(running.ended()? == 143, "another code");
    Ok(())
}

#[test]
fn r1_workers_that_are_still_to_start_do_so_after_a_signal() -> Result<()> {
    let running = Running::start(|builder| builder.workers(2))?;
    let mut one = running.next()?;
    running.service.signal(Signal::Int);
    running.service.signal(Signal::Usr1);
    one.listen("a", "127.0.0.1:0")?;
    let mut two = running.next()?;
    two.listen("a", "127.0.0.1:0")?;
    running.service.terminate();
    running.thread.join().ok().context("it panicked")?.map(drop).err().context("no order").map(drop)
}

/// One that ends under `Restart::Never` is told of.
#[test]
fn r1_a_worker_that_stays_ended_is_reported() -> Result<()> {
    let (running, mut one, mut two, _) = two_workers(|builder| builder)?;
    two.tell("exit 3")?;
    let ended = running.event(|event| match event {
        Event::InstanceEnded { generation, worker, why, left, .. } => {
            Some((*generation, *worker, why.clone(), *left))
        }
        _ => None,
    })?;
    ensure!(ended == (1, 1, "exit code 3".to_owned(), 1), "{ended:?}");
    one.tell("exit 0")?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn r1_five_short_lives_end_the_service_with_the_guests_code() -> Result<()> {
    let running = Running::start(|builder| builder.restart(Restart::OnFailure))?;
    for _ in 0..5 {
        running.next()?.tell("exit 9")?;
    }
    ensure!(running.ended()? == 9, "another code");
    Ok(())
}

#[test]
fn r1_a_worker_that_fails_again_and_again_ends_nothing_while_another_is_well() -> Result<()> {
    let (running, mut one, mut two, addr) = two_workers(|builder| builder.restart(Restart::OnFailure))?;
    two.tell("exit 9")?;
    for _ in 0..4 {
        running.next()?.tell("exit 9")?;
    }
    let fails = running.event(|event| match event {
        Event::WorkerFails { generation, worker, instances, after } => {
            Some((*generation, *worker, *instances, *after))
        }
        _ => None,
    })?;
    ensure!(fails == (1, 1, 5, Duration::from_secs(10)), "{fails:?}");
    ensure!(running.restarted()?.2 == Duration::from_secs(10), "another delay");
    serves(&mut one, addr, "one")?;
    running.service.drain();
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}
