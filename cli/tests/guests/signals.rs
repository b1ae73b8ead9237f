//! Signals: by the guest itself, by the clock, by the operator.

use super::{run, run_on_loopback};
use anyhow::{Context as _, Result, ensure};
use guest_tests::{Client, Running, Silent, Wasock};
use rustix::process::Signal;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

#[test]
pub(crate) fn signal_rules() -> Result<()> {
    run().arg(guest_tests::SIGNAL_RULES).finish()?.expect_code(137)?.expect_stdout("the end\n").and_then(
        |finished| {
            ensure!(!finished.stdout.contains("not reached"), "{finished}");
            Ok(())
        },
    )
}

fn holds(case: &str) -> Result<()> {
    run_on_loopback().args([guest_tests::SIGNAL_WAITS, case]).succeed()?.expect_stdout("holds\n").map(drop)
}

#[test]
pub(crate) fn signal_waits() -> Result<()> {
    ["sleep", "poll", "epoll", "pipe", "event", "pair", "futex"].into_iter().try_for_each(holds)
}

#[test]
fn a_signal_ends_an_accept() -> Result<()> {
    for profile in ["wasix", "winsock"] {
        let host = run_on_loopback().args(["--listen-profile", profile]);
        host.args([guest_tests::SIGNAL_WAITS, "accept"]).succeed()?.expect_stdout("holds\n")?;
    }
    Ok(())
}

#[test]
fn a_signal_ends_a_receive() -> Result<()> {
    holds("recv")
}

#[test]
fn a_signal_ends_a_send_which_returns_how_much_it_has_sent() -> Result<()> {
    holds("send")
}

#[test]
fn a_signal_ends_a_connect_which_goes_on() -> Result<()> {
    let silent = Silent::new()?;
    let addr = silent.addr()?.to_string();
    let mut host = run_on_loopback().args([guest_tests::SIGNAL_WAITS, "connect", &addr]).start()?;
    host.wait_for_stdout("connecting")?;
    silent.make_room()?;
    host.finish()?.expect_code(0)?.expect_stdout("holds\n").map(drop)
}

#[test]
fn a_signal_ends_a_read_of_the_input() -> Result<()> {
    let mut host = run().with_stdin().args([guest_tests::SIGNAL_WAITS, "stdin"]).start()?;
    host.wait_for_stdout("reading")?;
    host.write_stdin(b"line\n")?;
    host.finish()?.expect_code(0)?.expect_stdout("holds\n").map(drop)
}

#[test]
pub(crate) fn signal_ends() -> Result<()> {
    // The number, and the exit code; 0 where nothing happens.
    let ends = (1..=31).map(|number| match number {
        17..=23 | 28 => (number, 0),
        _ => (number, 128 + number),
    });
    for (number, code) in
        ends.filter(|(number, _)| [1, 2, 6, 9, 13, 14, 15, 16, 17, 19, 23, 28, 31].contains(number))
    {
        let finished = run().args([guest_tests::SIGNAL_ENDS, &number.to_string()]).finish()?;
        let finished = finished.expect_code(code).with_context(|| format!("signal {number}"))?;
        ensure!(finished.stdout.contains("goes on") == (code == 0), "signal {number}\n{finished}");
        ensure!(finished.stderr.is_empty(), "signal {number}\n{finished}");
    }
    Ok(())
}

#[test]
pub(crate) fn signal_numbers_v1() -> Result<()> {
    run().arg(guest_tests::SIGNAL_NUMBERS_V1).succeed().map(drop)
}

#[test]
pub(crate) fn signal_numbers_preview1() -> Result<()> {
    run().arg(guest_tests::SIGNAL_NUMBERS_PREVIEW1).finish()?.expect_code(128 + 24).map(drop)
}

#[test]
pub(crate) fn signal_misfit() -> Result<()> {
    run()
        .arg(guest_tests::SIGNAL_MISFIT)
        .succeed()?
        .expect_one_line()?
        .expect_stderr("misfit is no handler")?;
    Ok(())
}

#[test]
pub(crate) fn signal_arbitrary_name() -> Result<()> {
    run()
        .arg(guest_tests::SIGNAL_ARBITRARY_NAME)
        .finish()?
        .expect_code(134)?
        .expect_no_stderr("panicked")
        .map(drop)
}

