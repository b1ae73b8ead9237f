//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::guest::Which;

pub(crate) const HELP: &str = "\
cargo xtask fuzz [--seconds N] [--calls N] [--seed S] [--jobs N] [--floor N]
                 [--modules | --components]
    run guests that call everything until the time is over or so many calls were made; the
    run fails below N successes of each function (2 from a million calls on, 10 from five;
    of components, from a tenth of that). One guest in five is a component; with a flag,
    none or all of them are
cargo xtask fuzz --seed S --guest I [--wat FILE] [--no-shrink]
    run that guest again, and shrink it to a module where it still fails
";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) seconds: Option<Duration>,
    pub(crate) calls: Option<u64>,
    pub(crate) seed: u64,
    pub(crate) jobs: usize,
    pub(crate) floor: Option<u64>,
    pub(crate) guest: Option<u64>,
    /// A file with the numbers of the operations to keep: for children.
    pub(crate) keep: Option<PathBuf>,
    pub(crate) wat: PathBuf,
    pub(crate) shrinks: bool,
    pub(crate) which: Which,
}

impl Options {
    pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let mut options = Self {
            seconds: None,
            calls: None,
            seed: 1,
            jobs: 2 * cores,
            floor: None,
            guest: None,
            keep: None,
            wat: "shrunk.wat".into(),
            shrinks: true,
            which: Which::All,
        };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--no-shrink" => options.shrinks = false,
                "--modules" => options.which = Which::Modules,
                "--components" => options.which = Which::Components,
                "--help" | "-h" => bail!("usage:\n{HELP}"),
                _ => options.read_value(&arg, args.next())?,
            }
        }
        if options.seconds.is_none() && options.calls.is_none() {
            options.seconds = Some(Duration::from_secs(60));
        }
        Ok(options)
    }

    /// Takes in an option that has a value.
    fn read_value(&mut self, arg: &str, value: Option<String>) -> Result<()> {
        let value = value.with_context(|| format!("{arg} needs a value\n{HELP}"))?;
        let number = || value.parse::<u64>().with_context(|| format!("{arg} {value}: expected a number"));
        match arg {
            "--seconds" => self.seconds = Some(Duration::from_secs(number()?)),
            "--calls" => self.calls = Some(number()?),
            "--seed" => self.seed = number()?,
            "--jobs" => self.jobs = usize::try_from(number()?)?.max(1),
            "--floor" => self.floor = Some(number()?),
            "--guest" => self.guest = Some(number()?),
            "--keep" => self.keep = Some(value.into()),
            "--wat" => self.wat = value.into(),
            _ => bail!("unknown option {arg}\n{HELP}"),
        }
        Ok(())
    }
}
