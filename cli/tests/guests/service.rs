//! The command as a service: `--restart`, reloads, `--drain-timeout`, `--workers`, `--adopt`.

use super::{run, run_on_loopback};
use anyhow::{Context as _, Result, ensure};
use guest_tests::{HttpClient, Running};
use rustix::process::Signal;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, PipeWriter, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;
use std::time::{Duration, Instant};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The connection to a guest that does as it is told.
struct Control(BufReader<TcpStream>);

impl Control {
    fn accept(listener: &TcpListener) -> Result<Self> {
        let (control, _) = listener.accept()?;
        control.set_read_timeout(Some(WAIT_TIMEOUT))?;
        Ok(Self(BufReader::new(control)))
    }

    fn ask(&mut self, order: &str) -> Result<String> {
        writeln!(self.0.get_mut(), "{order}")?;
        let mut answer = String::new();
        self.0.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }

    fn each(&mut self, orders: &[&str]) -> Result<()> {
        for order in orders {
            let answer = self.ask(order)?;
            ensure!(answer == "ok", "{order}: {answer}");
        }
        Ok(())
    }

    fn listen(&mut self, place: &str) -> Result<SocketAddr> {
        self.each(&["open a tcp", &format!("bind a {place}"), "listen a 16"])?;
        Ok(self.ask("local a")?.parse()?)
    }
}

fn is_served(client: TcpStream, by: &str) -> Result<()> {
    let mut said = String::new();
    (&client).read_to_string(&mut said)?;
    ensure!(said == by, "served by {said:?}");
    Ok(())
}

/// A server of pages that is a service with these flags; and the module that it runs.
fn serve(flags: &[&str]) -> Result<(tempfile::TempDir, Running, SocketAddr)> {
    let folder = tempfile::tempdir()?;
    let module = folder.path().join("server.wasm");
    std::fs::copy(guest_tests::HTTP_SERVER, &module)?;
    let module = module.to_str().context("a path")?;
    let mut running = run_on_loopback().args(flags).args([module, "127.0.0.1:0"]).start()?;
    let addr = running.listening()?;
    Ok((folder, running, addr))
}

fn is_page(client: &mut HttpClient) -> Result<()> {
    let response = client.get("/")?;
    ensure!(response.status == 200, "answered {response:?}");
    Ok(())
}

#[test]
fn restart_keeps_the_listener_and_says_so() -> Result<()> {
    let control = TcpListener::bind("127.0.0.1:0")?;
    let at = control.local_addr()?.to_string();
    let flags = ["--restart", "on-failure", "--listen", "127.0.0.1:0", "--connect", &at];
    let mut running = run().args(flags).args([guest_tests::ADOPTION, &at]).start()?;
    let mut one = Control::accept(&control)?;
    let addr = one.listen("127.0.0.1:0")?;
    let client = TcpStream::connect(addr)?;
    _ = one.ask("exit 3");
    running.wait_for_stderr("ended and starts anew: exit code 3")?;
    let mut two = Control::accept(&control)?;
    ensure!(two.listen("127.0.0.1:0")? == addr, "another port");
    two.each(&["accept a two"])?;
    is_served(client, "two")?;
    _ = two.ask("exit 0");
    running.finish()?.expect_code(0).map(drop)
}

/// R1: five short lives end the run with the code of the trap.
#[test]
fn five_short_lives_end_with_the_code_of_a_trap() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let module = folder.path().join("trap.wat");
    std::fs::write(&module, "(module (func (export \"_start\") unreachable))")?;
    let finished = run().args(["--restart", "always"]).arg(&module).finish()?.expect_code(134)?;
    ensure!(finished.stderr_lines_with("starts anew").len() == 4, "{finished}");
    finished.expect_stderr("5 instances in a row lived less than a second").map(drop)
}

