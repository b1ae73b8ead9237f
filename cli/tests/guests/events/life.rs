//! The life of a guest with handlers, from its start to its end.

use super::*;

#[test]
fn a_guest_ends_when_nothing_can_happen() -> Result<()> {
    let (mut server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    // One has ended, and the guest keeps its descriptor.
    let mut kept = Client::connect(addr)?;
    let fd = kept.fd()?;
    client.expect(&format!("appetite {fd} 0"), "done")?;
    drop(kept);
    client.until(&format!("client {fd}"), "1 1")?;
    // Its listener gone, it goes on for the client that it has.
    client.expect("close 3", "done")?;
    ensure!(TcpStream::connect(addr).is_err(), "a listener is there");
    client.expect("echo hello", "hello")?;
    ensure!(server.is_running()?, "the server has ended:\n{}", server.stderr());
    drop(client);
    server.finish()?.expect_code(0).map(drop)
}

#[test]
fn a_module_with_handlers_and_nothing_open_ends() -> Result<()> {
    for start in ["", r#"(func (export "_initialize"))"#, r#"(func (export "_start"))"#] {
        let handlers = r#"(func (export "wasock_on_accept") (param i32 i32))"#;
        let (_folder, path) = module(&format!("(module {start} {handlers})"))?;
        run().arg(path).succeed()?;
    }
    // A listener without a handler is nothing to wait for.
    let (_folder, path) = listening_module(r#"(func (export "wasock_on_readable") (param i32))"#)?;
    run_on_loopback().arg(path).succeed()?;
    let (_folder, path) = listening_module("")?;
    run_on_loopback().arg(path).succeed().map(drop)
}

#[test]
fn a_handler_of_another_type_is_refused() -> Result<()> {
    for wrong in [
        r#"(func (export "wasock_on_accept") (param i32))"#,
        r#"(func (export "wasock_on_listen") (param i32 i32) (result i32) (i32.const 0))"#,
        r#"(func (export "wasock_on_readable") (param i64))"#,
        r#"(global (export "wasock_on_closed") i32 (i32.const 0))"#,
    ] {
        let (_folder, path) = listening_module(wrong)?;
        let finished = run_on_loopback().arg(path).finish()?.expect_code(1)?.expect_one_line()?;
        let name = wrong.split('"').nth(1).context("no name")?;
        finished.expect_stderr(&format!("exports {name}, but not as the host calls it"))?;
    }
    Ok(())
}

#[test]
fn a_handler_ends_the_guest_with_its_code() -> Result<()> {
    let (server, addr) = start(run_on_loopback().args(["--on-trap", "restart"]))?;
    Client::connect(addr)?.send(b"exit 7\n")?;
    server.finish()?.expect_code(7)?.expect_no_stderr("trapped").map(drop)
}

#[test]
fn a_slow_handler_makes_others_wait_and_loses_nothing() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut slow = Client::connect(addr)?;
    let mut other = Client::connect(addr)?;
    other.expect("echo hello", "hello")?;
    slow.send(b"slow 300\n")?;
    let mut late = Client::connect(addr)?;
    late.send(b"echo late\n")?;
    other.send(b"echo other\n")?;
    ensure!(other.answer()? == "other" && late.answer()? == "late", "another answer");
    ensure!(slow.answer()? == "done", "another answer");
    lives_on(server, addr).map(drop)
}

#[test]
fn a_signal_ends_a_handler() -> Result<()> {
    for line in ["spin", "slow 60000"] {
        let (server, addr) = start(run_on_loopback().args(["--on-trap", "restart"]))?;
        let mut client = Client::connect(addr)?;
        // Once it is reported, the handler runs.
        client.send(b"echo hello\n")?;
        client.answer()?;
        client.send(format!("{line}\n").as_bytes())?;
        let mut server = server;
        server.wait_for_stdout("readable 4")?;
        server.stop()?.expect_no_stderr("trapped")?;
    }
    Ok(())
}

#[test]
fn a_guest_without_events_uses_no_processor() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let mut idle = Vec::new();
    for number in 0..100 {
        let mut other = Client::connect(addr)?;
        let fd = other.fd()?;
        // Some have sent what is never read, some have ended what is never closed.
        if number % 2 == 0 {
            client.expect(&format!("appetite {fd} 0"), "done")?;
            other.send(b"unread")?;
            client.until(&format!("client {fd}"), "2 0")?;
        }
        if number % 4 == 0 {
            other.stream.get_ref().shutdown(Shutdown::Write)?;
            client.until(&format!("client {fd}"), "2 1")?;
        }
        idle.push(other);
    }
    let before = server.processor_time()?;
    std::thread::sleep(Duration::from_secs(2));
    let used = server.processor_time()? - before;
    // One busy thread would take ten times as much, on half a processor.
    ensure!(used < Duration::from_millis(100), "{used:?} of processor time");
    lives_on(server, addr).map(drop)
}

#[test]
fn calls_of_handlers_are_traced() -> Result<()> {
    let (server, addr) = start(run_on_loopback().arg("--trace"))?;
    Client::connect(addr)?.expect("echo hello", "hello")?;
    server.stop()?.expect_stderr("sock_recv(fd=4, ")?.expect_stderr("sock_send(fd=4, ").map(drop)
}

#[test]
fn inspect_names_the_handlers() -> Result<()> {
    let finished = crate::wasock().args(["inspect", guest_tests::EVENT_ECHO]).succeed()?;
    let handlers = "handlers of events: wasock_on_accept, wasock_on_readable, wasock_on_closed\n";
    finished.expect_stdout(handlers)?;
    let finished = crate::wasock().args(["inspect", guest_tests::TRAP]).succeed()?;
    finished.expect_stdout("handlers of events: none\n").map(drop)
}
