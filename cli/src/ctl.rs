//! `wasock ctl`: asks a running host, and tells it what to do.

mod client;
mod table;

use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use hyper::{Method, StatusCode};

use crate::admin::{AdminAddress, LimitsRequest, Outcome, SCHEMA, Status, VARIABLE};
use crate::args::{CtlArgs, CtlFormat, CtlOrder, LimitsChange};
use crate::report::{Lines, say};
use crate::{FAILURE, USAGE};
use client::{Client, Reply};

/// Does what `args` say, and returns the exit code.
///
/// # Errors
///
/// Where the host does not answer, or not as a host does.
pub(crate) fn ctl(args: &CtlArgs) -> Result<ExitCode> {
    let at = match &args.addr {
        Some(at) => at.clone(),
        None => address()?,
    };
    let client = Client::new(at, args.token_file.clone());
    match &args.order {
        CtlOrder::Status { format } => status(&client, *format),
        CtlOrder::Reload => reload(&client),
        CtlOrder::Drain => drain(&client),
        CtlOrder::Limits { change: None } => limits(&client),
        CtlOrder::Limits { change: Some(LimitsChange::Set { limits }) } => {
            let wanted: LimitsRequest = limits.iter().cloned().collect();
            if wanted.len() < limits.len() {
                say!("wasock: a limit is named twice; see `wasock ctl --help`");
                return Ok(ExitCode::from(USAGE));
            }
            set_limits(&client, wanted)
        }
        CtlOrder::Metrics => metrics(&client),
    }
}

/// The host that is asked where none is named.
fn address() -> Result<AdminAddress> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|why: String| anyhow!("{VARIABLE}={text}: {why}"))
        }
        _ => Ok(AdminAddress::Unix(AdminAddress::default_path())),
    }
}

fn status(client: &Client, format: CtlFormat) -> Result<ExitCode> {
    let reply = client.ask(&Method::GET, "/status", String::new())?;
    if !reply.is_success() {
        return refused(&reply);
    }
    let mut lines = Lines::default();
    match format {
        CtlFormat::Text => table::status(&mut lines, &read_status(&reply)?),
        // As it came, and whole; but no terminal is told anything by it.
        CtlFormat::Json => {
            let status: serde_json::Value = serde_json::from_str(&reply.body)?;
            serde_json::to_string_pretty(&status)?.lines().for_each(|line| _ = lines.line(line));
        }
    }
    lines.print();
    Ok(ExitCode::SUCCESS)
}

fn read_status(reply: &Reply) -> Result<Status> {
    let status: Status = serde_json::from_str(&reply.body).context("the host's status is of another form")?;
    if status.schema != SCHEMA {
        say!("wasock: the host is of version {}, and may say more than is shown", status.version);
    }
    Ok(status)
}

fn reload(client: &Client) -> Result<ExitCode> {
    let reply = client.ask(&Method::POST, "/reload", String::new())?;
    let outcome = outcome(&reply);
    match outcome.and_then(|it| it.generation) {
        Some(generation) if reply.is_success() => {
            Lines::default().line(format_args!("generation {generation} serves")).print();
            Ok(ExitCode::SUCCESS)
        }
        _ => refused(&reply),
    }
}

fn drain(client: &Client) -> Result<ExitCode> {
    let reply = client.ask(&Method::POST, "/drain", String::new())?;
    if reply.status != StatusCode::ACCEPTED {
        return refused(&reply);
    }
    Lines::default().line("the service drains").print();
    Ok(ExitCode::SUCCESS)
}

fn limits(client: &Client) -> Result<ExitCode> {
    let reply = client.ask(&Method::GET, "/status", String::new())?;
    if !reply.is_success() {
        return refused(&reply);
    }
    let mut lines = Lines::default();
    table::limits(&mut lines, &read_status(&reply)?.limits);
    lines.print();
    Ok(ExitCode::SUCCESS)
}

fn set_limits(client: &Client, wanted: LimitsRequest) -> Result<ExitCode> {
    let reply = client.ask(&Method::POST, "/limits", serde_json::to_string(&wanted)?)?;
    if !reply.is_success() {
        return refused(&reply);
    }
    let mut lines = Lines::default();
    table::limits(&mut lines, &serde_json::from_str::<Vec<_>>(&reply.body)?);
    lines.print();
    Ok(ExitCode::SUCCESS)
}

fn metrics(client: &Client) -> Result<ExitCode> {
    let reply = client.ask(&Method::GET, "/metrics", String::new())?;
    if !reply.is_success() {
        return refused(&reply);
    }
    let mut lines = Lines::default();
    reply.body.lines().for_each(|line| _ = lines.line(line));
    lines.print();
    Ok(ExitCode::SUCCESS)
}

fn outcome(reply: &Reply) -> Option<Outcome> {
    serde_json::from_str(&reply.body).ok()
}

/// Says why the host has refused.
fn refused(reply: &Reply) -> Result<ExitCode> {
    match outcome(reply).and_then(|it| it.error) {
        // None but the first looks like a message of its own.
        Some(why) => Lines::default().block(format_args!("wasock: refused: {why}")).say(),
        None => say!("wasock: refused: {}", reply.status),
    }
    Ok(ExitCode::from(FAILURE))
}
