//! What a component is, and what is said of one that does not run.

use crate::{run, wasock};
use anyhow::{Context as _, Result, ensure};
use guest_tests::Finished;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A component in text, with these imports, that exports `run` as a part of this interface.
fn component(imports: &str, interface: &str) -> Result<(TempDir, PathBuf)> {
    written(&format!(
        r#"(component {imports}
            (core module $code (func (export "run") (result i32) i32.const 0))
            (core instance $core (instantiate $code))
            (func $run (result (result)) (canon lift (core func $core "run")))
            (instance $interface (export "run" (func $run)))
            (export "{interface}" (instance $interface)))"#
    ))
}

fn written(text: &str) -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wat");
    fs::write(&path, text)?;
    Ok((folder, path))
}

fn is_told(finished: Finished, words: &[&str]) -> Result<()> {
    let finished = finished.expect_code(1)?;
    ensure!(finished.stderr.lines().count() == 1, "{finished}");
    words.iter().try_fold(finished, |finished, words| finished.expect_stderr(words)).map(drop)
}

#[test]
fn a_component_in_text_runs() -> Result<()> {
    for interface in ["wasi:cli/run@0.2.0", "wasi:cli/run@0.2.3", "wasi:cli/run@0.2.99"] {
        let (_folder, path) = component("", interface)?;
        run().arg(&path).succeed()?;
    }
    Ok(())
}

#[test]
fn a_component_that_returns_an_error_ends_with_1() -> Result<()> {
    let (_folder, path) = component("", "wasi:cli/run@0.2.0")?;
    let text = fs::read_to_string(&path)?.replace("i32.const 0", "i32.const 1");
    fs::write(&path, text)?;
    run().arg(&path).finish()?.expect_code(1).map(drop)
}

#[test]
fn a_result_that_is_none_of_its_type_is_a_trap() -> Result<()> {
    let (_folder, path) = component("", "wasi:cli/run@0.2.0")?;
    let text = fs::read_to_string(&path)?.replace("i32.const 0", "i32.const 7");
    fs::write(&path, text)?;
    run().arg(&path).finish()?.expect_code(134)?.expect_stderr("the guest trapped").map(drop)
}

/// The engine has async functions then.
#[test]
fn a_command_of_wasi_0_3_runs() -> Result<()> {
    let (_folder, path) = component("", "wasi:cli/run@0.3.0")?;
    let text = fs::read_to_string(&path)?;
    let text = text.replace("(func $run (result (result))", "(func $run async (result (result))");
    fs::write(&path, &text)?;
    run().arg(&path).succeed()?;
    fs::write(&path, text.replace("i32.const 0", "i32.const 1"))?;
    run().arg(&path).finish()?.expect_code(1)?;
    fs::write(&path, text.replace("i32.const 0", "unreachable"))?;
    run().arg(&path).finish()?.expect_code(134)?.expect_stderr("unreachable")?;
    fs::write(&path, text.replace("i32.const 0", "(loop br 0) i32.const 0"))?;
    run().args(["--timeout", "300ms"]).arg(&path).finish()?.expect_code(124).map(drop)
}

/// The one that runs uses the other.
#[test]
fn a_component_made_of_two_runs() -> Result<()> {
    let (_folder, path) = written(
        r#"(component
            (component $answers
                (core module $code (func (export "answer") (result i32) i32.const 7))
                (core instance $core (instantiate $code))
                (func (export "answer") (result u32) (canon lift (core func $core "answer"))))
            (component $program
                (import "answer" (func $answer (result u32)))
                (core func $lowered (canon lower (func $answer)))
                (core module $code
                    (import "other" "answer" (func $answer (result i32)))
                    (func (export "run") (result i32) (i32.ne (call $answer) (i32.const 7))))
                (core instance $core
                    (instantiate $code (with "other" (instance (export "answer" (func $lowered))))))
                (func $run (result (result)) (canon lift (core func $core "run")))
                (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))
            (instance $one (instantiate $answers))
            (instance $two (instantiate $program (with "answer" (func $one "answer"))))
            (export "wasi:cli/run@0.2.0" (instance $two "wasi:cli/run@0.2.0")))"#,
    )?;
    run().arg(&path).succeed().map(drop)
}

#[test]
fn a_handler_of_http_is_told_what_serves_it() -> Result<()> {
    for interface in ["wasi:http/incoming-handler@0.2.3", "wasi:http/handler@0.3.0"] {
        let (_folder, path) = component("", interface)?;
        is_told(run().arg(&path).finish()?, &["is an HTTP component", interface, "`wasmtime serve`"])?;
    }
    Ok(())
}

