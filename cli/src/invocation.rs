//! The command line, with the file that it names: read at the start, and anew at each reload.

use std::ffi::OsString;

use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _};

use crate::args::{Args, Command, FILES, LIMITS, NETWORK, RunArgs};
use crate::config::{Config, ConfigError};
use crate::contained::Terms;
use crate::report::Lines;

/// A command line, and what it said when it was read.
pub(crate) struct Invocation {
    words: Vec<OsString>,
    matches: ArgMatches,
    /// Where another program makes the run.
    terms: Option<Terms>,
}

/// What is wrong with one.
pub(crate) enum Mistakes {
    Usage(clap::Error),
    /// The file can't be read.
    Unreadable(String),
    /// Those in the file, to be printed.
    InFile(Lines),
    /// Neither names a module.
    NoModule,
}

impl From<clap::Error> for Mistakes {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

impl From<ConfigError> for Mistakes {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Unreadable(why) => Self::Unreadable(why),
            ConfigError::Mistakes(lines) => Self::InFile(lines),
        }
    }
}

impl Invocation {
    /// Reads a command line, and the file that it names.
    ///
    /// # Errors
    ///
    /// What is wrong with either.
    pub(crate) fn read(words: Vec<OsString>) -> Result<(Args, Self), Mistakes> {
        Self::read_on(words, None)
    }

    /// The same on the terms of a program that makes the run.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub(crate) fn read_on(words: Vec<OsString>, terms: Option<Terms>) -> Result<(Args, Self), Mistakes> {
        let matches = Args::command().try_get_matches_from(&words)?;
        let args = Args::from_arg_matches(&matches)?;
        let config = match &args.command {
            Command::Run(run) => config_of(run, terms.as_ref())?,
            _ => None,
        };
        let (Some(config), Some(("run", of_run))) = (config, matches.subcommand()) else {
            return Ok((args.complete()?, Self { words, matches, terms }));
        };
        let combined = config.combined(&words, of_run);
        let matches = Args::command().try_get_matches_from(combined)?;
        let mut args = Args::from_arg_matches(&matches)?.complete()?;
        if let Command::Run(run) = &mut args.command {
            if run.command.is_empty() {
                return Err(Mistakes::NoModule);
            }
            run.terms.clone_from(&terms);
        }
        Ok((args, Self { words, matches, terms }))
    }

    /// Reads the same command line anew, and the files that it names as they are now.
    ///
    /// # Errors
    ///
    /// What is wrong with either.
    pub(crate) fn again(&self) -> Result<(RunArgs, Self), Mistakes> {
        match Self::read_on(self.words.clone(), self.terms.clone())? {
            (Args { command: Command::Run(run) }, again) => Ok((*run, again)),
            _ => Err(Mistakes::NoModule),
        }
    }

    /// The keys that have another value in `other`, and that no reload can change: they are of the
    /// host's process, or of the service, and not of a generation.
    pub(crate) fn lasting_differences(&self, other: &Self) -> Vec<String> {
        let of_run = |it: &Self| it.matches.subcommand_matches("run").cloned();
        let (Some(before), Some(now)) = (of_run(self), of_run(other)) else { return Vec::new() };
        let command = Args::command();
        let flags = command.find_subcommand("run").into_iter().flat_map(|run| run.get_arguments());
        let differs = |flag: &&Arg| values(&before, flag) != values(&now, flag);
        // Where the host accepts itself, it goes on by the terms of its start.
        let host_accepts = before.try_contains_id("per_connection").unwrap_or(false);
        let lasts = |flag: &&Arg| {
            !is_of_generation(flag) || (host_accepts && OF_LISTENERS.contains(&flag.get_id().as_str()))
        };
        let lasting = flags.filter(lasts).filter(differs);
        lasting.filter_map(Arg::get_long).map(str::to_owned).collect()
    }
}

