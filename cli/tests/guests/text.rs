//! Text that a guest chose, where the host prints it: nothing of it acts on a terminal, and
//! none of it looks like a line of the host's.

use super::{run, run_on_loopback, wasock};
use anyhow::{Result, ensure};
use guest_tests::{Finished, HttpClient};
use std::fs;

/// A name that sets the title and colours of a terminal, begins a line of its own, and turns
/// the direction of writing.
const HOSTILE: &str = "\u{1b}]0;title\u{7}\u{1b}[31m\nwasock: forged\u{9b}2J\u{202e}\u{200b}\u{2028}";

/// Insists that all of it is harmless, and that the name is there.
fn is_harmless(finished: Finished) -> Result<Finished> {
    for text in [&finished.stdout, &finished.stderr] {
        let acts = |c: &char| (c.is_control() && *c != '\n') || "\u{202e}\u{200b}\u{2028}".contains(*c);
        let found = text.chars().find(acts);
        ensure!(found.is_none(), "{found:?} in {text:?}");
        let forged = text.lines().find(|line| line.starts_with("wasock: forged"));
        ensure!(forged.is_none(), "a forged line in {text:?}");
    }
    // Within a line.
    ensure!(format!("{}{}", finished.stdout, finished.stderr).contains("wasock: forged"), "{finished}");
    Ok(finished)
}

/// The same with `inspect`, which prints what it finds on standard output.
fn is_inspected(program: &str) -> Result<()> {
    is_harmless(wasock().args(["inspect", program]).succeed()?).map(drop)
}

/// S4: names in a backtrace are escaped.
#[test]
pub(crate) fn names_in_backtrace() -> Result<()> {
    for details in ["0", "1"] {
        let run = run().env("WASMTIME_BACKTRACE_DETAILS", details);
        is_harmless(run.arg(guest_tests::NAMES_IN_BACKTRACE).finish()?)?
            .expect_code(134)?
            .expect_stderr("wasock: the guest trapped: wasm trap: wasm `unreachable`")?
            .expect_stderr("    0: <unknown>!\\u{1b}]0;title\\u{7}")?
            .expect_stderr("    1: <unknown>!<wasm function 1>")?;
    }
    Ok(())
}

#[test]
pub(crate) fn names_of_missing_imports() -> Result<()> {
    let finished = is_harmless(run().arg(guest_tests::NAMES_OF_MISSING_IMPORTS).finish()?)?;
    let expected = "wasock: the module imports what this host does not have:\n  \
                    nobody\\u{1b}[31m\\nwasock: forged.x\\u{1b}]0;title\\u{7} (a function)\n";
    ensure!(finished.stderr == expected, "{finished}");
    is_inspected(guest_tests::NAMES_OF_MISSING_IMPORTS)
}

#[test]
pub(crate) fn names_of_stubbed_imports() -> Result<()> {
    is_harmless(run().arg(guest_tests::NAMES_OF_STUBBED_IMPORTS).succeed()?)?
        .expect_one_line()?
        .expect_stderr("is not implemented; it answers ENOSYS")?;
    is_inspected(guest_tests::NAMES_OF_STUBBED_IMPORTS)
}

#[test]
pub(crate) fn names_of_handlers() -> Result<()> {
    for flags in [&[][..], &["-v", "-v"], &["--trace"]] {
        is_harmless(run().args(flags).arg(guest_tests::NAMES_OF_HANDLERS).succeed()?)?
            .expect_stderr("is no handler for signals")?;
    }
    Ok(())
}

/// Names of a hundred thousand bytes, each of which is six characters here.
#[test]
fn long_names_are_cut() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wat");
    let name = r"\1b".repeat(90_000);
    let modules = [
        (1, format!("(module (import \"{name}\" \"{name}\" (func)))")),
        (
            134,
            format!(
                "(module (func $a (@name \"{name}\") unreachable) (memory (export \"memory\") 1) \
             (func (export \"_start\") (call $a)))"
            ),
        ),
        (1, format!("(module (func (export \"{name}\")) (func (export \"{name}\")))")),
        (
            0,
            format!(
                "(module (import \"wasi_snapshot_preview1\" \"{name}\" (func $a)) (memory (export \"memory\") 1) \
             (func (export \"_start\") (call $a)))"
            ),
        ),
    ];
    for (code, module) in modules {
        fs::write(&path, module)?;
        for details in ["0", "1"] {
            let finished = run().env("WASMTIME_BACKTRACE_DETAILS", details).arg(&path).finish()?;
            let finished = finished.expect_code(code)?.expect_stderr(r"\u{1b}\u{1b}")?.expect_stderr("..")?;
            let longest = finished.stderr.lines().map(str::len).max().unwrap_or_default();
            ensure!(longest < 1700, "a line of {longest} bytes");
        }
    }
    Ok(())
}