#[test]
fn a_library_component_is_told_from_a_program() -> Result<()> {
    let (_folder, path) = component("", "my:thing/tool@1.0.0")?;
    is_told(run().arg(&path).finish()?, &["is a library component", "my:thing/tool@1.0.0", "wasi:cli/run"])
}

#[test]
fn a_command_of_another_wasi_is_told_so() -> Result<()> {
    for interface in ["wasi:cli/run@0.3.0-rc-2025-09-16", "wasi:cli/run@0.1.0"] {
        let (_folder, path) = component("", interface)?;
        is_told(run().arg(&path).finish()?, &["command of another WASI", interface, "0.2.x and @0.3.x"])?;
    }
    Ok(())
}

const UNKNOWN_IMPORTS: &str = r#"
    (import "my:thing/tool@1.0.0" (instance (export "use" (func))))
    (import "wasi:http/types@0.2.3" (instance (export "f" (func))))
    (import "wasi:io/poll@0.3.0" (instance (export "poll" (func))))
    (import "plain" (func))
    (import "my:thing/types@1.0.0" (instance (type $t (record (field "a" u8))) (export "t" (type (eq $t)))))"#;

/// All of them, with their versions, and those that the host has; what is types alone needs no host.
#[test]
fn imports_that_the_host_lacks_are_listed() -> Result<()> {
    let (_folder, path) = component(UNKNOWN_IMPORTS, "wasi:cli/run@0.2.0")?;
    let finished = run().arg(&path).finish()?.expect_code(1)?;
    let expected = "wasock: the component imports what this host does not have:\n  \
                    my:thing/tool@1.0.0\n  wasi:http/types@0.2.3\n  \
                    wasi:io/poll@0.3.0 (this host has 0.2.12)\n  plain\n";
    ensure!(finished.stderr == expected, "{finished}");
    Ok(())
}

/// `inspect` says what keeps a component from starting as `run` does.
fn does_not_start(path: &Path, words: &[&str]) -> Result<()> {
    is_told(run().arg(path).finish()?, words)?;
    let told = wasock().arg("inspect").arg(path).succeed()?;
    let told = words.iter().try_fold(told, |told, words| told.expect_stdout(words))?;
    told.expect_stdout(
        "missing (the component does not start): 0\nof another type (the component does not start): ",
    )?;
    let found = wasock().args(["inspect", "--format", "json"]).arg(path).succeed()?;
    let found: Value = serde_json::from_str(&found.stdout)?;
    let why = found.get("mismatch").and_then(Value::as_str).context("no mismatch")?;
    ensure!(words.iter().all(|words| why.contains(words)), "{why}");
    ensure!(found.get("starts") == Some(&json!(false)), "{found:#}");
    Ok(())
}