/// R10: a connection for each request, and reloads one after the other.
#[test]
fn reloads_under_load_lose_nobody() -> Result<()> {
    const RELOADS: usize = 12;
    let (_folder, mut running, addr) = serve(&["--reload-signal", "USR2"])?;
    let (is_over, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let loads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while !is_over.load(SeqCst) {
                        is_page(&mut HttpClient::connect(addr)?)?;
                        requests.fetch_add(1, SeqCst);
                    }
                    Ok(())
                })
            })
            .collect();
        let mut keeps = HttpClient::connect(addr)?;
        let reloads = || -> Result<()> {
            is_page(&mut keeps)?;
            for generation in 2..=RELOADS + 1 {
                running.signal(Signal::USR2)?;
                running.wait_for_stderr(&format!("generation {generation} serves"))?;
                // Its connection is older than the generation that serves now.
                is_page(&mut keeps)?;
                // Each serves for a moment.
                let before = requests.load(SeqCst);
                while requests.load(SeqCst) < before + 20 && loads.iter().all(|load| !load.is_finished()) {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            Ok(())
        };
        let reloaded = { reloads }();
        is_over.store(true, SeqCst);
        for load in loads {
            load.join().ok().context("it panicked")??;
        }
        reloaded
    })?;
    running.stop().map(drop)
}

/// R2: a module that does not load changes nothing, and the operator reads why.
#[test]
fn a_module_that_does_not_load_changes_nothing() -> Result<()> {
    let (folder, mut running, addr) = serve(&["--reload-signal", "HUP"])?;
    let module = folder.path().join("server.wasm");
    let replace = |by: &[u8]| -> Result<()> {
        let new = folder.path().join("new.wasm");
        std::fs::write(&new, by)?;
        Ok(std::fs::rename(new, &module)?)
    };
    replace(b"no module")?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("no reload, the running program goes on: ")?;
    is_page(&mut HttpClient::connect(addr)?)?;
    replace(b"(module (func (export \"_start\") unreachable))")?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("no reload, the running program goes on: generation 2: ")?;
    is_page(&mut HttpClient::connect(addr)?)?;
    replace(&std::fs::read(Path::new(guest_tests::HTTP_SERVER))?)?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 3 serves")?;
    is_page(&mut HttpClient::connect(addr)?)?;
    running.stop().map(drop)
}

/// R8: the first SIGTERM drains, and the second one ends.
#[test]
fn the_first_sigterm_drains_and_the_second_one_ends() -> Result<()> {
    let (_folder, running, addr) = serve(&["--drain-timeout", "20s"])?;
    let mut client = HttpClient::connect(addr)?;
    is_page(&mut client)?;
    running.signal(Signal::TERM)?;
    while TcpStream::connect(addr).is_ok() {}
    is_page(&mut client)?;
    drop(client);
    running.finish()?.expect_code(0)?;
    let (_folder, running, addr) = serve(&["--drain-timeout", "20s"])?;
    let mut client = HttpClient::connect(addr)?;
    is_page(&mut client)?;
    running.signal(Signal::TERM)?;
    while TcpStream::connect(addr).is_ok() {}
    running.stop().map(drop)
}

#[test]
fn a_reload_while_the_service_ends_is_refused() -> Result<()> {
    let (folder, mut running, addr) = serve(&["--drain-timeout", "20s", "--reload-signal", "HUP"])?;
    let mut client = HttpClient::connect(addr)?;
    is_page(&mut client)?;
    let new = folder.path().join("new.wasm");
    // It never listens.
    std::fs::write(&new, "(module (func (export \"_start\") (loop $ever (br $ever))))")?;
    std::fs::rename(new, folder.path().join("server.wasm"))?;
    running.signal(Signal::HUP)?;
    // Its thread is there before it has to be ready.
    let tasks = format!("/proc/{}/task", running.id());
    let starts = || -> Result<bool> {
        let tasks = std::fs::read_dir(&tasks)?.flatten();
        let mut names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        Ok(names.any(|name| name.starts_with("guest-2.")))
    };
    let deadline = Instant::now() + WAIT_TIMEOUT;
    while !starts()? {
        ensure!(Instant::now() < deadline, "no second generation");
        thread::sleep(Duration::from_millis(5));
    }
    running.signal(Signal::TERM)?;
    running.wait_for_stderr("no reload: the service ends, and generation 2 with it")?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("SIGHUP: no reload: the service ends")?;
    is_page(&mut client)?;
    drop(client);
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn without_a_drain_timeout_sigterm_is_as_ever() -> Result<()> {
    let (_folder, running, addr) = serve(&["--workers", "2"])?;
    let mut client = HttpClient::connect(addr)?;
    is_page(&mut client)?;
    running.stop().map(drop)
}

/// Fills the pipe. Its writers block from then on.
fn fill(pipe: &PipeWriter) -> Result<()> {
    // Another open file of the same pipe: only this one does not block.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits())?;
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut filler = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    for part in [4096, 1] {
        while filler.write(&vec![b'x'; part]).is_ok() {}
    }
    Ok(())
}

/// Waits for a child to end; ends it itself after a while.
fn ending(child: &mut Child) -> Result<ExitStatus> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    anyhow::bail!("it did not end")
}

