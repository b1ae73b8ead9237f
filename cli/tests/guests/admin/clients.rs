//! Clients of the admin socket that are not what they should be, and where it may be.

use super::{Site, WAIT_TIMEOUT, ask, at, exchange, run_on_loopback, wasock};
use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Instant;

/// A server whose operators are answered over TCP, with its token.
struct TcpSite {
    _folder: tempfile::TempDir,
    running: guest_tests::Running,
    at: SocketAddr,
    token_file: PathBuf,
}

fn over_tcp() -> Result<TcpSite> {
    let folder = tempfile::tempdir()?;
    let token_file = folder.path().join("token");
    let mut running = run_on_loopback()
        .args(["--admin", "127.0.0.1:0", "--admin-token-file"])
        .arg(&token_file)
        .args([guest_tests::HTTP_SERVER, "127.0.0.1:0"])
        .start()?;
    let line = running.wait_for_stderr("wasock: admin at ")?;
    let at = line.split("admin at ").nth(1).and_then(|rest| rest.split(',').next()).context("no address")?;
    let at = at.parse()?;
    running.listening()?;
    Ok(TcpSite { _folder: folder, running, at, token_file })
}

/// S1: over an address host, origin and token are checked.
#[test]
fn over_an_address_host_origin_and_token_are_checked() -> Result<()> {
    let site = over_tcp()?;
    let host = site.at.to_string();
    let get = |host: &str, more: &str| {
        let request = format!("GET /status HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        exchange(TcpStream::connect(site.at)?, request.as_bytes())
    };
    let post = |more: &str| {
        let request = format!("POST /reload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{more}\r\n");
        exchange(TcpStream::connect(site.at)?, request.as_bytes())
    };
    ensure!(get(&host, "")?.status == 200, "no status");
    ensure!(get("example.com", "")?.status == 421, "another Host");
    ensure!(get(&host, "Origin: http://example.com\r\n")?.status == 403, "another Origin");
    ensure!(post("")?.status == 401, "without the token");
    ensure!(post("Authorization: Bearer 0\r\n")?.status == 403, "another token");
    let mode = std::fs::metadata(&site.token_file)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the mode of the token is {mode:o}");
    let token = std::fs::read_to_string(&site.token_file)?;
    let foreign = format!("Authorization: Bearer {}\r\nOrigin: http://example.com\r\n", token.trim());
    ensure!(post(&foreign)?.status == 403, "another Origin, with the token");
    ensure!(post(&format!("Authorization: Bearer {}\r\n", token.trim()))?.status == 200, "no reload");
    // The command knows how.
    let ctl = || wasock().args(["ctl", &host, "--token-file"]).arg(&site.token_file);
    ctl().arg("reload").succeed()?.expect_stdout("generation 3 serves")?;
    ctl().arg("drain").succeed()?;
    site.running.finish()?.expect_code(0)?;
    ensure!(!site.token_file.exists(), "the token is left behind");
    Ok(())
}

/// The command finds it by the address alone, in the user's own directory.
#[test]
fn the_token_has_a_name_of_its_own_by_itself() -> Result<()> {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let folder = tempfile::tempdir()?;
        let place = folder.path().to_str().context("a path")?;
        let own = |command: guest_tests::Wasock| command.env("XDG_RUNTIME_DIR", place);
        if TcpListener::bind(at).is_err() {
            // This machine lacks the family.
            continue;
        }
        let start = own(run_on_loopback().args(["--admin", at]));
        let mut running = start.args([guest_tests::HTTP_SERVER, "127.0.0.1:0"]).start()?;
        let line = running.wait_for_stderr("wasock: admin at ")?;
        let at = line.split("admin at ").nth(1).and_then(|rest| rest.split(',').next()).context("none")?;
        let at: SocketAddr = at.parse()?;
        let token = folder.path().join(format!("wasock-{}-{}.token", at.ip(), at.port()));
        ensure!(std::fs::metadata(&token)?.permissions().mode() & 0o777 == 0o600, "{}", token.display());
        running.listening()?;
        own(wasock().args(["ctl", &at.to_string(), "reload"]))
            .succeed()?
            .expect_stdout("generation 2 serves")?;
        // Another user's has none.
        let other = tempfile::tempdir()?;
        let place = other.path().to_str().context("a path")?;
        let refused = wasock().args(["ctl", &at.to_string(), "reload"]).env("XDG_RUNTIME_DIR", place);
        refused.finish()?.expect_code(1)?.expect_stderr("--token-file")?;
        own(wasock().args(["ctl", &at.to_string(), "drain"])).succeed()?;
        running.finish()?.expect_code(0)?;
        ensure!(!token.exists(), "the token is left behind");
    }
    Ok(())
}