/// What is to be combined with the flags: the file that they name, or what the maker of the run has in its place.
///
/// # Errors
///
/// What is wrong with the file.
fn config_of(run: &RunArgs, terms: Option<&Terms>) -> Result<Option<Config>, ConfigError> {
    let in_memory = terms.and_then(|terms| terms.config.as_ref());
    let config = match (&run.config, in_memory) {
        (Some(path), _) => Some(Config::load(path)?),
        (None, Some((name, text))) => Some(Config::of_text(name, text)?),
        (None, None) => terms.map(|_| Config::default()),
    };
    Ok(config.map(|config| match terms {
        Some(terms) => config.with_defaults(&terms.defaults),
        None => config,
    }))
}

/// Flags that take effect with the next generation, besides those of [`OF_GENERATION`]: the program,
/// and how it is compiled and run.
const PROGRAM: [&str; 5] = ["command", "listen_profile", "on_trap", "cache", "no_cache"];

/// Flags that say how many connections a listener takes. Which peers these may be of is for each
/// generation.
const OF_LISTENERS: [&str; 8] = [
    "listen_profile",
    "max_backlog",
    "max_connections",
    "max_connections_per_listener",
    "max_connections_per_peer",
    "max_socket_buffer",
    "accept_rate",
    "accept_rate_per_peer",
];

/// Headings of flags that take effect with the next generation.
const OF_GENERATION: [&str; 3] = [NETWORK, FILES, LIMITS];

fn is_of_generation(flag: &Arg) -> bool {
    PROGRAM.contains(&flag.get_id().as_str())
        || flag.get_help_heading().is_some_and(|heading| OF_GENERATION.contains(&heading))
}

/// What was said of a flag, its default included.
fn values(matches: &ArgMatches, flag: &Arg) -> Vec<OsString> {
    let raw = matches.try_get_raw(flag.get_id().as_str()).ok().flatten();
    let mut values: Vec<OsString> = raw.into_iter().flatten().map(OsString::from).collect();
    if matches!(flag.get_action(), clap::ArgAction::Count) {
        values = vec![matches.get_count(flag.get_id().as_str()).to_string().into()];
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(before: &[&str], now: &[&str]) -> Vec<String> {
        let read = |flags: &[&str]| {
            let words = ["wasock", "run"].iter().chain(flags).chain(&["m.wasm"]).map(OsString::from);
            Invocation::read(words.collect()).ok().map(|(_, it)| it)
        };
        match (read(before), read(now)) {
            (Some(before), Some(now)) => before.lasting_differences(&now),
            _ => vec!["refused".to_owned()],
        }
    }

    #[test]
    fn what_belongs_to_the_host_differs() {
        let found = differences(
            &["--workers=2", "--trace", "--log-format=json"],
            &["--workers=3", "-v", "--restart=always", "--preopen-listen=:0"],
        );
        assert_eq!(found, ["preopen-listen", "restart", "workers", "log-format", "trace", "verbose"]);
        assert!(differences(&["--workers=2"], &["--workers=2"]).is_empty());
        assert!(differences(&["--restart=never", "--drain-timeout=1s"], &["--drain-timeout=1s"]).is_empty());
    }

    #[test]
    fn where_the_host_accepts_its_terms_belong_to_it() {
        let here = "--per-connection=127.0.0.1:0";
        let now = [here, "--deny-from=10.0.0.0/8", "--max-connections=9", "--env=A=1"];
        assert_eq!(differences(&[here], &now), ["max-connections"]);
    }

    #[test]
    fn what_belongs_to_a_generation_does_not() {
        let now = [
            "--listen=:1",
            "--deny=*:*",
            "--env=A=1",
            "--dir=.",
            "--max-fds=9",
            "--timeout=1s",
            "--max-memory=1M",
            "--max-connections=9",
            "--listen-profile=bsd",
            "--on-trap=restart",
            "--no-cache",
            "--no-threads",
        ];
        assert!(differences(&[], &now).is_empty());
    }
}