#[test]
fn a_full_standard_error_stops_neither_the_server_nor_its_end() -> Result<()> {
    for (flags, code) in [(&[][..], 143), (&["--workers", "1"], 143), (&["--drain-timeout", "20s"], 0)] {
        let control = TcpListener::bind("127.0.0.1:0")?;
        let at = control.local_addr()?.to_string();
        let (_stalled, errors) = std::io::pipe()?;
        fill(&errors)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasock"));
        command.args(["run", "--listen", "127.0.0.1:0", "--connect", &at]).args(flags);
        command.args([guest_tests::ADOPTION, &at]).stdin(Stdio::null()).stderr(errors);
        let mut child = command.spawn()?;
        // The guest ends when its control does.
        let works = || -> Result<Control> {
            let mut guest = Control::accept(&control)?;
            let client = TcpStream::connect(guest.listen("127.0.0.1:0")?)?;
            guest.each(&["accept a guest"])?;
            is_served(client, "guest")?;
            let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
            rustix::process::kill_process(id.context("an id")?, Signal::TERM)?;
            Ok(guest)
        };
        let worked = works();
        if worked.is_err() {
            child.kill()?;
        }
        let status = ending(&mut child)?;
        drop(worked?);
        ensure!(status.code() == Some(code), "{flags:?}: {status}");
    }
    Ok(())
}

#[test]
fn a_signal_that_is_asked_for_is_caught_though_ignored_from_the_start() -> Result<()> {
    let args = ["--reload-signal", "HUP", guest_tests::HTTP_SERVER, "127.0.0.1:0"];
    let mut running = run_on_loopback().args(args).after_shell("trap '' HUP").start()?;
    running.listening()?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 2 serves")?;
    running.stop().map(drop)
}

/// W1: workers serve at one address.
#[test]
fn workers_serve_at_one_address() -> Result<()> {
    let control = TcpListener::bind("127.0.0.1:0")?;
    let at = control.local_addr()?.to_string();
    let flags = ["--workers", "2", "--listen", "127.0.0.1:0", "--connect", &at];
    let running = run().args(flags).args([guest_tests::ADOPTION, &at]).start()?;
    let mut one = Control::accept(&control)?;
    let addr = one.listen("127.0.0.1:0")?;
    let mut two = Control::accept(&control)?;
    ensure!(two.listen("127.0.0.1:0")? == addr, "another port");
    let clients = [TcpStream::connect(addr)?, TcpStream::connect(addr)?];
    one.each(&["accept a w"])?;
    two.each(&["accept a w"])?;
    for client in clients {
        is_served(client, "w")?;
    }
    _ = one.ask("exit 0");
    _ = two.ask("exit 6");
    running.finish()?.expect_code(6).map(drop)
}

#[test]
fn a7_adopt_gives_a_program_the_listener_of_the_service_manager() -> Result<()> {
    let control = TcpListener::bind("127.0.0.1:0")?;
    let at = control.local_addr()?.to_string();
    let kept = TcpListener::bind("127.0.0.1:0")?;
    let addr = kept.local_addr()?;
    let early = TcpStream::connect(addr)?;
    let passed = OwnedFd::from(kept.try_clone()?);
    let host = run().args(["--adopt", "--connect", &at]).args([guest_tests::ADOPTION, &at]);
    let running = host.passing("web", passed).start()?;
    let mut guest = Control::accept(&control)?;
    guest.each(&["open b tcp"])?;
    ensure!(guest.ask("bind b 127.0.0.1:0")? == "EACCES (2)", "more is granted");
    guest.listen(&addr.to_string())?;
    guest.each(&["accept a guest"])?;
    is_served(early, "guest")?;
    _ = guest.ask("exit 0");
    running.finish()?.expect_code(0)?;
    // The service manager has it still, and it blocks as before.
    let flags = rustix::fs::fcntl_getfl(&kept)?;
    ensure!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "it does not block any more");
    let waiting = TcpStream::connect(addr)?;
    drop(kept.accept()?);
    drop(waiting);
    Ok(())
}