#[test]
fn it_listens_on_this_machine_alone() -> Result<()> {
    for at in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9000"] {
        let refused = run_on_loopback().args(["--admin", at, guest_tests::HTTP_SERVER]).finish()?;
        refused.expect_code(2)?.expect_stderr("other machines")?.expect_one_line()?;
    }
    let refused = run_on_loopback().args(["--admin-token-file", "x", guest_tests::HTTP_SERVER]).finish()?;
    refused.expect_code(2)?.expect_stderr("--admin-token-file has no effect without --admin").map(drop)
}

#[test]
fn a_stale_socket_is_taken_over_and_a_live_one_is_an_error() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("admin.sock");
    drop(UnixListener::bind(&path)?);
    let admin = format!("unix:{}", path.display());
    let start = || run_on_loopback().args(["--admin", &admin, guest_tests::HTTP_SERVER, "127.0.0.1:0"]);
    let mut first = start().start()?;
    first.wait_for_stderr("wasock: admin at unix:")?;
    let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "its mode is {mode:o}");
    start().finish()?.expect_code(1)?.expect_stderr("another host answers there")?.expect_one_line()?;
    ensure!(
        ask(UnixStream::connect(&path)?, "GET", "/healthz", "localhost", "")?.status == 200,
        "it is gone"
    );
    first.listening()?;
    first.stop()?;
    ensure!(!path.exists(), "its name is left behind");
    Ok(())
}

