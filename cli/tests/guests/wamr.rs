//! Programs for WAMR: on a guest library that asks for what WAMR's own C library asks for.

use super::threads::wait_for_guest_threads;
use super::wasi_threads::forms;
use super::{run, run_on_loopback};
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Client, WAMR_LIBRARY, Wasock};
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A listener and connections that are watched by `poll_oneoff`; the trace has the names of the dialect.
#[test]
pub(crate) fn wamr_library() -> Result<()> {
    let mut guest = run_on_loopback().args(["--trace", WAMR_LIBRARY, "tcp", "127.0.0.1:0"]).start()?;
    let addr = guest.listening()?;
    let (mut first, mut second) = (Client::connect(addr)?, Client::connect(addr)?);
    for (client, text) in [(&mut second, "second"), (&mut first, "first")] {
        client.say(text)?;
        client.hears(text)?;
    }
    drop(first);
    second.say("end")?;
    second.hears("end")?;
    let finished = guest.finish()?.expect_code(0)?;
    let traced = finished
        .expect_stdout(&format!("serves {addr}\n"))?
        .expect_stderr("sock_open(pool=4294967295, af=0, socktype=1) = 0 fd=3")?
        .expect_stderr("sock_bind(fd=3, addr=127.0.0.1:0) = 0")?
        .expect_stderr(&format!("sock_addr_local(fd=3) = 0 addr={addr}"))?;
    traced
        .expect_stderr("sock_addr_remote(fd=4) = 0 addr=127.0.0.1:")?
        .expect_stderr("sock_close(fd=4) = 0")?;
    Ok(())
}

#[test]
fn a_client_of_the_library_is_answered() -> Result<()> {
    let native = TcpListener::bind("127.0.0.1:0")?;
    let addr = native.local_addr()?.to_string();
    let guest = run().args(["--connect", &addr, WAMR_LIBRARY, "connect", &addr]).start()?;
    let (mut connection, _) = native.accept()?;
    connection.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    connection.write_all(text.as_bytes())?;
    drop(connection);
    let finished = guest.finish()?.expect_code(0)?.expect_stdout("answer: hello\n")?;
    // EBADF, and ENOTSOCK.
    let finished = finished.expect_stdout("closed again: Err(Some(8))\n")?;
    finished.expect_stdout("closed what is no socket: Err(Some(57))\n")?;
    Ok(())
}

#[test]
fn datagrams_of_the_library_go_back_to_their_senders() -> Result<()> {
    let addresses = if super::has_ipv6() { &["127.0.0.1:0", "[::1]:0"][..] } else { &["127.0.0.1:0"] };
    for at in addresses {
        let mut guest = run().args(["--udp-bind", at, WAMR_LIBRARY, "udp", at]).start()?;
        let addr = guest.bound()?;
        let client = UdpSocket::bind(at)?;
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        for text in ["hello", "end"] {
            client.send_to(text.as_bytes(), addr)?;
            guest.wait_for_stdout(&format!("{} bytes from {}", text.len(), client.local_addr()?))?;
            let mut buf = [0; 16];
            let (count, _) = client.recv_from(&mut buf)?;
            ensure!(buf.get(..count) == Some(text.as_bytes()), "{buf:?}");
        }
        guest.finish()?.expect_code(0)?;
    }
    Ok(())
}

/// What the resolver finds of a host and a service, for any kind and family, or for one of each.
fn looked_up(host: Wasock, args: &[&str]) -> Result<guest_tests::Finished> {
    host.args([WAMR_LIBRARY, "resolve"]).args(args).succeed()
}

#[test]
fn names_are_looked_up_as_they_are_granted() -> Result<()> {
    const STREAM: &str = "1";
    const INET4: &str = "0";
    // An address needs no resolver, and so no grant; it is one for each kind of sockets.
    let both = looked_up(run(), &["192.0.2.7", "https"])?;
    both.expect_stdout("found 192.0.2.7:443 1\nfound 192.0.2.7:443 0\n")?;
    let six = looked_up(run(), &["fe80::3ba2", "", STREAM, "2"])?;
    ensure!(six.stdout == "found [fe80::3ba2]:0 1\n", "{six}");
    let none = looked_up(run(), &["192.0.2.7", "", STREAM, "1"])?;
    ensure!(none.stdout == "no address\n", "{none}");
    let own = looked_up(run(), &["", "8080", STREAM, INET4])?;
    ensure!(own.stdout == "found 127.0.0.1:8080 1\n", "{own}");
    let granted = run().args(["--resolve", "localhost"]);
    let localhost = looked_up(granted, &["localhost", "8080", STREAM, INET4])?;
    ensure!(localhost.stdout == "found 127.0.0.1:8080 1\n", "{localhost}");
    // EACCES, and which flag would help.
    let denied = looked_up(run(), &["localhost", "8080"])?.expect_stdout("error Some(2)\n")?;
    denied.expect_stderr("denied sock_addr_resolve of localhost")?.expect_stderr("--resolve localhost")?;
    // EINVAL for what is no service, no kind and EAFNOSUPPORT for no family.
    looked_up(run(), &["192.0.2.7", "no-such"])?.expect_stdout("error Some(28)\n")?;
    looked_up(run(), &["192.0.2.7", "", "2", INET4])?.expect_stdout("error Some(28)\n")?;
    looked_up(run(), &["192.0.2.7", "", STREAM, "3"])?.expect_stdout("error Some(5)\n")?;
    // ENAMETOOLONG.
    looked_up(run(), &[&"x".repeat(256), "80"])?.expect_stdout("error Some(37)\n")?;
    let traced = looked_up(run().arg("--trace"), &["192.0.2.7", "http"])?;
    traced.expect_stderr("sock_addr_resolve(host=\"192.0.2.7\", service=\"http\", hints=")?;
    Ok(())
}

