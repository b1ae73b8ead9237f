//! `wasock check`: what a configuration file grants, and which line decides.

mod executed;
mod named;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use wasock::{Grant, Use, WasockCtx, WasockCtxBuilder};

use crate::admin::{self, AdminAddress};
use crate::args::{Args, CheckArgs, Command};
use crate::config::{Config, ConfigError, ConfigValue};
use crate::report::{Lines, say};
use crate::wall::Plan;
use crate::{FAILURE, USAGE, component, reason, run};

/// What `--explain` asks about.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// As it was written.
    text: String,
    verb: WishVerb,
    target: WishTarget,
}

#[derive(Clone, Copy, Debug)]
enum WishVerb {
    Listen,
    AcceptFrom,
    Connect,
    UdpBind,
    UdpSend,
    Resolve,
    Exec,
}

#[derive(Clone, Debug)]
enum WishTarget {
    Inet(SocketAddr),
    Unix(String),
    Name(String),
    /// A whole path of the guest's.
    Program(String),
    /// A port of whatever a name leads to.
    Named(String, u16),
}

/// The verbs, as they are written: those of the grants.
const VERBS: [(&str, WishVerb); 7] = [
    ("listen", WishVerb::Listen),
    ("accept-from", WishVerb::AcceptFrom),
    ("connect", WishVerb::Connect),
    ("udp-bind", WishVerb::UdpBind),
    ("udp-send", WishVerb::UdpSend),
    ("resolve", WishVerb::Resolve),
    ("exec", WishVerb::Exec),
];

impl std::str::FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected listen, accept-from, connect, udp-bind or udp-send with one address, as in \
             'connect 10.0.0.1:443' or 'listen unix:/run/app.sock', 'connect NAME:PORT', 'resolve NAME', or 'exec /bin/sh'"
                .to_owned()
        };
        let (verb, target) = text.trim().split_once(' ').ok_or_else(expected)?;
        let verb =
            VERBS.iter().find(|(name, _)| *name == verb).map(|(_, verb)| *verb).ok_or_else(expected)?;
        let target = target.trim();
        let target = match (verb, target.strip_prefix("unix:")) {
            (WishVerb::Resolve, _) => WishTarget::Name(target.to_owned()),
            (WishVerb::Exec, _) if target.starts_with('/') => WishTarget::Program(target.to_owned()),
            (WishVerb::Listen | WishVerb::Connect, Some(path)) => WishTarget::Unix(path.to_owned()),
            _ => match (verb, target.parse()) {
                (_, Ok(address)) => WishTarget::Inet(address),
                (WishVerb::Connect | WishVerb::UdpSend, Err(_)) => {
                    name_and_port(target).ok_or_else(expected)?
                }
                _ => return Err(expected()),
            },
        };
        Ok(Self { text: text.trim().to_owned(), verb, target })
    }
}