/// What the engine says of a module that it refuses quotes its names.
#[test]
fn names_in_a_module_that_is_not_valid() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wat");
    let export = r#"(func (export "\1b[31m\0awasock: forged"))"#;
    fs::write(&path, format!("(module {export} {export})"))?;
    is_harmless(run().arg(&path).finish()?)?.expect_code(1)?.expect_one_line()?;
    is_harmless(wasock().arg("inspect").arg(&path).finish()?)?.expect_code(1)?.expect_one_line().map(drop)
}

#[test]
fn the_name_of_a_module() -> Result<()> {
    is_harmless(run().arg(format!("/no/{HOSTILE}")).finish()?)?.expect_code(1)?.expect_one_line()?;
    is_harmless(wasock().args(["inspect", &format!("/no/{HOSTILE}")]).finish()?)?.expect_code(1)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(HOSTILE);
    for content in ["\0asm\x0d\0\x01\0", "ELF", "(module ("] {
        fs::write(&path, content)?;
        is_harmless(run().arg(&path).finish()?)?.expect_code(1)?.expect_one_line()?;
    }
    Ok(())
}

#[test]
fn arguments_of_the_command() -> Result<()> {
    for flag in ["--listen", "--connect", "--dir", "--env", "--resolve", "--publish", "--preopen-listen"] {
        let finished = run().args([&format!("{flag}={HOSTILE}"), guest_tests::TRAP]).finish()?;
        is_harmless(finished).map_err(|error| error.context(flag))?;
    }
    is_harmless(run().arg(format!("--{HOSTILE}")).finish()?)?.expect_code(2)?.expect_one_line()?;
    is_harmless(wasock().arg(HOSTILE).finish()?)?.expect_code(2)?.expect_one_line().map(drop)
}

/// Denials name what was asked for, and the flag that would allow it, as a shell reads it.
#[test]
fn a_name_that_a_guest_looks_up() -> Result<()> {
    let name = format!("{HOSTILE} $(reboot)");
    for flags in [&[][..], &["--trace"], &["-v"]] {
        let finished = run()
            .args(["--resolve", "localhost"])
            .args(flags)
            .args([guest_tests::RESOLVE_NAMES, "localhost", &name])
            .finish()?;
        is_harmless(finished)?.expect_stderr(r"allow it with --resolve '\u{1b}]0;title")?;
    }
    Ok(())
}

/// S4: the name of a socket is escaped.
#[test]
fn the_name_of_a_socket() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let directory = format!("{}::/run", folder.path().display());
    let path = format!("/run/{HOSTILE}");
    for flags in [&["--connect", "unix:/run/other"][..], &["--connect", "unix:*", "--trace", "-v"]] {
        let mut finished = run()
            .args(["--dir", &directory])
            .args(flags)
            .args([guest_tests::UNIX_CLIENT, "stream", &path, "hello"])
            .finish()?;
        // What the guest itself says is its own affair.
        let is_hosts = |line: &&str| line.starts_with("wasock: ") || line.starts_with("sock_connect(");
        finished.stderr = finished.stderr.lines().filter(is_hosts).map(|line| format!("{line}\n")).collect();
        is_harmless(finished)?;
    }
    Ok(())
}

/// S4: a log has no escape sequences.
///
/// What goes to a log file has no colours.
#[test]
fn a_log_has_no_escape_sequences() -> Result<()> {
    let mut server = run_on_loopback()
        .env("NO_COLOR", "")
        .args(["-v", guest_tests::HTTP_SERVER, "127.0.0.1:0"])
        .start()?;
    HttpClient::connect(server.listening()?)?.get("/")?;
    server.wait_for_stderr("connection from 127.0.0.1:")?;
    let finished = server.stop()?;
    ensure!(!finished.stderr.contains('\u{1b}'), "{:?}", finished.stderr);
    Ok(())
}
