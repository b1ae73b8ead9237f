//! W1 and W2: several equal instances.

use super::*;

#[test]
fn w1_workers_serve_at_the_same_sockets() -> Result<()> {
    let (running, mut one, mut two, addr) = two_workers(|builder| builder)?;
    let clients: Vec<_> = (0..8).map(|_| connect(addr)).collect::<Result<_>>()?;
    for _ in 0..4 {
        one.expect("accept a w", "ok")?;
        two.expect("accept a w", "ok")?;
    }
    clients.into_iter().try_for_each(|client| is_served(client, "w"))?;
    // A reload replaces both.
    let reload = running.reload()?;
    let mut three = running.next()?;
    three.listen("a", "127.0.0.1:0")?;
    let mut four = running.next()?;
    four.listen("a", "127.0.0.1:0")?;
    ensure!(reload.done()? == Ok(2), "another outcome");
    one.is_gone()?;
    two.is_gone()?;
    three.tell("exit 0")?;
    four.tell("exit 0")?;
    running.ended().map(drop)
}

#[test]
fn w1_a_worker_gets_what_another_one_has_bound_and_not_listened_at_yet() -> Result<()> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let running = Running::start(|builder| builder.workers(2))?;
    let mut one = running.next()?;
    one.listen("a", "127.0.0.1:0")?;
    one.each(&["open b tcp", &format!("bind b {free}")])?;
    let mut two = running.next()?;
    two.each(&["open b tcp", &format!("bind b {free}"), "listen b 16"])?;
    let client = connect(free)?;
    two.expect("accept b two", "ok")?;
    is_served(client, "two")?;
    one.expect("listen b 16", "ok")?;
    let client = connect(free)?;
    one.expect("accept b one", "ok")?;
    is_served(client, "one")?;
    // It is one held socket, and a reload gets it.
    let reload = running.reload()?;
    let mut next = [running.next()?, running.next()?];
    for worker in &mut next {
        worker.listen("a", "127.0.0.1:0")?;
        worker.listen("b", &free.to_string())?;
    }
    ensure!(reload.done()? == Ok(2), "another outcome");
    running.service.drain();
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}

#[test]
fn w2_a_failure_is_that_workers_own() -> Result<()> {
    let (running, mut one, mut two, addr) = two_workers(|builder| builder.restart(Restart::OnFailure))?;
    two.tell("unreachable")?;
    ensure!(running.restarted()?.0 == 1, "another worker");
    serves(&mut one, addr, "one")?;
    let mut three = running.next()?;
    three.listen("a", "127.0.0.1:0")?;
    serves(&mut three, addr, "three")?;
    one.tell("exit 0")?;
    // The other one goes on alone.
    serves(&mut three, addr, "three")?;
    three.tell("exit 2")?;
    let mut four = running.next()?;
    four.tell("exit 0")?;
    ensure!(running.ended()? == 0, "another code");
    Ok(())
}
