//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) const HELP: &str = "\
cargo xtask fuzz [--seconds N] [--calls N] [--seed S] [--jobs N] [--floor N]
    run guests that call everything until the time is over or so many calls were made; the
    run fails below N successes of each function (2 from a million calls on, 10 from five)
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
        };
        while let Some(arg) = args.next() {
            if arg == "--no-shrink" {
                options.shrinks = false;
                continue;
            }
            if matches!(arg.as_str(), "--help" | "-h") {
                bail!("usage:\n{HELP}");
            }
            let value = args.next().with_context(|| format!("{arg} needs a value\n{HELP}"))?;
            let number = || value.parse::<u64>().with_context(|| format!("{arg} {value}: expected a number"));
            match arg.as_str() {
                "--seconds" => options.seconds = Some(Duration::from_secs(number()?)),
                "--calls" => options.calls = Some(number()?),
                "--seed" => options.seed = number()?,
                "--jobs" => options.jobs = usize::try_from(number()?)?.max(1),
                "--floor" => options.floor = Some(number()?),
                "--guest" => options.guest = Some(number()?),
                "--keep" => options.keep = Some(value.into()),
                "--wat" => options.wat = value.into(),
                _ => bail!("unknown option {arg}\n{HELP}"),
            }
        }
        if options.seconds.is_none() && options.calls.is_none() {
            options.seconds = Some(Duration::from_secs(60));
        }
        Ok(options)
    }
}
