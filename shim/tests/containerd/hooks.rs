//! Hooks, by which nerdctl and others give networks to containers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use guest_tests::Wasock;
use serde_json::{Value, json};

use crate::host::{Host, WASOCK, next_number};
use crate::programs;

/// A hook that adds a line to the file `log`: its name, and the container that it is called for.
fn hook(name: &str, log: &Path) -> Value {
    let adds = format!("(printf '{name} '; cat; echo) >> {}", log.display());
    json!({ "path": "/bin/sh", "args": ["sh", "-c", adds] })
}

/// Runs a container that has these hooks. Returns the lines.
fn run_with(host: &Host, hooks: &[&str]) -> Result<Vec<String>> {
    let number = next_number();
    let folder = host.folder().join(format!("hooks-{number}"));
    let (root, log) = (folder.join("root"), folder.join("log"));
    fs::create_dir_all(&root)?;
    fs::write(root.join("cat.wasm"), programs::CAT)?;
    let mut spec: Value = serde_json::from_str(&host.asked(&["oci", "spec"])?)?;
    let object = spec.as_object_mut().context("no object")?;
    object.insert("root".to_owned(), json!({ "path": root }));
    let hooks = hooks.iter().map(|name| ((*name).to_owned(), json!([hook(name, &log)]))).collect();
    object.insert("hooks".to_owned(), Value::Object(hooks));
    if let Some(process) = object.get_mut("process").and_then(Value::as_object_mut) {
        process.extend([("args".to_owned(), json!(["/cat.wasm"])), ("terminal".to_owned(), json!(false))]);
    }
    let id = format!("test-{}-{number}", std::process::id());
    if let Some(linux) = object.get_mut("linux").and_then(Value::as_object_mut) {
        linux.insert("cgroupsPath".to_owned(), json!(format!("/{}/{id}", host.namespace())));
    }
    let file = folder.join("spec.json");
    fs::write(&file, serde_json::to_vec(&spec)?)?;
    let run = ["--namespace", host.namespace(), "run", "--rm", "--null-io", "--runtime", WASOCK, "--config"];
    let run = Wasock::new("ctr").arg("--address").arg(host.address()).args(run).arg(file).arg(id);
    run.finish()?.expect_code(0)?;
    Ok(fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect())
}

/// nerdctl has `createRuntime` and `poststop`; Docker had `prestart` up to its version 25.
#[test]
fn hooks_are_called_once_for_the_process_of_the_container() -> Result<()> {
    let Some(host) = Host::start()? else { return Ok(()) };
    for hooks in [&["createRuntime", "poststop"][..], &["prestart", "createRuntime"], &["poststop"]] {
        let lines = run_with(&host, hooks)?;
        let names: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
        ensure!(names == hooks, "{lines:#?}");
        // The container's whole state: its name, its process, its folder.
        ensure!(lines.iter().all(|line| line.contains("\"bundle\"")), "{lines:#?}");
    }
    host.wait_until_nothing_is_left()
}