/// S1: clients of it that stall, flood or send garbage hurt nobody.
#[test]
fn garbage_stalls_and_floods_hurt_nobody() -> Result<()> {
    let site = Site::start(&[])?;
    // They say nothing, or too slowly, and take every place that there is.
    let mut stalled = Vec::new();
    for count in 0..40 {
        let mut client = UnixStream::connect(site.path())?;
        if count % 2 == 0 {
            client.write_all(b"GET /status HTTP/1.1\r\nHost:")?;
        }
        stalled.push(client);
    }
    // The guest serves meanwhile.
    for _ in 0..20 {
        site.is_page()?;
    }
    // They are closed in time, and whoever comes is answered.
    let begun = Instant::now();
    ensure!(site.get("/healthz")?.status == 200, "no answer");
    ensure!(begun.elapsed() < WAIT_TIMEOUT, "it took {:?}", begun.elapsed());
    for client in &mut stalled {
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        let _cut = client.read_to_end(&mut Vec::new())?;
    }
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET \0 HTTP/1.1\r\n\r\n",
        b"POST /reload HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    ] {
        let mut client = UnixStream::connect(site.path())?;
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        client.write_all(garbage)?;
        client.shutdown(std::net::Shutdown::Write)?;
        let _whatever = client.read_to_end(&mut Vec::new());
    }
    let long = format!("GET /status HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(64 * 1024));
    let mut client = UnixStream::connect(site.path())?;
    client.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let _cut = client.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _cut = client.read_to_end(&mut answer);
    ensure!(!answer.starts_with(b"HTTP/1.1 200"), "a head of 64 KiB");
    let many: String = (0..200).map(|it| format!("X{it}: 1\r\n")).collect();
    let refused = exchange(
        UnixStream::connect(site.path())?,
        format!("GET /status HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes(),
    )?;
    ensure!(refused.status == 431, "{refused:?}");
    for (method, path, status) in [
        ("GET", "/none", 404),
        ("GET", "/reload", 405),
        ("DELETE", "/status", 405),
        ("POST", "/metrics", 405),
    ] {
        let answer = site.ask(method, path, "")?;
        ensure!(answer.status == status, "{method} {path}: {answer:?}");
    }
    ensure!(at(&site.status()?, "/ready") == true, "not ready");
    site.is_page()?;
    site.running.stop().map(drop)
}

#[test]
fn a_guest_is_not_connected_to_it_from_its_start_on() -> Result<()> {
    // A port that is free, and stays so for a moment.
    let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    let refused = run_on_loopback()
        .args(["--admin", &at, "--preopen-connect", &at, "--admin-token-file"])
        .arg(&token)
        .args([guest_tests::HTTP_SERVER, "127.0.0.1:0"])
        .finish()?;
    refused.expect_code(1)?.expect_stderr("--preopen-connect")?;
    ensure!(!token.exists(), "a token was written");
    Ok(())
}

/// By a link on the way to it, at a reload, and the token.
#[test]
fn no_way_to_it_leads_through_a_directory_of_the_guest() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [own, guests] = ["own", "guests"].map(|name| folder.path().join(name));
    std::fs::create_dir(&own)?;
    std::fs::create_dir(&guests)?;
    std::os::unix::fs::symlink("../own", guests.join("link"))?;
    let config = folder.path().join("service.toml");
    let write = |lines: &str| {
        let module = guest_tests::HTTP_SERVER;
        std::fs::write(
            &config,
            format!("module = {module:?}\nargs = [\"127.0.0.1:0\"]\nlisten = \"127.0.0.1:*\"\n{lines}\n"),
        )
    };
    let by_link = format!("admin = \"unix:{}\"", guests.join("link/admin.sock").display());
    let token = format!("admin = \"127.0.0.1:0\"\nadmin-token-file = {:?}", own.join("token"));
    for (lines, why) in [
        (format!("{by_link}\ndir = {guests:?}"), "the guest may change"),
        (format!("{token}\ndir = {own:?}"), "the guest may change"),
        (format!("{token}\ndir-ro = {own:?}"), "the guest may read"),
    ] {
        write(&lines)?;
        for command in [wasock().arg("check").arg(&config), wasock().args(["run", "--config"]).arg(&config)] {
            command.finish()?.expect_code(1)?.expect_stderr(why)?.expect_one_line()?;
        }
    }
    let admin = format!("unix:{}", own.join("admin.sock").display());
    write(&format!("admin = {admin:?}"))?;
    // Behind the wall no other directory can be added.
    let mut running = wasock().args(["run", "--no-landlock", "--config"]).arg(&config).start()?;
    running.wait_for_stderr("wasock: admin at unix:")?;
    running.listening()?;
    let ctl = || wasock().args(["ctl", &admin, "reload"]).finish();
    write(&format!("admin = {admin:?}\ndir = {own:?}"))?;
    ctl()?.expect_code(1)?.expect_stderr("the guest may change")?;
    // What is refused is said in lines.
    write(&format!("admin = {admin:?}\nlisen = 1"))?;
    let refused = ctl()?.expect_code(1)?;
    refused
        .expect_stderr("wasock: refused: its file has mistakes (--config)\n")?
        .expect_stderr("lisen = 1\n")?;
    std::fs::remove_file(&config)?;
    ctl()?.expect_code(1)?.expect_stderr("wasock: refused: cannot read ")?.expect_one_line()?;
    running.stop().map(drop)
}

#[test]
fn a_directory_of_the_guest_is_no_place_for_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let inside = folder.path().join("run");
    std::fs::create_dir(&inside)?;
    let refused = run_on_loopback()
        .arg("--dir")
        .arg(format!("{}::/run", folder.path().display()))
        .arg("--admin")
        .arg(format!("unix:{}", inside.join("admin.sock").display()))
        .args([guest_tests::HTTP_SERVER, "127.0.0.1:0"])
        .finish()?;
    refused.expect_code(1)?.expect_stderr("the guest may change")?.expect_one_line().map(drop)
}