#[test]
fn what_is_for_reloads_needs_their_signal() -> Result<()> {
    for flag in ["--reload-mode=sequential", "--ready-timeout=1s", "--max-generations=3"] {
        let (name, _) = flag.split_once('=').context("a value")?;
        let args = ["--restart", "always", flag, guest_tests::HTTP_SERVER];
        let finished = run().args(args).finish()?.expect_code(2)?;
        let expected = format!("{name} has no effect without --reload-signal, --watch or --admin");
        finished.expect_stderr(&expected)?.expect_one_line()?;
    }
    Ok(())
}

#[test]
fn a_program_that_lacks_imports_says_so_in_one_line() -> Result<()> {
    let (folder, mut running, _) = serve(&["--reload-signal", "HUP"])?;
    let import = |name: &str| format!("(import \"a\" \"{name}\" (func))");
    let text = format!("(module {}{} (func (export \"_start\")))", import("b"), import("c\\0a"));
    let new = folder.path().join("new.wasm");
    std::fs::write(&new, text)?;
    std::fs::rename(new, folder.path().join("server.wasm"))?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("does not have: a.b (a function), a.c\\n (a function)")?;
    running.stop().map(drop)
}

#[test]
fn wrong_words_say_what_is_expected() -> Result<()> {
    for (flag, word, expected) in [
        ("--restart", "sometimes", "expected never, on-failure or always"),
        ("--reload-signal", "TERM", "expected HUP or USR2"),
        ("--reload-mode", "fast", "expected overlap or sequential"),
        ("--workers", "0", "expected a number from 1 to 1024, or auto"),
        ("--drain-signal", "KILL", "expected HUP, INT"),
    ] {
        let finished = run().args([flag, word, guest_tests::HTTP_SERVER]).finish()?.expect_code(2)?;
        finished.expect_stderr(expected)?.expect_one_line()?;
    }
    Ok(())
}

/// A service of pages by a file, which the test changes.
fn serve_by_file(flags: &[&str]) -> Result<(tempfile::TempDir, Running, SocketAddr)> {
    let folder = tempfile::tempdir()?;
    write_file(&folder, "workers = 1")?;
    let file = folder.path().join("service.toml");
    let mut running = run().args(flags).arg("--config").arg(&file).start()?;
    let addr = running.listening()?;
    Ok((folder, running, addr))
}

/// Writes the file anew, with these lines besides, by a rename.
fn write_file(folder: &tempfile::TempDir, lines: &str) -> Result<()> {
    write_file_for(folder, guest_tests::HTTP_SERVER.as_ref(), lines)
}

fn write_file_for(folder: &tempfile::TempDir, module: &Path, lines: &str) -> Result<()> {
    let text = format!("module = {module:?}\nargs = [\"127.0.0.1:0\"]\nlisten = \"127.0.0.1:*\"\n{lines}\n");
    let new = folder.path().join("new.toml");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(new, folder.path().join("service.toml"))?)
}

#[test]
fn r2_a_reload_reads_the_file_anew() -> Result<()> {
    let (folder, mut running, addr) = serve_by_file(&["--reload-signal", "HUP"])?;
    is_page(&mut HttpClient::connect(addr)?)?;
    write_file(&folder, "workers = 1\ndeny-from = \"127.0.0.0/8\"")?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 2 serves")?;
    // It may see its reset as it connects.
    let page = HttpClient::connect(addr).and_then(|mut client| is_page(&mut client));
    ensure!(page.is_err(), "a peer that is denied was served");
    write_file(&folder, "workers = 1")?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 3 serves")?;
    is_page(&mut HttpClient::connect(addr)?)?;
    running.stop().map(drop)
}

