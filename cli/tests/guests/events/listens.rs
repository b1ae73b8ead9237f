//! Listeners of a guest with handlers, and their connections.

use super::*;

#[test]
fn a_listen_is_reported_before_its_connections() -> Result<()> {
    let mut server = run_on_loopback().args([guest_tests::EVENT_SERVER, "127.0.0.1:0", "print"]).start()?;
    // The connection is there before the start has returned, perhaps.
    let mut client = Client::connect(server.listening()?)?;
    client.expect("echo hello", "hello")?;
    let answer = client.ask("listen")?;
    let (listener, addr) = answer.split_once(' ').context("no address")?;
    Client::connect(addr.parse()?)?.expect("echo hello", "hello")?;
    let stdout = server.stop()?.stdout;
    let told = events(&stdout, &["started", "listen", "accept"]);
    let expected = ["started", "listen 3 0", "accept 3 4", &format!("listen {listener} 0")];
    ensure!(told.iter().zip(expected).all(|(told, expected)| told == expected), "{told:?}");
    ensure!(told.get(4).is_some_and(|told| told.starts_with(&format!("accept {listener} "))), "{told:?}");
    Ok(())
}

#[test]
fn a_listen_that_fails_is_reported() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    client.expect("listen_again 0 1", "ENOTSOCK")?;
    client.expect("listen_again 999 1", "EBADF")?;
    let unbound = client.ask("open")?;
    client.expect(&format!("listen_again {unbound} 1"), "EINVAL")?;
    client.expect("listen_again 3 7", "done")?;
    client.expect("listens", &format!("[(3, 0), (0, 57), (999, 8), ({unbound}, 28), (3, 0)]"))?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_listen_that_failed_in_the_start_is_reported() -> Result<()> {
    let (_folder, path) = module(
        r#"(module
          (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
          (import "wasix_32v1" "sock_listen" (func $listen (param i32 i32) (result i32)))
          (import "wasix_32v1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "_start")
            (drop (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 16)))
            (drop (call $listen (i32.load (i32.const 16)) (i32.const 1))))
          (func (export "wasock_on_listen") (param i32 i32)
            (call $exit (i32.add (i32.mul (local.get 0) (i32.const 50)) (local.get 1)))))"#,
    )?;
    // Descriptor 3, and the number of EINVAL.
    run_on_loopback().arg(path).finish()?.expect_code(3 * 50 + 28).map(drop)
}

#[test]
fn a_handler_opens_and_closes_a_listener() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    let answer = client.ask("listen")?;
    let (listener, second) = answer.split_once(' ').context("no address")?;
    let second: SocketAddr = second.parse()?;
    let mut other = Client::connect(second)?;
    other.expect("echo hello", "hello")?;
    client.expect(&format!("close {listener}"), "done")?;
    ensure!(TcpStream::connect(second).is_err(), "a listener is there");
    other.expect("echo hello", "hello")?;
    lives_on(server, addr).map(drop)
}

#[test]
fn the_policy_is_asked_for_each_peer() -> Result<()> {
    let wasock = run().args(["--listen", "127.0.0.1:*", "--accept-from", "192.0.2.0/24"]);
    let (mut server, addr) = start(wasock)?;
    for _ in 0..3 {
        let answer = Client::connect(addr).and_then(|mut client| client.ask("echo hello"));
        ensure!(answer.is_err(), "a stranger was served: {answer:?}");
    }
    ensure!(server.is_running()?, "the server has ended:\n{}", server.stderr());
    let finished = server.stop()?.expect_stderr("--accept-from 127.0.0.1")?;
    ensure!(events(&finished.stdout, &["accept"]).is_empty(), "{finished}");
    Ok(())
}
