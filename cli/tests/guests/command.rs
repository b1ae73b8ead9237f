//! The command line: what it prints, and how it ends.

use super::{run, run_on_loopback, wasock};
use anyhow::{Result, ensure};
use guest_tests::Finished;
use rustix::process::Signal;
use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

#[test]
pub(crate) fn args_env_exit() -> Result<()> {
    let finished = run()
        .args(["--env", "ONE=1", "--env", "EMPTY=", "--env", "EQUAL=a=b"])
        .env("FROM_THE_HOST", "no")
        .args([guest_tests::ARGS_ENV_EXIT, "42", "--listen", "with spaces", "ümlaut"])
        .finish()?
        .expect_code(42)?;
    let expected = "arg 1: 42\narg 2: --listen\narg 3: with spaces\narg 4: ümlaut\n\
                    env EMPTY=\nenv EQUAL=a=b\nenv ONE=1\n";
    ensure!(finished.stdout == expected, "{finished}");
    Ok(())
}

#[test]
fn exit_codes_pass() -> Result<()> {
    for code in [0, 1, 3, 125] {
        run().args([guest_tests::ARGS_ENV_EXIT, &code.to_string()]).finish()?.expect_code(code)?;
    }
    Ok(())
}

#[test]
fn environment_is_inherited_on_demand() -> Result<()> {
    run()
        .args(["--inherit-env", "--env", "ONE=1", guest_tests::ARGS_ENV_EXIT, "0"])
        .env("FROM_THE_HOST", "yes")
        .succeed()?
        .expect_stdout("env FROM_THE_HOST=yes\n")?
        .expect_stdout("env ONE=1\n")
        .map(drop)
}

#[test]
pub(crate) fn trap() -> Result<()> {
    run()
        .arg(guest_tests::TRAP)
        .finish()?
        .expect_code(134)?
        .expect_stderr("unreachable")?
        .expect_stderr("the_innermost_function")?
        .expect_stderr("the_function_around_it")?
        .expect_no_stderr("panicked")
        .map(drop)
}

#[test]
fn trap_shows_where_in_the_module_on_demand() -> Result<()> {
    // "    1:    0x9c3 - program.wasm!the_function_around_it"
    let has_offset =
        |said: &str| said.lines().any(|line| line.contains("0x") && line.contains("the_function_around_it"));
    let finished = run().env("WASMTIME_BACKTRACE_DETAILS", "1").arg(guest_tests::TRAP).finish()?;
    ensure!(has_offset(&finished.stderr), "{finished}");
    let finished = run().env("WASMTIME_BACKTRACE_DETAILS", "0").arg(guest_tests::TRAP).finish()?;
    ensure!(!has_offset(&finished.stderr), "{finished}");
    Ok(())
}

#[test]
pub(crate) fn spin() -> Result<()> {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut running = run().arg(guest_tests::SPIN).start()?;
        running.wait_for_stdout("spinning")?;
        running.signal(signal)?;
        running.finish()?.expect_code(code)?.expect_no_stderr("panicked")?;
    }
    Ok(())
}

#[test]
fn signals_end_a_server_that_waits() -> Result<()> {
    // In a poll, and in a blocking accept.
    for program in [guest_tests::HTTP_SERVER, guest_tests::ECHO_SERVER] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let mut running = run_on_loopback().args([program, "127.0.0.1:0"]).start()?;
            running.listening()?;
            running.signal(signal)?;
            running.finish()?.expect_code(code)?.expect_no_stderr("panicked")?;
        }
    }
    Ok(())
}

#[test]
pub(crate) fn unknown_module() -> Result<()> {
    let finished = run().arg(guest_tests::UNKNOWN_MODULE).finish()?.expect_code(1)?;
    for import in ["no_such_module", "first", "second", "another_module", "third"] {
        ensure!(finished.stderr.contains(import), "no {import}\n{finished}");
    }
    finished.expect_no_stderr("panicked").map(drop)
}

#[test]
pub(crate) fn nosys_stub() -> Result<()> {
    let finished = run().arg(guest_tests::NOSYS_STUB).finish()?.expect_code(52)?;
    for name in ["ws_connect", "http_status"] {
        let lines = finished.stderr_lines_with(name);
        ensure!(lines.len() == 1, "{name} is named {} times\n{finished}", lines.len());
    }
    Ok(())
}

/// A complaint of the host about what it was given.
fn is_complaint(finished: Finished, code: i32, about: &str) -> Result<()> {
    finished
        .expect_code(code)?
        .expect_one_line()?
        .expect_stderr(about)?
        .expect_no_stderr("panicked")
        .map(drop)
}