#[test]
fn an_interface_with_another_function_is_named() -> Result<()> {
    for function in [
        // One that it has not.
        r#"(export "no-such" (func))"#,
        // Others than it has.
        r#"(export "get-random-u64" (func (result u32)))"#,
        r#"(export "get-random-u64" (func (param "much" u64) (result u64)))"#,
    ] {
        let import = format!(r#"(import "wasi:random/random@0.2.0" (instance {function}))"#);
        let (_folder, path) = component(&import, "wasi:cli/run@0.2.0")?;
        let name = if function.contains("no-such") { "no-such" } else { "get-random-u64" };
        does_not_start(&path, &["wasi:random/random@0.2.0", name]).context(function)?;
    }
    Ok(())
}

#[test]
fn a_program_whose_run_has_another_type_is_told_so() -> Result<()> {
    for (from, to) in [
        ("(func $run (result (result))", "(func $run (result bool)"),
        ("(func $run (result (result))", "(func $run (result u32)"),
        (r#"(export "run" (func $run)))"#, r#"(export "walk" (func $run)))"#),
    ] {
        let (_folder, path) = component("", "wasi:cli/run@0.2.0")?;
        let text = fs::read_to_string(&path)?.replace(from, to);
        fs::write(&path, text)?;
        does_not_start(&path, &["wasi:cli/run@0.2.0", "run"]).context(to)?;
    }
    Ok(())
}

/// The code of functions is not looked at: what is large is described at once.
#[test]
fn a_component_with_much_code_is_described() -> Result<()> {
    let (_folder, path) = component("", "wasi:cli/run@0.2.0")?;
    let body = "(drop (i32.const 1))".repeat(200);
    let functions = format!("(func {body})").repeat(2000);
    let text =
        fs::read_to_string(&path)?.replace("(core module $code", &format!("(core module $code {functions}"));
    fs::write(&path, text)?;
    wasock()
        .args(["inspect", "--format", "json"])
        .arg(&path)
        .succeed()?
        .expect_stdout("\"starts\": true")
        .map(drop)
}

#[test]
fn what_a_component_imports_and_exports_is_described() -> Result<()> {
    let (_folder, path) = component(UNKNOWN_IMPORTS, "wasi:cli/run@0.2.0")?;
    let finished = wasock().args(["inspect", "--format", "json"]).arg(&path).succeed()?;
    let found: Value = serde_json::from_str(&finished.stdout)?;
    let expected = json!({
        "schema": 1,
        "kind": "component",
        "world": "wasi:cli/command",
        "wasi": "0.2",
        "starts": false,
        "mismatch": null,
        "imports": {
            "supported": [],
            "missing": ["my:thing/tool@1.0.0", "wasi:http/types@0.2.3", "wasi:io/poll@0.3.0", "plain"],
        },
        "exports": ["wasi:cli/run@0.2.0"],
    });
    ensure!(found == expected, "{found:#}");
    Ok(())
}

#[test]
fn a_broken_component_is_refused_in_one_line() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wasm");
    fs::write(&path, b"\0asm\x0d\0\x01\0\x07\xff\xff\xff\xff\x0f")?;
    is_told(run().arg(&path).finish()?, &["is not a valid component"])
}

#[test]
fn a_flag_without_meaning_for_a_component_is_refused() -> Result<()> {
    let (_folder, path) = component("", "wasi:cli/run@0.2.0")?;
    for flags in [
        ["--per-connection", "127.0.0.1:0"],
        ["--preopen-connect", "127.0.0.1:1"],
        ["--preopen-listen", "unix:./a.sock"],
        ["--preopen-listen", "127.0.0.1:0"],
        ["--preopen-udp", "[::1]:0"],
        ["--handler-timeout", "1s"],
        ["--on-trap", "restart"],
        ["--drain-signal", "TERM"],
    ] {
        is_told(run().args(flags).arg(&path).finish()?, &["is a component", flags[0]])?;
    }
    for flag in ["--unix-unlink", "--preopen-nonblocking"] {
        is_told(run().arg(flag).arg(&path).finish()?, &["is a component", flag])?;
    }
    Ok(())
}

/// No more is read of the module than its first bytes.
#[test]
fn a_configuration_is_checked_for_what_a_component_may_not_have() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (module, config) = (folder.path().join("a.wasm"), folder.path().join("a.toml"));
    fs::write(&module, b"\0asm\x0d\0\x01\0")?;
    let command = module.to_str().context("no text")?;
    fs::write(&config, format!("module = {command:?}\nunix-unlink = true\n"))?;
    is_told(wasock().arg("check").arg(&config).finish()?, &["is a component", "--unix-unlink"])
}

/// One sentence, whoever refuses it, and whether the component is binary or text.
#[test]
fn a_configuration_is_refused_as_the_run_is() -> Result<()> {
    let (folder, text) = component("", "wasi:cli/run@0.2.0")?;
    let binary = folder.path().join("a.wasm");
    fs::write(&binary, b"\0asm\x0d\0\x01\0")?;
    let config = folder.path().join("a.toml");
    for module in [&text, &binary] {
        let module = module.to_str().context("no text")?;
        for (flags, keys) in [
            (&["--per-connection", "127.0.0.1:0"][..], "per-connection = [\"127.0.0.1:0\"]"),
            (
                &["--per-connection", "127.0.0.1:0", "--per-connection-as", "event", "--warm"],
                "per-connection = [\"127.0.0.1:0\"]\nper-connection-as = \"event\"\nwarm = true",
            ),
            (&["--preopen-listen", "127.0.0.1:0"], "preopen-listen = [\"127.0.0.1:0\"]"),
            (&["--handler-timeout", "1s"], "handler-timeout = \"1s\""),
            (&["--on-trap", "restart"], "on-trap = \"restart\""),
            (&["--drain-signal", "TERM"], "drain-signal = \"TERM\""),
        ] {
            fs::write(&config, format!("module = {module:?}\n{keys}\n"))?;
            let checked = wasock().arg("check").arg(&config).finish()?.expect_code(1)?;
            let started = run().args(flags).arg(module).finish()?.expect_code(1)?;
            ensure!(checked.stderr.contains("is a component; "), "{checked}");
            ensure!(checked.stderr == started.stderr, "{checked}\n{started}");
        }
    }
    Ok(())
}