#[test]
fn r2_a_file_with_mistakes_or_keys_of_the_host_changes_nothing() -> Result<()> {
    let (folder, mut running, addr) = serve_by_file(&["--reload-signal", "HUP"])?;
    for (lines, expected) in [
        ("workers = 1\nlisen = \"x\"", "unknown key `lisen`; did you mean `listen`?"),
        ("workers = 1\ndir = \"/does/not/exist\"", "cannot open the directory /does/not/exist"),
        (
            "workers = 2\nrestart = \"always\"",
            "reload refused: these keys need a restart of the host: restart, workers",
        ),
    ] {
        write_file(&folder, lines)?;
        running.signal(Signal::HUP)?;
        running.wait_for_stderr(expected)?;
        is_page(&mut HttpClient::connect(addr)?)?;
    }
    write_file(&folder, "workers = 1\nmax-fds = 100")?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 2 serves")?;
    is_page(&mut HttpClient::connect(addr)?)?;
    running.stop().map(drop)
}

#[test]
fn r2_a_file_that_would_never_end_or_has_no_writer_changes_nothing() -> Result<()> {
    // Behind the wall the link leads nowhere.
    let (folder, mut running, addr) = serve_by_file(&["--reload-signal", "HUP", "--no-landlock"])?;
    let file = folder.path().join("service.toml");
    let (pipe, zero) = (folder.path().join("pipe"), folder.path().join("zero"));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)?;
    std::os::unix::fs::symlink("/dev/zero", &zero)?;
    for wrong in [pipe, zero] {
        std::fs::rename(wrong, &file)?;
        running.signal(Signal::HUP)?;
        running.wait_for_stderr("it is no regular file (--config)")?;
        is_page(&mut HttpClient::connect(addr)?)?;
    }
    write_file(&folder, "workers = 1")?;
    running.signal(Signal::HUP)?;
    running.wait_for_stderr("generation 2 serves")?;
    running.stop().map(drop)
}

#[test]
fn r2_a_reload_reads_the_variables_of_a_file_anew() -> Result<()> {
    let control = TcpListener::bind("127.0.0.1:0")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("variables");
    std::fs::write(&file, "A=1\n")?;
    let at = control.local_addr()?.to_string();
    let mut running = run()
        .args(["--reload-signal", "HUP", "--connect", &at, "--env-file"])
        .arg(&file)
        .args([guest_tests::ADOPTION, &at])
        .start()?;
    let mut one = Control::accept(&control)?;
    ensure!(one.ask("env A")? == "1", "another value");
    std::fs::write(&file, "A=2\n")?;
    running.signal(Signal::HUP)?;
    let mut two = Control::accept(&control)?;
    ensure!(two.ask("env A")? == "2", "another value");
    running.wait_for_stderr("generation 2 serves")?;
    _ = two.ask("exit 0");
    running.finish()?.expect_code(0).map(drop)
}

#[test]
fn r2_watch_reloads_when_a_file_has_changed_and_tries_again_after_one_that_does_not_load() -> Result<()> {
    let (folder, mut running, addr) = serve(&["--watch"])?;
    let module = folder.path().join("server.wasm");
    let good = std::fs::read(guest_tests::HTTP_SERVER)?;
    // In place, and not whole yet.
    std::fs::write(&module, good.get(..good.len() / 2).context("a half")?)?;
    running.wait_for_stderr("no reload, the running program goes on: ")?;
    is_page(&mut HttpClient::connect(addr)?)?;
    std::fs::write(&module, &good)?;
    running.wait_for_stderr("generation 2 serves")?;
    // By a rename.
    let new = folder.path().join("new.wasm");
    std::fs::write(&new, &good)?;
    std::fs::rename(new, &module)?;
    running.wait_for_stderr("generation 3 serves")?;
    is_page(&mut HttpClient::connect(addr)?)?;
    running.stop().map(drop)
}

#[test]
fn r2_watch_follows_the_configuration_file() -> Result<()> {
    let (folder, mut running, addr) = serve_by_file(&["--watch"])?;
    write_file(&folder, "workers = 1\ndeny-from = \"127.0.0.0/8\"")?;
    running.wait_for_stderr("generation 2 serves")?;
    // It may see its reset as it connects.
    let page = HttpClient::connect(addr).and_then(|mut client| is_page(&mut client));
    ensure!(page.is_err(), "a peer that is denied was served");
    running.stop().map(drop)
}

