//! Copies of a module whose start listens.

use super::*;
use std::fmt::Write as _;
use tempfile::TempDir;

/// A module that listens at `addr` in its start. What it reads it answers with three letters, `y` for yes: is the
/// listener that of its start, is it of no use to a copy, and does it close?
fn listening_at(addr: SocketAddr) -> Result<(TempDir, String)> {
    let [low, high] = addr.port().to_le_bytes();
    let mut at = String::from("\\01\\00");
    write!(at, "\\{low:02x}\\{high:02x}\\7f\\00\\00\\01")?;
    let text = format!(
        r#"(module
            (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
            (import "wasix_32v1" "sock_bind" (func $bind (param i32 i32) (result i32)))
            (import "wasix_32v1" "sock_listen" (func $listen (param i32 i32) (result i32)))
            (import "wasix_32v1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasix_32v1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasix_32v1" "fd_close" (func $close (param i32) (result i32)))
            (memory (export "memory") 1)
            (global $listener (mut i32) (i32.const -2))
            (data (i32.const 0) "{at}")
            (data (i32.const 32) "\00\04\00\00")
            (func $must (param i32) (if (local.get 0) (then unreachable)))
            (func $say (param $at i32) (param $is i32)
                (i32.store8 (local.get $at) (select (i32.const 121) (i32.const 110) (local.get $is))))
            (func (export "_initialize")
                (call $must (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 16)))
                (call $must (call $bind (i32.load (i32.const 16)) (i32.const 0)))
                (call $must (call $listen (i32.load (i32.const 16)) (i32.const 128))))
            (func (export "wasock_on_accept") (param $listener i32) (param $fd i32)
                (global.set $listener (local.get $listener)))
            (func (export "wasock_on_readable") (param $fd i32)
                (i32.store (i32.const 36) (i32.const 64))
                (if (call $read (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40)) (then (return)))
                (if (i32.eqz (i32.load (i32.const 40))) (then (return)))
                (call $say (i32.const 1024) (i32.eq (global.get $listener) (i32.load (i32.const 16))))
                (call $say (i32.const 1025) (call $listen (global.get $listener) (i32.const 8)))
                (call $say (i32.const 1026) (i32.eqz (call $close (global.get $listener))))
                (i32.store (i32.const 36) (i32.const 3))
                (drop (call $write (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40))))
            (func (export "wasock_on_closed") (param $fd i32) (drop (call $close (local.get $fd)))))"#
    );
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("listens.wat");
    std::fs::write(&path, text)?;
    let path = path.to_str().context("a path")?.to_owned();
    Ok((folder, path))
}

fn start(listener: TcpListener, module: &str) -> Result<(Service, JoinHandle<wasmtime::Result<Ended>>)> {
    let ctx = WasockCtx::builder().listen(&"127.0.0.1:*".parse()?);
    let builder = Service::builder(ctx).connection_as(ConnectionAs::Event);
    let service = builder.per_connection(listener)?.build()?;
    let (runs, guest) = (service.clone(), guest_to_copy(module)?);
    Ok((service, thread::spawn(move || block_on(runs.run(guest)))))
}

#[test]
fn w7_a_listener_that_the_start_leaves_open_is_the_services() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let (_folder, module) = listening_at(addr)?;
    let (service, thread) = start(listener, &module)?;
    let is_served = || -> Result<()> {
        let mut client = Client::connect(addr, "?")?;
        let mut answer = [0; 3];
        client.0.read_exact(&mut answer)?;
        ensure!(&answer == b"yyy", "{:?}", String::from_utf8_lossy(&answer));
        Ok(())
    };
    // What one copy does to its listener no other one feels.
    for _ in 0..3 {
        is_served()?;
    }
    // The next generation listens there beside the running one.
    let (reloads, next) = (service.clone(), guest_to_copy(&module)?);
    let reloaded =
        thread::spawn(move || block_on(reloads.reload(next))).join().ok().context("it panicked")?;
    ensure!(reloaded == Ok(2), "{reloaded:?}");
    is_served()?;
    ensure!(service.held_listeners() == 0, "it is still lent");
    service.drain();
    let ended = thread.join().ok().context("it panicked")?.map_err(plain)?;
    ensure!(ended.code == 0 && TcpStream::connect(addr).is_err(), "{ended:?}");
    Ok(())
}

#[test]
fn w7_a_start_that_listens_elsewhere_is_told_to_name_it() -> Result<()> {
    let elsewhere = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (_folder, module) = listening_at(elsewhere)?;
    let (_service, thread) = start(TcpListener::bind("127.0.0.1:0")?, &module)?;
    let why = thread.join().ok().context("it panicked")?.err().context("it ran")?.to_string();
    let said = format!("listens at {elsewhere}, where the service takes no connections");
    ensure!(why.contains(&said) && why.contains(&format!("--per-connection {elsewhere}")), "{why}");
    Ok(())
}
