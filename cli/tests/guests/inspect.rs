//! What `wasock inspect` says of a module, as JSON: the schema in `docs/cli.md`.

use std::fs;

use crate::{run, wasock};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

fn inspected(program: &str) -> Result<Value> {
    let finished = wasock().args(["inspect", "--format", "json", program]).succeed()?;
    ensure!(finished.stderr.is_empty(), "{finished}");
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

fn import(module: &str, name: &str) -> Value {
    json!({"module": module, "name": name})
}

fn of_text(text: &str) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wat");
    fs::write(&path, text)?;
    inspected(&path.display().to_string())
}

#[test]
fn every_field_is_there() -> Result<()> {
    let found = of_text(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
            (import "wasix_32v1" "sock_pair" (func (param i32 i32 i32 i32 i32) (result i32)))
            (import "wasix_32v1" "proc_fork" (func (param i32 i32) (result i32)))
            (import "wasix_32v1" "ws_connect" (func (param i32 i32 i32) (result i32)))
            (import "wasix_32v1" "thread_spawn_v2" (func (param i32 i32) (result i32)))
            (import "env" "memory" (memory 1 2 shared))
            (import "env" "table" (table 1 funcref))
            (func (export "wasock_on_accept") (param i32 i32))
            (func (export "_initialize")))"#,
    )?;
    let expected = json!({
        "schema": 1,
        "dialect": "wasix",
        "generation": "2-later",
        "since": "February 2025",
        "told_by": import("wasix_32v1", "sock_pair"),
        "memory": "imported-shared",
        "memory_import": import("env", "memory"),
        "threads": true,
        "processes": ["fork"],
        "handlers": ["wasock_on_accept"],
        "imports": {
            "supported": [
                import("wasi_snapshot_preview1", "fd_close"),
                import("wasix_32v1", "sock_pair"),
                import("wasix_32v1", "thread_spawn_v2"),
                import("env", "memory"),
            ],
            "refused": [import("wasix_32v1", "proc_fork")],
            "stubbed": [import("wasix_32v1", "ws_connect")],
            "missing": [import("env", "table")],
        },
    });
    ensure!(found == expected, "{found:#}");
    Ok(())
}

#[test]
fn what_does_not_apply_is_null() -> Result<()> {
    let found = of_text(r#"(module (memory (export "memory") 1))"#)?;
    let expected = json!({
        "schema": 1,
        "dialect": "wasi_snapshot_preview1",
        "generation": null,
        "since": null,
        "told_by": null,
        "memory": "exported",
        "memory_import": null,
        "threads": false,
        "processes": [],
        "handlers": [],
        "imports": {"supported": [], "refused": [], "stubbed": [], "missing": []},
    });
    ensure!(found == expected, "{found:#}");
    Ok(())
}

/// A reader gets the names as they are, and a terminal nothing that acts on it.
#[test]
fn names_come_back_whole() -> Result<()> {
    let finished =
        wasock().args(["inspect", "--format=json", guest_tests::NAMES_OF_MISSING_IMPORTS]).succeed()?;
    ensure!(finished.stdout.lines().all(|line| !line.contains(char::is_control)), "{finished}");
    let found: Value = serde_json::from_str(&finished.stdout)?;
    let missing = found.pointer("/imports/missing/0").context("nothing is missing")?;
    let expected = import("nobody\u{1b}[31m\nwasock: forged", "x\u{1b}]0;title\u{7}");
    ensure!(*missing == expected, "{missing}");
    Ok(())
}

/// A module is described without a look at what only a compiler needs.
#[test]
fn nothing_is_compiled() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("broken.wat");
    fs::write(&path, r#"(module (func (export "_start") i32.const 1))"#)?;
    run().arg(&path).finish()?.expect_code(1)?.expect_one_line()?;
    wasock().arg("inspect").arg(&path).succeed()?.expect_stdout("dialect: WASI preview 1\n").map(drop)
}
