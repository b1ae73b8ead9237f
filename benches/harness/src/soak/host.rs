//! One host from its start to its end: what was done to it, and what it has ended.

use super::super::process::Process;
use super::host_log::{self, Event, Line};
use super::ledger::{Cause, Effect};
use std::time::{Duration, SystemTime};

/// How long connections may go on in a generation that is retired.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How many generations there may be at once, by default.
const MAX_GENERATIONS: u64 = 8;

/// A host that runs, and when what was done to it.
pub(super) struct Host {
    pub(super) process: Process,
    /// When each reload was ordered: the first one makes generation 2.
    reloads: Vec<SystemTime>,
    traps: Vec<SystemTime>,
    /// When it was told to drain.
    drained: Option<SystemTime>,
}

impl Host {
    pub(super) fn new(process: Process) -> Self {
        Self { process, reloads: Vec::new(), traps: Vec::new(), drained: None }
    }

    /// A reload is to be ordered; returns the number of the generation that it makes.
    pub(super) fn is_reloaded(&mut self) -> u64 {
        self.reloads.push(SystemTime::now());
        self.reloads.len() as u64 + 1
    }

    pub(super) fn is_trapped(&mut self) {
        self.traps.push(SystemTime::now());
    }

    pub(super) fn is_drained(&mut self) {
        self.drained = Some(SystemTime::now());
    }

    /// Has it said that this generation serves?
    pub(super) fn serves(&self, generation: u64) -> bool {
        let lines = host_log::read(&self.process.all_said());
        lines.iter().any(|line| line.event == Event::Reloaded { generation })
    }

    /// The connections that it has ended, by its own count and the rules of docs/service.md; and what it
    /// says that no rule has.
    pub(super) fn accounts(&self) -> (Vec<Cause>, Vec<String>) {
        let (mut causes, mut faults) = (Vec::new(), Vec::new());
        for line in host_log::read(&self.process.all_said()) {
            match self.cause(&line) {
                Ok(cause) => causes.extend(cause),
                Err(rule) => faults.push(format!("{:?}: {rule}", line.event)),
            }
        }
        (causes, faults)
    }

    /// What this line says has ended connections, if it says so.
    fn cause(&self, line: &Line) -> Result<Option<Cause>, &'static str> {
        let (name, from, most) = match &line.event {
            Event::Reloaded { .. } | Event::WaitingReset { .. } => return Ok(None),
            Event::Missed => return Err("what it counts is not all there"),
            Event::InstanceRestarted { connections } => {
                let trap = self.traps.iter().rev().find(|trap| **trap <= line.at);
                let trap = trap.ok_or("nobody made it trap")?;
                // The one that made it trap is not lost.
                ("Trap", *trap, connections.saturating_sub(1))
            }
            Event::DrainTimeout { generation, connections, cause } => {
                let retired = self.retired(*generation).ok_or("it was not retired")?;
                let from = match cause.as_str() {
                    "drain-timeout" => retired + DRAIN_TIMEOUT,
                    "max-generations" => self.one_too_many(*generation).ok_or("there were not so many")?,
                    _ => return Err("the program does not end so"),
                };
                if line.at < from {
                    return Err("it came too early");
                }
                (
                    if cause == "drain-timeout" { "drain timeout" } else { "too many generations" },
                    from,
                    *connections,
                )
            }
        };
        Ok(Some(Cause { name, effect: Effect::Ends, from, until: line.at, most: Some(most) }))
    }

    /// The earliest moment at which this generation may have been retired.
    fn retired(&self, generation: u64) -> Option<SystemTime> {
        let successor = usize::try_from(generation).ok()?.checked_sub(1)?;
        let by_reload = self.reloads.get(successor).copied();
        [by_reload, self.drained].into_iter().flatten().min()
    }

    /// When one generation more than may be was ordered, of which this one was the first.
    fn one_too_many(&self, generation: u64) -> Option<SystemTime> {
        let last = usize::try_from(generation + MAX_GENERATIONS).ok()?.checked_sub(2)?;
        self.reloads.get(last).copied()
    }
}
