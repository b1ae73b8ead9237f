//! What operators are answered.

use super::{Site, WAIT_TIMEOUT, at};
use anyhow::{Context as _, Result, ensure};
use guest_tests::HttpClient;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// The fields of the status that docs/admin.md lists, with the kind of their values.
fn documented() -> Result<Vec<(String, String)>> {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/admin.md");
    let page = std::fs::read_to_string(page)?;
    let (_, table) = page.split_once("<!-- status:begin -->").context("no table of the status")?;
    let (table, _) = table.split_once("<!-- status:end -->").context("the table has no end")?;
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (field, rest) = row.split_once("` |").context("a row")?;
        let kind = rest.split('|').next().context("a kind")?.trim();
        Ok((field.to_owned(), kind.to_owned()))
    })
    .collect()
}

/// The fields of `value`, as the page writes them: `generations[].number`.
fn fields(prefix: &str, value: &serde_json::Value, found: &mut Vec<(String, String)>) {
    let kind = match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "true or false",
        serde_json::Value::Number(_) => "number",
        serde_json::Value::String(_) => "text",
        serde_json::Value::Array(all) => {
            all.iter().for_each(|it| fields(&format!("{prefix}[]"), it, found));
            return;
        }
        serde_json::Value::Object(all) => {
            for (name, it) in all {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                fields(&name, it, found);
            }
            return;
        }
    };
    found.push((prefix.to_owned(), kind.to_owned()));
}

/// S1: the status is as documented.
#[test]
fn the_status_is_as_documented() -> Result<()> {
    let site = Site::start(&[])?;
    site.is_page()?;
    let documented = documented()?;
    let mut found = Vec::new();
    fields("", &site.status()?, &mut found);
    for (name, kind) in &found {
        let (_, known) = documented
            .iter()
            .find(|(it, _)| it == name)
            .with_context(|| format!("{name} is not documented"))?;
        let fits = known == kind
            || (kind == "null" && known.ends_with("or null"))
            || *known == format!("{kind} or null");
        ensure!(fits, "{name} is {kind}, and documented as {known}");
    }
    // What a server without denials and drains shows of it.
    for (name, _) in documented.iter().filter(|(name, _)| !name.starts_with("denials")) {
        ensure!(found.iter().any(|(it, _)| it == name), "{name} is documented, and is not there");
    }
    site.running.stop().map(drop)
}

#[test]
fn the_status_counts_what_happens() -> Result<()> {
    let site = Site::start(&["--max-connections", "50"])?;
    let mut client = HttpClient::connect(site.addr)?;
    client.get("/")?;
    let begun = Instant::now();
    let status = loop {
        let status = site.status()?;
        // What is sent is counted a moment after the peer has it.
        if at(&status, "/open_connections") == 1 && at(&status, "/totals/sent_bytes").as_u64() > Some(0) {
            break status;
        }
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "{status:#}");
        thread::sleep(Duration::from_millis(20));
    };
    ensure!(at(&status, "/ready") == true && at(&status, "/draining") == false, "{status:#}");
    ensure!(at(&status, "/listeners/0/address") == site.addr.to_string(), "{status:#}");
    ensure!(at(&status, "/listeners/0/accepted") == 1, "{status:#}");
    let limits = at(&status, "/limits");
    let limits = limits.as_array().context("limits")?;
    let limit = limits.iter().find(|it| at(it, "/name") == "max-connections").context("no such limit")?;
    ensure!(at(limit, "/most") == 50 && at(limit, "/used") == 1, "{limit}");
    site.running.stop().map(drop)
}

/// S2: metrics have the names of the field.
#[test]
fn metrics_are_openmetrics_with_the_names_of_the_contract() -> Result<()> {
    let site = Site::start(&[])?;
    site.is_page()?;
    let answer = site.get("/metrics")?;
    let kind = answer.header("content-type").context("no type")?;
    ensure!(answer.status == 200 && kind.starts_with("application/openmetrics-text"), "{answer:?}");
    let text = answer.text();
    let at = site.addr;
    for line in [
        format!("wasock_accepted_connections_total{{listener=\"{at}\"}} 1"),
        format!("wasock_refused_connections_total{{listener=\"{at}\",reason=\"queue-full\"}} 0"),
        format!("wasock_accept_queue_length{{listener=\"{at}\"}} 0"),
        "wasock_instances{generation=\"1\",state=\"serving\"} 1".to_owned(),
        "wasock_restarts_total 0".to_owned(),
        "wasock_reloads_total{outcome=\"done\"} 0".to_owned(),
        "wasock_ready 1".to_owned(),
        "wasock_instantiation_seconds_count 1".to_owned(),
        "# EOF".to_owned(),
    ] {
        ensure!(text.lines().any(|it| it.starts_with(&line)), "{line} is not in\n{text}");
    }
    for name in [
        "wasock_accept_queue_capacity",
        "wasock_open_connections",
        "wasock_received_bytes_total",
        "wasock_sent_bytes_total",
        "wasock_guest_memory_bytes",
        "wasock_host_memory_bytes",
        "wasock_descriptors",
        "wasock_guest_cpu_seconds_total",
        "wasock_limit_used",
        "process_open_fds",
        "process_cpu_seconds_total",
    ] {
        ensure!(text.lines().any(|it| it.starts_with(name)), "{name} is not in\n{text}");
    }
    site.running.stop().map(drop)
}