#[test]
pub(crate) fn signal_red_zone() -> Result<()> {
    run().arg(guest_tests::SIGNAL_RED_ZONE).succeed().map(drop)
}

#[test]
pub(crate) fn signal_no_stack() -> Result<()> {
    run().arg(guest_tests::SIGNAL_NO_STACK).succeed().map(drop)
}

fn handlers(what: &str, place: &str) -> Wasock {
    run_on_loopback().args([guest_tests::SIGNAL_HANDLERS, what, place])
}

#[test]
pub(crate) fn signal_handlers() -> Result<()> {
    for place in ["raise", "sleep", "compute"] {
        handlers("write", place).succeed()?.expect_stdout("handled\n")?.expect_stdout("holds\n")?;
    }
    Ok(())
}

#[test]
fn a_handler_may_end_the_program() -> Result<()> {
    for place in ["raise", "sleep", "compute"] {
        handlers("exit", place).finish()?.expect_code(7)?;
    }
    Ok(())
}

#[test]
fn a_handler_that_traps_ends_the_program() -> Result<()> {
    for place in ["raise", "sleep", "compute"] {
        let finished = handlers("trap", place).finish()?.expect_code(134)?;
        finished.expect_stderr("the_handler_that_traps")?.expect_no_stderr("panicked")?;
    }
    Ok(())
}

/// As the C library does the default action: the operator's signal has ended the guest.
#[test]
fn a_handler_that_traps_at_an_order_ends_the_program_by_the_signal() -> Result<()> {
    for (signal, code, name) in [(Signal::TERM, 143, "SIGTERM"), (Signal::HUP, 129, "SIGHUP")] {
        let mut host = handlers("trap", "compute_for_operator").start()?;
        host.wait_for_stdout("computing")?;
        host.signal(signal)?;
        let finished = host.finish()?.expect_code(code)?.expect_one_line()?;
        finished.expect_stderr(&format!("wasock: {name} ended the guest: its handler trapped: "))?;
    }
    Ok(())
}

#[test]
fn a_handler_may_wait_and_be_interrupted() -> Result<()> {
    for what in ["wait", "interrupted"] {
        for place in ["raise", "sleep", "compute"] {
            handlers(what, place).succeed()?.expect_stdout("holds\n")?;
        }
    }
    Ok(())
}

#[test]
fn the_operator_interrupts_code_that_runs() -> Result<()> {
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        let mut host = handlers("write", "compute_for_operator").start()?;
        host.wait_for_stdout("computing")?;
        host.signal(signal)?;
        host.finish()?.expect_code(0)?.expect_stdout("handled\n")?;
    }
    Ok(())
}

#[test]
fn a_second_signal_of_the_operator_is_an_order() -> Result<()> {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        // The handler never ends.
        let mut host = handlers("loop", "compute_for_operator").start()?;
        host.wait_for_stdout("computing")?;
        host.signal(signal)?;
        host.wait_for_stdout("computing in the handler")?;
        host.signal(signal)?;
        host.finish()?.expect_code(code)?.expect_no_stderr("panicked")?;
    }
    Ok(())
}

#[test]
pub(crate) fn signal_longjmp() -> Result<()> {
    for place in ["r", "l"] {
        run().args([guest_tests::SIGNAL_LONGJMP, place]).succeed().with_context(|| place)?;
    }
    let mut host = run().args([guest_tests::SIGNAL_LONGJMP, "w"]).start()?;
    host.wait_for_stdout("waiting")?;
    host.signal(Signal::TERM)?;
    host.finish()?.expect_code(0).map(drop)
}

#[test]
fn an_uncaught_exception_of_a_handler_is_a_trap() -> Result<()> {
    let finished = run().args([guest_tests::SIGNAL_LONGJMP, "n"]).finish()?.expect_code(134)?;
    finished.expect_stderr("thrown Wasm exception")?.expect_no_stderr("panicked").map(drop)
}

/// FIXME: the engine looks for a handler among the calls that are on the stack, and
/// the look at the epoch is none that has handlers. So a loop does not catch what interrupts it
/// in the very function that catches; its callers do.
#[test]
fn an_exception_of_a_handler_skips_the_function_whose_loop_it_interrupted() -> Result<()> {
    let finished = run().args([guest_tests::SIGNAL_LONGJMP, "s"]).finish()?.expect_code(134)?;
    finished.expect_stderr("thrown Wasm exception")?.expect_no_stderr("panicked").map(drop)
}

