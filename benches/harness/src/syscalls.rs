//! System calls for each request, guest against twin.
//!
//! `strace -c` counts the calls of a server from its start to its end, in two runs that
//! differ by the number of requests alone. What the runs differ by is what requests cost.

use super::build::Built;
use super::client::load_values;
use super::process::{Process, child, free_address, own_load, pid};
use super::server::{SIDES, Service, Side};
use super::workload::Module;
use anyhow::{Context, Result, bail};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many requests the two runs have.
const REQUESTS: [usize; 2] = [500, 2500];

const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// What makes requests, and to which server.
struct Case {
    what: &'static str,
    service: Service,
    /// The load, behind its address.
    load: [&'static str; 3],
}

fn cases() -> Vec<Case> {
    let http = |connections| ["turns", connections, "payload=http"];
    let case = |what, service, load| Case { what, service, load };
    vec![
        case("keep-alive HTTP, poll, 1 connection", Service::http("poll"), http("connections=1")),
        case("keep-alive HTTP, poll, 32 connections", Service::http("poll"), http("connections=32")),
        case("keep-alive HTTP, epoll, 1 connection", Service::http("epoll"), http("connections=1")),
        case("keep-alive HTTP, epoll, 32 connections", Service::http("epoll"), http("connections=32")),
        case(
            "echo of 64 bytes, 1 connection",
            Service::stream("echo"),
            ["turns", "connections=1", "payload=64"],
        ),
        case(
            "a connection for each request, poll",
            Service::http("poll"),
            ["churn", "connections=1", "payload=http-close"],
        ),
        case(
            "a connection for each request, profile winsock",
            Service::http("poll").with_profile("winsock"),
            ["churn", "connections=1", "payload=http-close"],
        ),
        case(
            "a thread a connection, keep-alive, 1 connection",
            Service::threaded("each", 0),
            http("connections=1"),
        ),
    ]
}

/// What is counted, each.
pub(super) fn names() -> Vec<&'static str> {
    cases().iter().map(|case| case.what).collect()
}

/// The table, as Markdown.
///
/// # Errors
///
/// When `strace` is not there, or may not trace.
pub(super) fn table(built: &Built, is_wanted: impl Fn(&str) -> bool) -> Result<String> {
    let mut text = String::from(
        "System calls a request, all threads of the process counted by `strace -f -c`: the difference of \
         two runs of 500 and 2,500 requests.\n\n| what | guest | native twin | guest: which | twin: which |\n\
         |---|---|---|---|---|\n",
    );
    for case in cases().iter().filter(|case| is_wanted(case.what)) {
        eprintln!("system calls: {}", case.what);
        let mut sides = Vec::new();
        for side in SIDES {
            sides.push(
                for_each_request(built, case, side).with_context(|| format!("{}, {side:?}", case.what))?,
            );
        }
        let sums: Vec<String> =
            sides.iter().map(|calls| format!("{:.2}", calls.values().sum::<f64>())).collect();
        let which: Vec<String> = sides.iter().map(listed).collect();
        _ = writeln!(text, "| {} | {} | {} |", case.what, sums.join(" | "), which.join(" | "));
    }
    Ok(text)
}

/// The calls from the most frequent on; those of which there are next to none are left out.
fn listed(calls: &BTreeMap<String, f64>) -> String {
    let mut calls: Vec<(&String, f64)> = calls.iter().map(|(name, count)| (name, *count)).collect();
    calls.retain(|(_, count)| count.abs() >= 0.005);
    calls.sort_by(|a, b| b.1.total_cmp(&a.1));
    let words: Vec<String> = calls.iter().map(|(name, count)| format!("{name} {count:.2}")).collect();
    words.join(", ")
}

fn for_each_request(built: &Built, case: &Case, side: Side) -> Result<BTreeMap<String, f64>> {
    let mut runs = Vec::new();
    for requests in REQUESTS {
        runs.push(counted(built, case, side, requests)?);
    }
    let [Some((few, few_calls)), Some((many, many_calls))] = [runs.first(), runs.get(1)] else {
        bail!("two runs");
    };
    let mut calls = BTreeMap::new();
    for name in few_calls.keys().chain(many_calls.keys()) {
        let count = |calls: &BTreeMap<String, f64>| calls.get(name).copied().unwrap_or(0.0);
        calls.insert(name.clone(), (count(many_calls) - count(few_calls)) / (many - few));
    }
    Ok(calls)
}

/// How many requests there were, and the calls from the start of the server to its end.
fn counted(built: &Built, case: &Case, side: Side, requests: usize) -> Result<(f64, BTreeMap<String, f64>)> {
    let address = free_address()?;
    let counts = built.folder.file("strace.txt");
    let mut tracer: Command = child(Path::new("strace"))?;
    tracer.args(["-f", "-c", "-o"]).arg(&counts);
    // The server ends when the tracer does.
    tracer.arg(std::env::current_exe()?).args(["__child", "any"]);
    let command = case.service.command(built, side, Module::Small, address).below(tracer);
    let mut tracer = Process::start(command, &built.folder.log("server"))?;
    tracer.wait_until_it_listens(address)?;
    let [kind, rest @ ..] = &case.load;
    let mut load = vec![(*kind).to_owned(), address.to_string(), format!("count={requests}")];
    load.extend(rest.iter().map(|option| (*option).to_owned()));
    let mut client = own_load(&load)?;
    client.stdout(Stdio::piped());
    let said = Process::start(client, &built.folder.log("client"))?.finish(WAIT_TIMEOUT)?.stdout;
    let done = load_values(&said)?.get("count").copied().context("no count")?;
    end(&tracer)?;
    wait_for(tracer)?;
    Ok((done, parse(&fs::read_to_string(counts)?)?))
}

/// Ends what is traced; the tracer then writes down what it counted.
fn end(tracer: &Process) -> Result<()> {
    let id = tracer.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    let traced = children.split_ascii_whitespace().next().context("strace traces no process")?;
    Ok(kill_process(pid(traced.parse()?)?, Signal::TERM)?)
}

fn wait_for(mut tracer: Process) -> Result<()> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    // It ends as the server does: by a signal, or with a code that says the same.
    while tracer.child().try_wait()?.is_none() {
        if Instant::now() > deadline {
            bail!("strace does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The calls by name of what `strace -c` writes.
fn parse(table: &str) -> Result<BTreeMap<String, f64>> {
    let mut calls = BTreeMap::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // "% time, seconds, usecs/call, calls, errors, syscall"; no errors leave a gap.
        if let [_, _, _, count, .., name] = words.as_slice()
            && let Ok(count) = count.parse::<f64>()
            && *name != "total"
        {
            calls.insert((*name).to_owned(), count);
        }
    }
    if calls.is_empty() {
        bail!("strace counted nothing: {table}");
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::{listed, parse};
    use anyhow::Result;

    const TABLE: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ------------------
 61.03    0.010000           5      2000       500 recvfrom
 38.97    0.006384           3      1500           sendto
------ ----------- ----------- --------- --------- ------------------
100.00    0.016384           4      3500       500 total
";

    #[test]
    fn calls_are_counted_by_name() -> Result<()> {
        let calls = parse(TABLE)?;
        assert_eq!(calls.get("recvfrom"), Some(&2000.0));
        assert_eq!(calls.get("sendto"), Some(&1500.0));
        assert_eq!(calls.len(), 2);
        assert_eq!(listed(&calls), "recvfrom 2000.00, sendto 1500.00");
        assert!(parse("strace: not permitted").is_err());
        Ok(())
    }
}