/// The guest library makes "no such name" of an answer without addresses. Names below `invalid` are none.
#[test]
fn a_name_that_does_not_exist_has_no_address() -> Result<()> {
    let finished = looked_up(run().args(["--resolve", "*"]), &["host.invalid", "80"])?;
    // EAGAIN, where this machine has nobody to ask.
    let is_right = matches!(&*finished.stdout, "no address\n" | "error Some(6)\n");
    ensure!(is_right, "{finished}");
    Ok(())
}

#[test]
fn options_of_the_library_are_set_and_read() -> Result<()> {
    let finished = run_on_loopback().args([WAMR_LIBRARY, "options", "127.0.0.1:0"]).succeed()?;
    let finished = finished.expect_stdout("idle 0: Err(Some(28))\n")?;
    finished.expect_stdout("below 0: Err(Some(28))\n")?.expect_stdout("done\n")?;
    Ok(())
}

/// A thread for each connection, in each form of the memory: WAMR's own samples have one of their own.
#[test]
pub(crate) fn wamr_threads() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for program in forms(guest_tests::WAMR_THREADS, folder.path())? {
        let serves = || -> Result<()> {
            let mut host = run_on_loopback().arg(&program).start()?;
            let addr = host.listening()?;
            let mut clients = (0..20).map(|_| Client::connect(addr)).collect::<Result<Vec<_>>>()?;
            for (number, client) in clients.iter_mut().enumerate() {
                client.say(&format!("of {number}\n"))?;
            }
            for (number, client) in clients.iter_mut().enumerate().rev() {
                client.hears(&format!("of {number}\n"))?;
            }
            wait_for_guest_threads(&host, 21)?;
            drop(clients);
            wait_for_guest_threads(&host, 1)?;
            host.stop().map(drop)
        };
        serves().with_context(|| program.clone())?;
    }
    Ok(())
}

#[test]
fn inspect_names_the_import_that_told() -> Result<()> {
    let inspect = |args: &[&str]| super::wasock().arg("inspect").args(args).succeed();
    inspect(&[WAMR_LIBRARY])?.expect_stdout("dialect: WAMR: it imports wasi_snapshot_preview1.sock_")?;
    let json = inspect(&["--format", "json", WAMR_LIBRARY])?;
    json.expect_stdout("\"dialect\": \"wamr\"")?.expect_stdout("\"generation\": null")?;
    let folder = tempfile::tempdir()?;
    let [.., own] = forms(guest_tests::WAMR_THREADS, folder.path())?;
    let own = inspect(&[&own])?.expect_stdout("memory: its own, shared and exported\n")?;
    own.expect_stdout("threads: it may start some\n")?
        .expect_stdout("missing (the module does not start): 0\n")?;
    Ok(())
}

#[test]
fn a_module_of_wamr_and_wasmedge_does_not_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("mixed.wat");
    std::fs::write(
        &path,
        r#"(module
            (import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sock_getaddrinfo"
                (func (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")))"#,
    )?;
    let said = "mixes dialects: it imports wasi_snapshot_preview1.sock_getaddrinfo as WasmEdge has it, and \
                wasi_snapshot_preview1.sock_open as WAMR has it";
    for command in [run(), super::wasock().arg("inspect")] {
        command.arg(path.display().to_string()).start()?.finish()?.expect_stderr(said)?;
    }
    Ok(())
}

/// A listener that is handed over needs no `sock_open`: what is left tells WAMR where it may be nobody else's.
#[test]
fn a_handed_listener_is_listened_to_by_its_call() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("listens.wat");
    std::fs::write(
        &path,
        r#"(module
            (import "wasi_snapshot_preview1" "sock_listen" (func $listen (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (call $listen (i32.const 3) (i32.const 4)))))"#,
    )?;
    let host = run().args(["--preopen-listen", "127.0.0.1:0"]).arg(path.display().to_string());
    host.start()?.finish()?.expect_code(0).map(drop)
}