#[test]
pub(crate) fn signal_abort() -> Result<()> {
    let abort = |sender: &str| run().args([guest_tests::SIGNAL_ABORT, sender]);
    let mut host = abort("o").start()?;
    host.wait_for_stdout("waiting")?;
    host.signal(Signal::TERM)?;
    let finished = host.finish()?.expect_code(143)?.expect_one_line()?;
    finished.expect_stderr("wasock: SIGTERM ended the guest: its handler ")?;
    // The program's own signals, and its abort.
    for (sender, code) in [("t", 143), ("u", 143), ("a", 134), ("p", 141), ("x", 127)] {
        abort(sender).finish()?.expect_code(code).with_context(|| sender.to_owned())?;
    }
    Ok(())
}

#[test]
pub(crate) fn broken_pipe() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = format!("{}::/", folder.path().display());
    run_on_loopback().args(["--dir", &dir, guest_tests::BROKEN_PIPE]).succeed().map(drop)
}

/// Each with its number in WASIX.
const PASSED_ON: [(Signal, i32); 17] = [
    (Signal::HUP, 1),
    (Signal::INT, 2),
    (Signal::QUIT, 3),
    (Signal::USR1, 10),
    (Signal::USR2, 12),
    (Signal::ALARM, 14),
    (Signal::TERM, 15),
    (Signal::CHILD, 17),
    (Signal::CONT, 18),
    (Signal::URG, 23),
    (Signal::XCPU, 24),
    (Signal::XFSZ, 25),
    (Signal::VTALARM, 26),
    (Signal::PROF, 27),
    (Signal::WINCH, 28),
    (Signal::IO, 29),
    (Signal::POWER, 30),
];

/// As `wasock run` from a shell that ignores nothing, whatever this process ignores.
fn run_with_every_signal() -> Wasock {
    Wasock::new("env").args(["--default-signal", env!("CARGO_BIN_EXE_wasock"), "run"])
}

#[test]
pub(crate) fn signal_forwarded() -> Result<()> {
    for (signal, number) in PASSED_ON {
        let mut host = run_with_every_signal().arg(guest_tests::SIGNAL_FORWARDED).start()?;
        host.wait_for_stdout("waiting")?;
        host.signal(signal)?;
        host.finish()?.expect_code(number).with_context(|| format!("{signal:?}"))?;
    }
    Ok(())
}

#[test]
fn a_signal_without_a_handler_does_to_the_guest_what_it_does_by_default() -> Result<()> {
    for (signal, code, name) in [
        (Signal::USR1, 138, "SIGUSR1"),
        (Signal::USR2, 140, "SIGUSR2"),
        (Signal::QUIT, 131, "SIGQUIT"),
        (Signal::TERM, 143, "SIGTERM"),
    ] {
        let mut host = run_with_every_signal().arg(guest_tests::SPIN).start()?;
        host.wait_for_stdout("spinning")?;
        for nothing in [Signal::WINCH, Signal::CHILD, Signal::CONT, Signal::URG] {
            host.signal(nothing)?;
        }
        host.signal(signal)?;
        let finished = host.finish()?.expect_code(code)?.expect_one_line()?;
        finished.expect_stderr(&format!("wasock: {name} ended the guest"))?;
    }
    Ok(())
}

/// As under `nohup`.
#[test]
fn a_hangup_that_is_ignored_does_nothing() -> Result<()> {
    let ignoring = "trap '' HUP; exec \"$0\" \"$@\"";
    let shell = Wasock::new("sh").args(["-c", ignoring, env!("CARGO_BIN_EXE_wasock"), "run"]);
    let mut host = shell.arg(guest_tests::SPIN).start()?;
    host.wait_for_stdout("spinning")?;
    host.signal(Signal::HUP)?;
    host.signal(Signal::TERM)?;
    host.finish()?.expect_code(143).map(drop)
}

#[test]
fn a_hangup_ends_a_guest_without_a_handler() -> Result<()> {
    let mut host = run().arg(guest_tests::SPIN).start()?;
    host.wait_for_stdout("spinning")?;
    host.signal(Signal::HUP)?;
    host.finish()?.expect_code(129)?.expect_no_stderr("panicked").map(drop)
}

