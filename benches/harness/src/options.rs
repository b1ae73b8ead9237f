//! The arguments, and what they ask for.

use super::{own, peers, syscalls, workload};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

pub(super) const HELP: &str = "\
cargo xtask bench    measure guests against their native twins
    --quick          fewer workloads and shorter runs: under three minutes
    --only TEXT      those whose name has TEXT in it; where there are none, the names are listed
    --rounds N       how often each side runs [default: 5; quick: 3]
    --seconds N      how long each run takes [default: 3; quick: 0.6];
                     wrk and ab know whole seconds alone
    --syscalls       count system calls instead
    --calls          time single host calls instead, with criterion
    --instructions   count the instructions of single host calls instead, with valgrind,
                     and fail where there are more than benches/instructions.txt has
    --service        services instead: reloads and restarts under clients, workers, processes, instances;
                     --only takes one of these four
    --peers          compare with other hosts instead, where they are installed
    --own FILE       servers of your own instead, which the file lists: benches/README.md has an example
    --accept         write what --instructions counts to that file, or what --peers shows
                     to docs/performance/peers.md
The full run writes docs/performance/results.md; any other writes it below the target folder.
";

/// What `--service` measures.
const SERVICE_TABLES: [&str; 4] = [RELOADS, WORKERS, PROCESSES, INSTANCES];
pub(super) const RELOADS: &str = "reloads";
pub(super) const WORKERS: &str = "workers";
pub(super) const PROCESSES: &str = "processes";
pub(super) const INSTANCES: &str = "instances";

/// What the arguments ask for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    pub(super) is_quick: bool,
    /// The text of `--only`.
    pub(super) only: Option<String>,
    pub(super) rounds: usize,
    /// How long each run takes.
    pub(super) seconds: f64,
    /// Nothing but this, where it is something.
    pub(super) part: Option<Part>,
    pub(super) is_accepted: bool,
    /// The file of `--own`.
    pub(super) own: Option<PathBuf>,
}

/// A part of the full run, or none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Syscalls,
    Calls,
    Instructions,
    Service,
    Peers,
    Own,
}

impl Options {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            is_quick: false,
            only: None,
            rounds: 5,
            seconds: 3.0,
            part: None,
            is_accepted: false,
            own: None,
        };
        if arguments.iter().any(|argument| argument == "--quick") {
            options = Self { is_quick: true, rounds: 3, seconds: 0.6, ..options };
        }
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => {}
                "--only" => options.only = Some(value()?.clone()),
                "--rounds" => options.rounds = value()?.parse().context("--rounds")?,
                "--seconds" => options.seconds = value()?.parse().context("--seconds")?,
                "--syscalls" => options.part = Some(Part::Syscalls),
                "--calls" => options.part = Some(Part::Calls),
                "--instructions" => options.part = Some(Part::Instructions),
                "--service" => options.part = Some(Part::Service),
                "--peers" => options.part = Some(Part::Peers),
                "--own" => {
                    options.own = Some(value()?.into());
                    options.part = Some(Part::Own);
                }
                "--accept" => options.is_accepted = true,
                _ => bail!("no such option: {argument}\n{HELP}"),
            }
        }
        if options.rounds == 0 || !options.seconds.is_finite() || options.seconds <= 0.0 {
            bail!("at least one round, and more than no time");
        }
        Ok(options)
    }

    pub(super) fn is_wanted(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|text| name.contains(text.as_str()))
    }

    /// The names of which `--only` chooses some.
    ///
    /// # Errors
    ///
    /// Where the part has none.
    fn names(&self, descriptors: u64) -> Result<Vec<String>> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        match self.part {
            None => {
                let all = workload::all(descriptors).into_iter();
                let measured = all.filter(|workload| workload.is_in_quick || !self.is_quick);
                Ok(measured.map(|workload| workload.name).collect())
            }
            Some(Part::Service) => Ok(owned(&SERVICE_TABLES)),
            Some(Part::Syscalls) => Ok(owned(&syscalls::names())),
            Some(Part::Peers) => Ok(owned(&peers::names())),
            Some(Part::Own) => own::names(self.own.as_deref().context("--own")?),
            Some(Part::Calls | Part::Instructions) => {
                bail!("--only is for neither --calls nor --instructions")
            }
        }
    }

    /// Checks that something is wanted.
    ///
    /// # Errors
    ///
    /// Where no name has the text of `--only` in it; all that there are are listed.
    pub(super) fn check_only(&self, descriptors: u64) -> Result<()> {
        let Some(text) = &self.only else { return Ok(()) };
        let names = self.names(descriptors)?;
        if !names.iter().any(|name| self.is_wanted(name)) {
            bail!("--only {text}: no name has that in it. There are:\n  {}", names.join("\n  "));
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        !self.is_quick && self.only.is_none() && self.part.is_none()
    }

    /// The quick run, and no part of it.
    pub(super) fn is_whole_quick(&self) -> bool {
        self.is_quick && self.only.is_none() && self.part.is_none()
    }

    /// Whether the run has this part.
    pub(super) fn has(&self, part: Part) -> bool {
        self.is_full() || self.part == Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::Options;
    use anyhow::Result;

    fn options(arguments: &[&str]) -> Result<Options> {
        Options::parse(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_said_counts_more_than_quick() -> Result<()> {
        let quick = options(&["--rounds", "7", "--quick"])?;
        assert!((quick.rounds, quick.seconds) == (7, 0.6) && quick.is_quick && !quick.is_full());
        assert!(options(&[])?.is_full());
        assert!(!options(&["--only", "echo"])?.is_full());
        assert!(options(&["--rounds", "0"]).is_err());
        assert!(options(&["--seconds"]).is_err());
        assert!(options(&["--fast"]).is_err());
        Ok(())
    }

    #[test]
    fn only_what_there_is() -> Result<()> {
        let check = |arguments: &[&str]| options(arguments)?.check_only(20_000);
        check(&["--only", "keep-alive"])?;
        check(&["--service", "--only", "workers"])?;
        check(&["--syscalls", "--only", "echo"])?;
        check(&["--peers", "--only", "churn"])?;
        let refused =
            |arguments: &[&str]| check(arguments).map_or_else(|error| error.to_string(), |()| String::new());
        assert!(refused(&["--only", "keepalive"]).contains("\n  keep-alive HTTP, poll, 1 connection\n"));
        // The quick run has fewer of them.
        assert!(refused(&["--quick", "--only", "accept storm"]).contains("There are"));
        assert!(refused(&["--service", "--only", "echo"]).contains("\n  reloads\n"));
        assert!(refused(&["--instructions", "--only", "echo"]).contains("--only is for neither"));
        Ok(())
    }
}
