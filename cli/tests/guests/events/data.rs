//! Events for data, and for the end of a connection.

use super::*;

#[test]
fn data_that_is_left_is_reported_again_when_more_comes() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let (mut client, mut other) = (Client::connect(addr)?, Client::connect(addr)?);
    let fd = other.fd()?;
    client.expect(&format!("appetite {fd} 0"), "done")?;
    for calls in 2..5 {
        other.send(b"more,")?;
        client.until(&format!("client {fd}"), &format!("{calls} 0"))?;
        // Others are served meanwhile, and it is not reported again.
        for _ in 0..20 {
            client.expect("echo hello", "hello")?;
        }
        client.expect(&format!("client {fd}"), &format!("{calls} 0"))?;
    }
    // Another handler reads it.
    client.expect(&format!("read {fd}"), "more,more,more,")?;
    client.expect(&format!("client {fd}"), "4 0")?;
    other.send(b"x")?;
    client.until(&format!("client {fd}"), "5 0")?;
    // The end is reported although that was never read, once, and the descriptor is still open.
    drop(other);
    client.until(&format!("client {fd}"), "5 1")?;
    for _ in 0..20 {
        client.expect("echo hello", "hello")?;
    }
    client.expect(&format!("client {fd}"), "5 1")?;
    client.expect(&format!("read {fd}"), "x")?;
    client.expect(&format!("close {fd}"), "done")?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_handler_that_reads_a_part_is_called_for_the_rest() -> Result<()> {
    let (mut server, addr) = start(run_on_loopback())?;
    let (mut client, mut other) = (Client::connect(addr)?, Client::connect(addr)?);
    let fd = other.fd()?;
    client.expect(&format!("appetite {fd} 3"), "done")?;
    other.send(b"0123456789")?;
    client.until(&format!("client {fd}"), "5 0")?;
    // All of it is read before the end is reported.
    other.send(b"abcdefgh")?;
    drop(other);
    client.until("counts", "2 1 1")?;
    server.wait_for_stdout(&format!("closed {fd}"))?;
    let told = events(&server.stdout(), &["readable", "closed"]);
    let of_it: Vec<&str> = told.iter().filter_map(|told| told.strip_suffix(&format!(" {fd}"))).collect();
    let mut expected = vec!["readable"; 8];
    expected.push("closed");
    ensure!(of_it == expected, "{of_it:?}");
    lives_on(server, addr).map(drop)
}

#[test]
fn a_peer_that_ends_its_side_is_answered_first() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut client = Client::connect(addr)?;
    client.send(b"echo last\n")?;
    client.stream.get_ref().shutdown(Shutdown::Write)?;
    ensure!(client.answer()? == "last", "another answer");
    client.expect_end()?;
    // Nothing said at all.
    let mut silent = Client::connect(addr)?;
    silent.stream.get_ref().shutdown(Shutdown::Write)?;
    silent.expect_end()?;
    lives_on(server, addr).map(drop)
}

#[test]
fn a_peer_that_resets_is_reported() -> Result<()> {
    let (server, addr) = start(run_on_loopback())?;
    let mut watcher = Client::connect(addr)?;
    for round in 1..=100 {
        let mut client = Client::connect(addr)?;
        match round % 4 {
            // Before, while or after it is accepted.
            0 => {}
            1 => client.send(b"echo hel")?,
            2 => client.expect("echo hello", "hello")?,
            _ => client.send(&b"echo hello\n".repeat(50))?,
        }
        client.reset()?;
    }
    // Those that were reset while they waited may not have been accepted.
    let deadline = Instant::now() + WAIT_TIMEOUT;
    loop {
        let counts = watcher.ask("counts")?;
        let counts: Vec<u32> = counts.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        if let [accepted, closed, 1] = counts.as_slice()
            && *accepted == closed + 1
        {
            break;
        }
        ensure!(Instant::now() < deadline, "{counts:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    lives_on(server, addr).map(drop)
}

#[test]
fn without_a_handler_for_it_the_end_is_readable() -> Result<()> {
    // Counts its calls, and ends with the count once a read answers 0 bytes.
    let (_folder, path) = listening_module(
        r#"(func (export "wasock_on_accept") (param i32 i32))
           (func (export "wasock_on_readable") (param i32)
             (i32.store (i32.const 44) (i32.add (i32.load (i32.const 44)) (i32.const 1)))
             (call $must (call $read (local.get 0) (i32.const 32) (i32.const 1) (i32.const 40)))
             (if (i32.eqz (i32.load (i32.const 40))) (then (call $exit (i32.load (i32.const 44))))))"#,
    )?;
    let mut server = run_on_loopback().arg(path).start()?;
    let mut client = TcpStream::connect(server.listening()?)?;
    // One and a half buffers: reported twice, and the end is the third.
    client.write_all(&[1; 96])?;
    client.shutdown(Shutdown::Write)?;
    server.finish()?.expect_code(3).map(drop)
}

#[test]
fn the_end_is_reported_to_a_guest_that_never_reads() -> Result<()> {
    let (_folder, path) = listening_module(
        r#"(func (export "wasock_on_accept") (param i32 i32))
           (func (export "wasock_on_closed") (param i32) (call $exit (local.get 0)))"#,
    )?;
    let mut server = run_on_loopback().arg(path).start()?;
    let mut client = TcpStream::connect(server.listening()?)?;
    client.write_all(b"unread")?;
    ensure!(server.is_running()?, "it ended too soon");
    drop(client);
    server.finish()?.expect_code(4).map(drop)
}

#[test]
fn connections_without_a_handler_are_only_accepted() -> Result<()> {
    let (_folder, path) = listening_module(
        r#"(func (export "wasock_on_accept") (param i32 i32)
             (i32.store (i32.const 44) (i32.add (i32.load (i32.const 44)) (i32.const 1)))
             (if (i32.eq (i32.load (i32.const 44)) (i32.const 3))
               (then (call $must (call $close (i32.load (i32.const 16)))))))"#,
    )?;
    let mut server = run_on_loopback().arg(path).start()?;
    let addr = server.listening()?;
    let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(addr)).collect::<Result<_, _>>()?;
    // The third one closes the listener; the connections are no reason to stay.
    server.finish()?.expect_code(0)?;
    drop(clients);
    Ok(())
}