/// `NAME:PORT`, where that is a grant of one name at one port.
fn name_and_port(text: &str) -> Option<WishTarget> {
    let (name, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let is_one = Grant::for_connecting(text).is_ok_and(|grant| grant.covers_name(name, port));
    (is_one && !name.contains(['*', '@'])).then(|| WishTarget::Named(name.to_owned(), port))
}

impl Wish {
    /// Do these grants allow it?
    fn is_allowed(&self, builder: &WasockCtxBuilder) -> bool {
        let wish = match (self.verb, &self.target) {
            (WishVerb::Listen, WishTarget::Inet(address)) => Use::TcpListen(*address),
            (WishVerb::Listen, WishTarget::Unix(path)) => Use::UnixListen(path),
            (WishVerb::AcceptFrom, WishTarget::Inet(address)) => Use::TcpAccept(*address),
            (WishVerb::Connect, WishTarget::Inet(address)) => Use::TcpConnect(*address),
            (WishVerb::Connect, WishTarget::Unix(path)) => Use::UnixConnect(path),
            (WishVerb::UdpBind, WishTarget::Inet(address)) => Use::UdpBind(*address),
            (WishVerb::UdpSend, WishTarget::Inet(address)) => Use::UdpSend(*address),
            (_, WishTarget::Name(name)) => Use::Resolve(name),
            _ => return false,
        };
        builder.allows(wish)
    }

    /// The key that would grant it, and its value.
    fn key(&self) -> String {
        let verb = VERBS.iter().find(|(name, _)| self.text.starts_with(name)).map_or("", |(name, _)| name);
        match &self.target {
            WishTarget::Inet(address) if matches!(self.verb, WishVerb::AcceptFrom) => {
                format!("{verb} = \"{}\"", address.ip())
            }
            WishTarget::Inet(address) => format!("{verb} = \"{address}\""),
            WishTarget::Unix(path) => format!("{verb} = \"unix:{path}\""),
            WishTarget::Name(name) => format!("{verb} = \"{name}\""),
            WishTarget::Program(path) => format!("{verb} = \"FILE::{path}\""),
            WishTarget::Named(name, port) => format!("{verb} = \"{name}:{port}\""),
        }
    }
}

/// Prints what the file grants, or whether it grants what was asked about.
pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode> {
    let config = match Config::load(args.file()) {
        Ok(config) => config,
        Err(ConfigError::Unreadable(why)) => {
            say!("wasock: {why}");
            return Ok(ExitCode::from(USAGE));
        }
        Err(ConfigError::Mistakes(mistakes)) => {
            mistakes.say();
            return Ok(ExitCode::from(USAGE));
        }
    };
    let run = match config.check_together() {
        Ok(run) => run,
        Err(error) => {
            say!("wasock: {}: {}", args.file().display(), reason(&error));
            return Ok(ExitCode::from(USAGE));
        }
    };
    if let Command::Run(run) = &run.command {
        admin::check_directories(run)?;
        if let Some(module) = config.command.first() {
            component::check_file(Path::new(module), run)?;
        }
    }
    let mut lines = Lines::default();
    if args.explain.is_empty() {
        describe(&mut lines, &config);
        lines.line(format_args!("second wall: {}", second_wall(&run)));
        lines.print();
        return Ok(ExitCode::SUCCESS);
    }
    let mut is_all = true;
    for wish in &args.explain {
        is_all &= explain(&mut lines, &config, wish)?;
    }
    lines.print();
    Ok(if is_all { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

fn describe(lines: &mut Lines, config: &Config) {
    if let Some((module, arguments)) = config.command.split_first() {
        lines.line(format_args!("module: {module}"));
        if !arguments.is_empty() {
            lines.line(format_args!("arguments: {}", arguments.join(" ")));
        }
    }
    let (granted, denied): (Vec<_>, Vec<_>) =
        config.values.iter().filter(|value| is_rule(value)).partition(|value| !is_denial(value));
    list(lines, "granted", &granted);
    list(lines, "denied", &denied);
    let other: Vec<_> = config.values.iter().filter(|value| !is_rule(value)).collect();
    list(lines, "other settings", &other);
}

/// What the kernel is to keep the process to.
fn second_wall(args: &Args) -> String {
    match &args.command {
        Command::Run(run) if !run.no_landlock => Plan::of(run).to_string(),
        _ => "none (--no-landlock)".to_owned(),
    }
}

fn list(lines: &mut Lines, title: &str, values: &[&ConfigValue]) {
    lines.line(format_args!("{title}: {}", values.len()));
    for value in values {
        lines.line(format_args!("  line {}: {}", value.line, value.argument));
    }
}

/// Says whether the file allows it, and which line decides.
fn explain(lines: &mut Lines, config: &Config, wish: &Wish) -> Result<bool> {
    if let WishTarget::Named(name, port) = &wish.target {
        return named::explain(lines, config, wish, name, *port);
    }
    if let WishTarget::Program(path) = &wish.target {
        return Ok(executed::explain(lines, config, wish, path));
    }
    let rules: Vec<&ConfigValue> = config.values.iter().filter(|value| is_rule(value)).collect();
    let (denials, grants): (Vec<&ConfigValue>, Vec<&ConfigValue>) =
        rules.iter().partition(|value| is_denial(value));
    let allows = |values: &[&ConfigValue]| Ok::<_, anyhow::Error>(wish.is_allowed(&builder(values)?));
    let is_allowed = allows(&rules)?;
    // Peers are taken unless they are narrowed, so another grant says nothing of them.
    let decides =
        |grant: &&ConfigValue| !matches!(wish.verb, WishVerb::AcceptFrom) || grant.key == "accept-from";
    let deciding: Vec<&ConfigValue> = grants.iter().copied().filter(decides).collect();
    let text = match (is_allowed, allows(&grants)?) {
        (true, _) if allows(&[])? && deciding.is_empty() => "allowed without a grant".to_owned(),
        (true, _) => match first(&deciding, |grant| allows(&[grant]))? {
            Some(grant) => format!("allowed by {}", by(grant)),
            None => "allowed by several lines together".to_owned(),
        },
        (false, true) => {
            let with = |denial| {
                let all: Vec<_> = grants.iter().copied().chain([denial]).collect();
                Ok(!allows(&all)?)
            };
            match first(&denials, with)? {
                Some(denial) => format!("refused by {}", by(denial)),
                None => "refused by several lines together".to_owned(),
            }
        }
        (false, false) => format!("refused: no line grants it; {} would", wish.key()),
    };
    lines.line(format_args!("{}: {text}", wish.text));
    Ok(is_allowed)
}

/// A line of the file.
fn by(value: &ConfigValue) -> String {
    format!("line {}: {}", value.line, value.text)
}

/// The first value that decides.
fn first<'a>(
    values: &[&'a ConfigValue],
    decides: impl Fn(&'a ConfigValue) -> Result<bool>,
) -> Result<Option<&'a ConfigValue>> {
    for value in values {
        if decides(value)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A builder that has these rules, and nothing else.
fn builder(values: &[&ConfigValue]) -> Result<WasockCtxBuilder> {
    let start = ["wasock", "run"].map(OsString::from);
    let values = values.iter().map(|value| OsString::from(&value.argument));
    let args = Args::try_parse_from(start.into_iter().chain(values).chain(["module".into()]))?;
    let (grants, admin) = match args.command {
        Command::Run(run) => (run.grants, run.admin.admin),
        _ => return Ok(WasockCtx::builder()),
    };
    let builder = run::grants(WasockCtx::builder(), &grants);
    Ok(match admin {
        Some(AdminAddress::Inet(address)) if address.port() > 0 => builder.reserve_address(address),
        _ => builder,
    })
}

/// Is it a grant or a denial?
fn is_rule(value: &ConfigValue) -> bool {
    let is_grant = VERBS.iter().any(|(name, _)| *name == value.key);
    is_grant || matches!(value.key.as_str(), "publish" | "udp-strict") || is_denial(value)
}

fn is_denial(value: &ConfigValue) -> bool {
    // No guest reaches the host's own socket.
    value.key.starts_with("deny") || value.key == "admin"
}