/// One that another module is named in: from then on that one is watched.
#[test]
fn r2_watch_follows_the_module_that_the_configuration_file_names() -> Result<()> {
    let (folder, mut running, addr) = serve_by_file(&["--watch"])?;
    let other = folder.path().join("other.wasm");
    std::fs::write(&other, "no module")?;
    write_file_for(&folder, &other, "workers = 1")?;
    running.wait_for_stderr("no reload, the running program goes on: ")?;
    std::fs::copy(guest_tests::HTTP_SERVER, &other)?;
    running.wait_for_stderr("generation 2 serves")?;
    std::fs::copy(guest_tests::HTTP_SERVER, &other)?;
    running.wait_for_stderr("generation 3 serves")?;
    is_page(&mut HttpClient::connect(addr)?)?;
    running.stop().map(drop)
}

/// A listener that each instance has from its start on changes hands as one does that it has made.
#[test]
fn r4_an_old_one_accepts_nobody_at_a_listener_that_both_were_given() -> Result<()> {
    let flags = ["--restart", "on-failure", "--reload-signal", "USR2", "--preopen-listen", "127.0.0.1:0"];
    let mut running = run().args(flags).arg(guest_tests::PREOPENED_EVENTS).start()?;
    let addr = running.listening()?;
    let echoes = |client: &mut TcpStream| -> Result<()> {
        client.set_read_timeout(Some(WAIT_TIMEOUT))?;
        client.write_all(b"hello")?;
        let mut answer = [0; 5];
        client.read_exact(&mut answer)?;
        ensure!(&answer == b"hello", "{answer:?}");
        Ok(())
    };
    let mut kept = TcpStream::connect(addr)?;
    echoes(&mut kept)?;
    running.signal(Signal::USR2)?;
    running.wait_for_stderr("generation 2 serves")?;
    // Whoever comes now traps what it is served by, and that is never the old one.
    for anew in ["anew: ", "anew in 100ms: ", "anew in 200ms: "] {
        TcpStream::connect(addr)?.write_all(b"\0")?;
        running.wait_for_stderr(&format!(" and starts {anew}"))?;
        echoes(&mut TcpStream::connect(addr)?)?;
        echoes(&mut kept)?;
    }
    running.stop().map(drop)
}

/// Its thread waits for somebody to read what it wrote.
#[test]
fn a_worker_that_is_stuck_when_its_time_is_over_is_given_up() -> Result<()> {
    let (_stalled, output) = std::io::pipe()?;
    fill(&output)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasock"));
    command.args(["run", "--workers", "1", "--timeout", "300ms", guest_tests::STDOUT_LINE]);
    let mut child = command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null()).spawn()?;
    let status = ending(&mut child)?;
    ensure!(status.code() == Some(124), "{status}");
    Ok(())
}

#[test]
fn r7_a_server_that_drains_closes_what_its_clients_leave_idle() -> Result<()> {
    let flags = ["--reload-signal", "USR2", "--drain-idle", "300ms", "--drain-timeout", "20s"];
    let (_folder, mut running, addr) = serve(&flags)?;
    let mut kept = TcpStream::connect(addr)?;
    kept.set_read_timeout(Some(WAIT_TIMEOUT))?;
    running.signal(Signal::USR2)?;
    running.wait_for_stderr("generation 2 serves")?;
    // By the server itself, and so in good order.
    ensure!(kept.read(&mut [0])? == 0, "there is something to read");
    running.signal(Signal::TERM)?;
    let finished = running.finish()?.expect_code(0)?;
    finished.expect_no_stderr("reset")?.expect_no_stderr("closed").map(drop)
}

#[test]
fn l4_a_connection_that_nobody_uses_is_reset() -> Result<()> {
    let (_folder, running, addr) = serve(&["--idle-timeout", "300ms"])?;
    let mut client = HttpClient::connect(addr)?;
    is_page(&mut client)?;
    let mut kept = TcpStream::connect(addr)?;
    kept.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let read = kept.read(&mut [0]);
    ensure!(read.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset), "no reset");
    // The server goes on.
    is_page(&mut HttpClient::connect(addr)?)?;
    running.stop().map(drop)
}

#[test]
fn a_server_that_may_have_more_descriptors_than_its_host_is_told_so() -> Result<()> {
    let args = ["--max-fds", "4000", guest_tests::HTTP_SERVER, "127.0.0.1:0"];
    let mut running = run_on_loopback().args(args).after_shell("ulimit -n 200").start()?;
    running.listening()?;
    running.wait_for_stderr("the host may open 200 files, and the guest 4000 (--max-fds)")?;
    running.stop().map(drop)
}