/// S1: health and readiness are what they say.
#[test]
fn health_and_readiness() -> Result<()> {
    let site = Site::start(&["--drain-timeout", "20s"])?;
    ensure!(site.get("/healthz")?.status == 200, "not healthy");
    // The line that it listens comes a moment before.
    let begun = Instant::now();
    while site.get("/readyz")?.status != 200 {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "not ready");
    }
    // One that stays, so that the drain does.
    let client = TcpStream::connect(site.addr)?;
    let begun = Instant::now();
    while at(&site.status()?, "/open_connections") != 1 {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "it is not accepted");
        thread::sleep(Duration::from_millis(20));
    }
    ensure!(site.ask("POST", "/drain", "")?.status == 202, "no drain");
    let begun = Instant::now();
    while site.get("/readyz")?.status != 503 {
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "still ready");
    }
    ensure!(site.get("/healthz")?.status == 200, "not healthy");
    let refused = site.ask("POST", "/reload", "")?;
    ensure!(refused.status == 409, "{refused:?}");
    drop(client);
    site.running.finish()?.expect_code(0).map(drop)
}

#[test]
fn a_reload_answers_when_it_is_done() -> Result<()> {
    let site = Site::start(&[])?;
    let done = site.ask("POST", "/reload", "")?;
    let outcome: serde_json::Value = serde_json::from_slice(&done.body)?;
    ensure!(done.status == 200 && at(&outcome, "/generation") == 2, "{done:?}");
    site.is_page()?;
    std::fs::write(site.module(), "no module")?;
    let failed = site.ask("POST", "/reload", "")?;
    let outcome: serde_json::Value = serde_json::from_slice(&failed.body)?;
    ensure!(failed.status == 409 && at(&outcome, "/outcome") == "failed", "{failed:?}");
    ensure!(at(&outcome, "/error").as_str().is_some_and(|why| !why.is_empty()), "{outcome}");
    ensure!(at(&site.status()?, "/totals/reloads_refused") == 1, "{:#}", site.status()?);
    site.is_page()?;
    site.running.stop().map(drop)
}

#[test]
fn the_module_is_the_one_that_serves() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let admin = format!("unix:{}", folder.path().join("admin.sock").display());
    let config = folder.path().join("service.toml");
    let [one, two] = ["one.wasm", "two.wasm"].map(|name| folder.path().join(name));
    std::fs::copy(guest_tests::HTTP_SERVER, &one)?;
    std::fs::copy(guest_tests::HTTP_SERVER, &two)?;
    let name = |module: &std::path::Path| {
        let listens = "args = [\"127.0.0.1:0\"]\nlisten = \"127.0.0.1:*\"";
        std::fs::write(&config, format!("module = {module:?}\nadmin = {admin:?}\n{listens}\n"))
    };
    name(&one)?;
    let mut running = super::wasock().args(["run", "--config"]).arg(&config).start()?;
    running.wait_for_stderr("wasock: admin at unix:")?;
    running.listening()?;
    let ctl = |words: &[&str]| super::wasock().args(["ctl", &admin]).args(words).finish();
    let shown = || -> Result<serde_json::Value> {
        let status = ctl(&["status", "--format", "json"])?.expect_code(0)?;
        Ok(at(&serde_json::from_str(&status.stdout)?, "/module"))
    };
    ensure!(shown()? == one.to_string_lossy().as_ref(), "{}", shown()?);
    name(&folder.path().join("none.wasm"))?;
    ctl(&["reload"])?.expect_code(1)?;
    ensure!(shown()? == one.to_string_lossy().as_ref(), "{}", shown()?);
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text + "workers = 2\n")?;
    let refused = ctl(&["reload"])?.expect_code(1)?;
    refused.expect_stderr("wasock: refused: these keys need a restart of the host: workers")?;
    name(&two)?;
    ctl(&["reload"])?.expect_code(0)?;
    ensure!(shown()? == two.to_string_lossy().as_ref(), "{}", shown()?);
    running.stop().map(drop)
}

#[test]
fn instances_for_connections_are_counted_with_their_generation() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("admin.sock");
    let module = folder.path().join("waits.wat");
    // It reads until its connection ends.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\10\00\00\00")
        (func (export "_start") (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    std::fs::write(&module, text)?;
    let mut running = super::run()
        .args(["--per-connection", "127.0.0.1:0", "--admin", &format!("unix:{}", path.display())])
        .arg(&module)
        .start()?;
    let addr = running.listening()?;
    let status = || -> Result<serde_json::Value> {
        let answer =
            super::ask(std::os::unix::net::UnixStream::connect(&path)?, "GET", "/status", "localhost", "")?;
        Ok(serde_json::from_slice(&answer.body)?)
    };
    let clients = [TcpStream::connect(addr)?, TcpStream::connect(addr)?];
    let begun = Instant::now();
    let seen = loop {
        let status = status()?;
        if at(&status, "/generations/0/instances") == 2 {
            break status;
        }
        ensure!(begun.elapsed() < WAIT_TIMEOUT, "{status:#}");
        thread::sleep(Duration::from_millis(20));
    };
    ensure!(at(&seen, "/ready") == true && at(&seen, "/open_connections") == 2, "{seen:#}");
    ensure!(at(&seen, "/listeners/0/address") == addr.to_string(), "{seen:#}");
    let limits = at(&seen, "/limits");
    let limits = limits.as_array().context("limits")?;
    ensure!(limits.iter().any(|it| at(it, "/name") == "max-instances" && at(it, "/used") == 2), "{seen:#}");
    drop(clients);
    running.stop().map(drop)
}
