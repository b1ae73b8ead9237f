//! The manifests of docs/kubernetes: they fit the schemas of Kubernetes, and their service file is one.

use super::wasock;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The schemas, and one manifest after the other.
const VALIDATE: &str = "
import sys, yaml, kubernetes_validate as validate
for path in sys.argv[2:]:
    for manifest in yaml.safe_load_all(open(path)):
        validate.validate(manifest, sys.argv[1], strict=True)
        print(path, manifest['kind'])
";

/// Kubernetes that have `preStop` with `sleep` by default, the oldest one first.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes")
}

fn manifest(name: &str) -> Result<String> {
    fs::read_to_string(folder().join(name)).with_context(|| name.to_owned())
}

fn manifests() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder())? {
        found.extend(Some(entry?.path()).filter(|path| path.extension().is_some_and(|it| it == "yaml")));
    }
    found.sort();
    Ok(found)
}

fn validate(version: &str, paths: &[PathBuf]) -> Result<std::process::Output> {
    Ok(Command::new("python3").args(["-c", VALIDATE, version]).args(paths).output()?)
}

#[test]
fn each_manifest_fits_its_schema() -> Result<()> {
    let has_schemas = Command::new("python3").args(["-c", "import kubernetes_validate"]).output();
    if !has_schemas.is_ok_and(|output| output.status.success()) {
        eprintln!("passed over: no schemas: `pip install kubernetes-validate` would bring them");
        return Ok(());
    }
    let manifests = manifests()?;
    for version in VERSIONS {
        let output = validate(version, &manifests)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "with {version}: {said}");
        let kinds = String::from_utf8(output.stdout)?;
        for kind in ["Deployment", "HorizontalPodAutoscaler", "RuntimeClass", "Service", "ConfigMap"] {
            ensure!(kinds.lines().any(|line| line.ends_with(kind)), "no {kind} in\n{kinds}");
        }
    }
    // A key that there is not is found.
    let folder = tempfile::tempdir()?;
    let wrong = folder.path().join("wrong.yaml");
    fs::write(&wrong, manifest("deployment.yaml")?.replace("readinessProbe:", "readyProbe:"))?;
    ensure!(!validate("1.37", &[wrong])?.status.success(), "anything fits");
    Ok(())
}

/// The text of the service file in `policy.yaml`.
fn service_file() -> Result<String> {
    let policy = manifest("policy.yaml")?;
    let (_, lines) = policy.split_once("  service.toml: |\n").context("no service file")?;
    let lines = lines.lines().map_while(|line| line.strip_prefix("    "));
    Ok(lines.fold(String::new(), |text, line| text + line + "\n"))
}

#[test]
fn the_service_file_of_the_manifest_is_good() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("service.toml");
    fs::write(&path, service_file()?)?;
    let path = path.to_str().context("a path")?;
    for (wish, code) in [("listen 0.0.0.0:8080", 0), ("listen 0.0.0.0:22", 1), ("connect 10.96.0.1:443", 1)] {
        wasock().args(["check", path, "--explain", wish]).finish()?.expect_code(code)?;
    }
    Ok(())
}

/// The value behind the first line with this key.
fn value<'a>(text: &'a str, key: &str) -> Result<&'a str> {
    let line = text.lines().map(str::trim).find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split([':', '=']).nth(1)).with_context(|| format!("no {key}"))?;
    Ok(value.trim().trim_matches('"'))
}

fn seconds(text: &str, key: &str) -> Result<u64> {
    let value = value(text, key)?;
    value.trim_end_matches('s').parse().with_context(|| format!("{key} is {value}"))
}

/// The kubelet's SIGKILL never comes before the host is done.
#[test]
fn a_drain_fits_the_grace_period_of_the_manifest() -> Result<()> {
    let (deployment, policy) = (manifest("deployment.yaml")?, service_file()?);
    let grace = seconds(&deployment, "terminationGracePeriodSeconds")?;
    // At the deadline of a drain a guest that handles signals has two seconds more.
    let needed = seconds(&deployment, "seconds")? + seconds(&policy, "drain-timeout")? + 2;
    ensure!(needed + 5 <= grace, "{needed} of {grace} seconds are needed");
    Ok(())
}

#[test]
fn the_ports_of_the_manifests_are_those_of_the_service_file() -> Result<()> {
    let (deployment, policy) = (manifest("deployment.yaml")?, service_file()?);
    for (key, name) in [("listen", "http"), ("probes", "probes")] {
        let line = policy.lines().find(|line| line.starts_with(key)).context(key)?;
        let port = line.rsplit(':').next().context("a port")?.trim_matches('"');
        let declared = format!("- name: {name}\n              containerPort: {port}\n");
        ensure!(deployment.contains(&declared), "{declared:?} is not in\n{deployment}");
    }
    ensure!(deployment.contains("prometheus.io/port: \"9000\""), "the annotation has another port");
    ensure!(value(&deployment, "mountPath")? == "/etc/wasock", "it is mounted elsewhere");
    Ok(())
}
