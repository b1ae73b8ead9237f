//! `--log-format json`, and colours.

use super::{run, run_on_loopback};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;

/// Each line of the host's is one object, with what every one has. The guest writes to standard error
/// too.
fn records(stderr: &str) -> Result<Vec<Value>> {
    stderr
        .lines()
        .filter(|line| !line.starts_with("Error: "))
        .map(|line| {
            let record: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let text = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_owned);
            let time = text("time").context("no time")?;
            ensure!(time.contains('T') && time.ends_with('Z'), "{line}");
            let level = text("level").context("no level")?;
            ensure!(
                ["error", "warn", "notice", "info", "debug", "trace"].contains(&level.as_str()),
                "{line}"
            );
            text("event").with_context(|| line.to_owned())?;
            Ok(record)
        })
        .collect()
}

/// The names of the fields of the first record of this event.
fn fields<'a>(records: &'a [Value], event: &str) -> Result<BTreeSet<&'a str>> {
    let found = records.iter().find(|record| record.get("event").and_then(Value::as_str) == Some(event));
    let found = found.with_context(|| format!("no {event} in {records:?}"))?;
    let names = found.as_object().context("no object")?.keys().map(String::as_str);
    Ok(names.filter(|name| !["time", "level", "event"].contains(name)).collect())
}

/// S3: every line of JSON is an object with stable fields.
#[test]
fn every_line_is_an_object_with_stable_fields() -> Result<()> {
    let mut running = run_on_loopback()
        .args(["--log-format", "json", "--trace", "-v", guest_tests::HTTP_SERVER, "127.0.0.1:0"])
        .start()?;
    let record = running.wait_for_stderr("\"event\":\"listening\"")?;
    let record: Value = serde_json::from_str(&record)?;
    let address = record.get("address").and_then(Value::as_str).context("no address")?.parse()?;
    ensure!(guest_tests::HttpClient::connect(address)?.get("/")?.status == 200, "no answer");
    running.wait_for_stderr("\"event\":\"closed\"")?;
    running.signal(rustix::process::Signal::TERM)?;
    let finished = running.finish()?.expect_code(143)?;
    let records = records(&finished.stderr)?;
    for (event, expected) in [
        ("listening", &["fd", "address", "backlog", "capacity"][..]),
        ("accepted", &["listener_fd", "fd", "peer", "address"]),
        ("closed", &["fd", "address", "peer", "reason"]),
        ("call", &["name", "arguments", "outcome", "results", "duration_us"]),
        ("message", &["message"]),
    ] {
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        ensure!(fields(&records, event)? == expected, "{event}: {records:?}");
    }
    Ok(())
}

#[test]
fn denials_and_traps_are_objects() -> Result<()> {
    let finished = run().args(["--log-format=json", guest_tests::HTTP_SERVER, "127.0.0.1:0"]).finish()?;
    let denied = records(&finished.stderr)?;
    ensure!(fields(&denied, "denied")? == BTreeSet::from(["call", "what", "rule", "flag"]), "{denied:?}");
    let finished = run().args(["--log-format=json", guest_tests::TRAP]).finish()?.expect_code(134)?;
    let trapped = records(&finished.stderr)?;
    let message = trapped.first().and_then(|record| record.get("message")).and_then(Value::as_str);
    ensure!(message.is_some_and(|text| text.starts_with("the guest trapped: ")), "{trapped:?}");
    ensure!(message.is_some_and(|text| text.contains("the_innermost_function")), "{trapped:?}");
    Ok(())
}

#[test]
fn nothing_has_colours_without_a_terminal() -> Result<()> {
    for format in ["text", "json"] {
        let finished = run()
            .args(["-vv", "--log-format", format, guest_tests::ARGS_ENV_EXIT, "0"])
            .env("NO_COLOR", "")
            .succeed()?;
        ensure!(!finished.stderr.contains('\u{1b}'), "{finished}");
    }
    Ok(())
}