#[test]
fn what_is_not_wasm_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wasm");
    let name = path.display().to_string();
    for content in ["", "hello", "\0asm", "\0asm\u{1}\0\0\0rest", "\u{7f}ELF"] {
        fs::write(&path, content)?;
        is_complaint(run().arg(&path).finish()?, 1, &name)?;
    }
    Ok(())
}

#[test]
fn component_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wasm");
    fs::write(&path, b"\0asm\x0d\0\x01\0")?;
    is_complaint(run().arg(&path).finish()?, 1, "component")
}

#[test]
fn module_without_start_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wat");
    fs::write(&path, "(module (memory (export \"memory\") 1))")?;
    is_complaint(run().arg(&path).finish()?, 1, "_start")
}

#[test]
fn missing_file_is_named() -> Result<()> {
    is_complaint(run().arg("/no/such/file.wasm").finish()?, 1, "/no/such/file.wasm")?;
    let folder = tempfile::tempdir()?;
    let name = folder.path().display().to_string();
    is_complaint(run().arg(folder.path()).finish()?, 1, &name)
}

#[test]
fn bad_flags_are_usage_errors() -> Result<()> {
    let cases = [
        ["--listen", "nonsense"],
        ["--listen", "127.0.0.1"],
        ["--listen", "127.0.0.1:99999"],
        ["--listen", "127.0.0.1:9-8"],
        ["--listen", "10.0.0.0/33:80"],
        ["--connect", "[::1]"],
        ["--accept-from", "not-a-network"],
        ["--max-fds", "many"],
        ["--max-fds", "-1"],
        ["--env", "=value"],
        ["--dir", "/no/such/folder"],
        ["--dir", "/dev/null"],
    ];
    for [flag, value] in cases {
        let finished = run().args([flag, value, guest_tests::ARGS_ENV_EXIT, "0"]).finish()?;
        // A folder that is not there is no error of usage.
        let code = if flag == "--dir" { 1 } else { 2 };
        finished.expect_code(code)?.expect_stderr(value)?.expect_no_stderr("panicked")?;
    }
    run().args(["--no-such-flag", guest_tests::CLIENT]).finish()?.expect_code(2)?;
    run().finish()?.expect_code(2)?;
    wasock().arg("no-such-command").finish()?.expect_code(2)?;
    Ok(())
}

#[test]
fn help_is_on_stdout() -> Result<()> {
    wasock().arg("--help").succeed()?.expect_stdout("run")?.expect_stdout("inspect")?;
    run().arg("--help").succeed()?.expect_stdout("--listen")?.expect_stdout("--trace")?;
    wasock().arg("--version").succeed()?.expect_stdout("wasock")?;
    Ok(())
}

/// A shell runs `script` with the command line `wasock` as its arguments.
fn shell(script: &str, args: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_wasock")]).args(args);
    Ok(command.env_remove("RUST_BACKTRACE").stdin(Stdio::null()).output()?)
}

#[test]
fn standard_error_has_no_reader() -> Result<()> {
    // The reader of standard error is gone before there is anything to read.
    let script = r#"exec 3>&1; { sleep 0.2; "$@" 2>&1 >&3; echo "code $?" >&3; } | true"#;
    let cases: [(&[&str], &str); 4] = [
        (&["run", guest_tests::PORT_PROBE, "listen"], "code 0"),
        (&["run", "--trace", guest_tests::ARGS_ENV_EXIT, "5"], "code 5"),
        (&["run", guest_tests::TRAP], "code 134"),
        (&["run", "/no/such/file"], "code 1"),
    ];
    for (args, expected) in cases {
        let output = shell(script, args)?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        ensure!(stdout.lines().any(|line| line == expected), "{args:?}: {stdout}");
    }
    // Nor what it says on standard output.
    let output =
        shell(r#"{ sleep 0.2; "$@"; echo "code $?" >&2; } | true"#, &["inspect", guest_tests::TRAP])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(stderr == "code 0\n", "{stderr}");
    Ok(())
}

#[test]
fn signal_ends_a_guest_whose_output_is_not_read() -> Result<()> {
    // More than a pipe holds.
    let much = "x".repeat(100_000);
    for (signal, code) in [("TERM", "code 143\n"), ("INT", "code 130\n")] {
        let script = format!(
            r#"set -m; exec 3>&1; exec > >(sleep 20); "$@" & sleep 0.5; kill -{signal} $!; kill -{signal} $!
            wait $!; echo "code $?" >&3; kill %% 2>/dev/null; exec >&-"#
        );
        let output = shell(&script, &["run", guest_tests::ARGS_ENV_EXIT, "0", &much])?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        ensure!(stdout == code, "{stdout}");
    }
    Ok(())
}

#[test]
fn descriptor_limit_below_the_standard_streams_is_refused() -> Result<()> {
    for limit in ["0", "1", "2"] {
        let args = ["--max-fds", limit, guest_tests::ARGS_ENV_EXIT, "0"];
        is_complaint(run().args(args).finish()?, 1, "descriptors")?;
    }
    run().args(["--max-fds", "3", guest_tests::ARGS_ENV_EXIT, "0"]).succeed()?;
    is_complaint(
        run().args(["--max-fds", "3", "--dir", ".", guest_tests::ARGS_ENV_EXIT, "0"]).finish()?,
        1,
        "descriptors",
    )
}

#[test]
fn compile_cache_is_no_condition() -> Result<()> {
    for home in ["", "relative", "/dev/null", "/proc/no-such"] {
        let names = ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"];
        let wasock = names.iter().fold(run(), |wasock, name| wasock.env(name, home));
        let finished = wasock.args([guest_tests::ARGS_ENV_EXIT, "0"]).succeed()?;
        ensure!(finished.stderr.is_empty(), "{home:?}: {finished}");
    }
    Ok(())
}

#[test]
fn text_that_is_no_module_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wat");
    for content in ["(module (func", "((((((", "(module))", &"(".repeat(100_000)] {
        fs::write(&path, content)?;
        is_complaint(run().arg(&path).finish()?, 1, "not a valid module")?;
    }
    Ok(())
}