/// One client has said half a line when the order to end comes.
#[test]
pub(crate) fn signal_server() -> Result<()> {
    let mut host = run_on_loopback().arg(guest_tests::SIGNAL_SERVER).start()?;
    let addr = host.listening()?;
    let mut busy = Client::connect(addr)?;
    busy.say("first\n")?;
    busy.hears("first\n")?;
    busy.say("sec")?;
    host.signal(Signal::TERM)?;
    host.wait_for_stdout("draining 1")?;
    // No new client is accepted.
    let refused = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT).err().map(|error| error.kind());
    ensure!(refused == Some(std::io::ErrorKind::ConnectionRefused), "{refused:?}");
    ensure!(host.is_running()?, "it has not waited for the client");
    busy.say("ond\n")?;
    busy.hears("second\n")?;
    busy.finish()?;
    busy.hears_the_end()?;
    host.finish()?.expect_code(0)?.expect_stdout("reminded 0 ").map(drop)
}

/// Ten thousand signals while clients are served: no line is lost.
#[test]
fn signals_under_stress_lose_no_request() -> Result<()> {
    let mut host = run_on_loopback().arg(guest_tests::SIGNAL_SERVER).start()?;
    let addr = host.listening()?;
    let is_over = AtomicBool::new(false);
    let lines = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut client = Client::connect(addr)?;
                    let mut round = 0;
                    while !is_over.load(SeqCst) {
                        if round % 16 == 15 {
                            client = Client::connect(addr)?;
                        }
                        let line = format!("{number} {round}\n");
                        client.say(&line)?;
                        client.hears(&line)?;
                        round += 1;
                    }
                    Ok(round)
                })
            })
            .collect();
        let sent = send_many(&host);
        is_over.store(true, SeqCst);
        let served = clients.into_iter().map(|client| client.join().unwrap_or(Ok(0)));
        let lines: u32 = served.collect::<Result<Vec<u32>>>()?.into_iter().sum();
        sent.map(|()| lines)
    })?;
    ensure!(lines > 100, "{lines} lines");
    host.signal(Signal::TERM)?;
    let finished = host.finish()?.expect_code(0)?;
    let reminded = finished.stdout.lines().find_map(|line| line.strip_prefix("reminded "));
    let count: u32 = reminded.and_then(|rest| rest.split(' ').next()).context("no count")?.parse()?;
    ensure!(count > 0, "{finished}");
    Ok(())
}

fn send_many(host: &Running) -> Result<()> {
    for _ in 0..10_000 {
        host.signal(Signal::HUP)?;
        // So that they are not all one.
        std::thread::sleep(Duration::from_micros(50));
    }
    Ok(())
}

/// A guest that the host calls handles it between two events.
#[test]
pub(crate) fn signal_events() -> Result<()> {
    let mut host = run_on_loopback().arg(guest_tests::SIGNAL_EVENTS).start()?;
    host.listening()?;
    host.signal(Signal::HUP)?;
    host.wait_for_stdout("handled")?;
    ensure!(host.is_running()?, "it goes on");
    host.signal(Signal::TERM)?;
    host.finish()?.expect_code(5)?.expect_stdout("handled\nhandled\n").map(drop)
}

#[test]
pub(crate) fn signal_threads() -> Result<()> {
    run().args([guest_tests::SIGNAL_THREADS, "each"]).succeed().map(drop)
}

#[test]
fn a_signal_without_a_handler_ends_every_thread() -> Result<()> {
    run().args([guest_tests::SIGNAL_THREADS, "default"]).finish()?.expect_code(143)?;
    run().args([guest_tests::SIGNAL_THREADS, "kill"]).finish()?.expect_code(137).map(drop)
}

#[test]
fn the_end_comes_under_a_stress_of_signals() -> Result<()> {
    for _ in 0..10 {
        run().args([guest_tests::SIGNAL_THREADS, "stress"]).succeed()?;
    }
    Ok(())
}

#[test]
fn the_operator_reaches_a_thread_that_can_take_it() -> Result<()> {
    let mut host = run().args([guest_tests::SIGNAL_THREADS, "operator"]).start()?;
    host.wait_for_stdout("started")?;
    let start = Instant::now();
    while host.is_running()? {
        ensure!(start.elapsed() < WAIT_TIMEOUT, "it was not taken");
        host.signal(Signal::HUP)?;
        std::thread::sleep(Duration::from_millis(50));
    }
    host.finish()?.expect_code(0).map(drop)
}