#[test]
fn address_in_use_ends_the_guest() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let addr = taken.local_addr()?.to_string();
    run_on_loopback()
        .args([guest_tests::HTTP_SERVER, &addr])
        .finish()?
        .expect_code(1)?
        .expect_stderr("AddrInUse")?
        .expect_no_stderr("listening on")?
        .expect_no_stderr("panicked")
        .map(drop)
}

#[test]
fn denial_says_what_would_allow_it() -> Result<()> {
    let finished = run().args([guest_tests::HTTP_SERVER, "127.0.0.1:8080"]).finish()?.expect_code(1)?;
    let denials = finished.stderr_lines_with("wasock: denied");
    let expected = "wasock: denied sock_bind of 127.0.0.1:8080: no --listen grant covers it; allow it with --listen 127.0.0.1:8080";
    ensure!(denials == [expected], "{finished}");

    let finished = run().args([guest_tests::CLIENT, "127.0.0.1:9", ""]).finish()?.expect_code(2)?;
    let denials = finished.stderr_lines_with("wasock: denied");
    let expected = "wasock: denied sock_connect of 127.0.0.1:9: no --connect grant covers it; allow it with --connect 127.0.0.1:9";
    ensure!(denials == [expected], "{finished}");
    Ok(())
}

#[test]
fn grants_are_ports_and_networks() -> Result<()> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let port = free.port();
    let cases = [
        (format!("127.0.0.1:{port}"), true),
        (format!("127.0.0.0/8:{port}"), true),
        (format!("*:{port}"), true),
        ("*:*".to_owned(), true),
        (format!("127.0.0.1:{}-{}", port - 1, port), true),
        (format!("127.0.0.1:{}", port - 1), false),
        (format!("127.0.0.2:{port}"), false),
        (format!("[::1]:{port}"), false),
        (format!("10.0.0.0/8:{port}"), false),
    ];
    for (grant, is_allowed) in cases {
        let mut running =
            run().args(["--listen", &grant, guest_tests::HTTP_SERVER, &free.to_string()]).start()?;
        if is_allowed {
            ensure!(running.listening()? == free, "{grant}");
            running.stop()?;
        } else {
            running.finish()?.expect_code(1)?.expect_stderr("denied sock_bind")?;
        }
    }
    Ok(())
}

#[test]
fn connect_is_not_granted_by_listen() -> Result<()> {
    run()
        .args(["--listen", "*:*", guest_tests::CLIENT, "127.0.0.1:9", ""])
        .finish()?
        .expect_code(2)?
        .expect_stderr("allow it with --connect 127.0.0.1:9")
        .map(drop)
}

#[test]
fn inspect_describes_a_module() -> Result<()> {
    wasock()
        .args(["inspect", guest_tests::HTTP_SERVER])
        .succeed()?
        .expect_stdout("wasix")?
        .expect_stdout("sock_listen")?;
    wasock().args(["inspect", guest_tests::NOSYS_STUB]).finish()?.expect_stdout("ws_connect")?;
    wasock().args(["inspect", guest_tests::UNKNOWN_MODULE]).finish()?.expect_stdout("no_such_module")?;
    is_complaint(wasock().args(["inspect", "/no/such.wasm"]).finish()?, 1, "/no/such.wasm")
}
