//! A run: guests in several threads, in rounds, with a look at what is left after each.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::guest::{Compiled, Covered, Fuzzed, Which};
use crate::layout::PeerPorts;
use crate::options::Options;
use crate::peers::Peers;
use crate::run::Surroundings;
use crate::shrink;
use crate::watch::{Holds, Jobs, LOOK, count_panics, last_panic, panics, stays_open};

/// How long a round of guests takes.
const ROUND: Duration = Duration::from_secs(10);

/// From so many calls on each function has to have succeeded, once in half of that many, ten
/// times at most; and the states of descriptors, which are sampled, have to have been seen.
const FLOOR_CALLS: u64 = 1_000_000;
const FLOOR: u64 = 10;
const STATE_CALLS: u64 = 4 * FLOOR_CALLS;
/// The same for those of components, which have fewer functions.
const COMPONENT_FLOOR_CALLS: u64 = 100_000;

/// Threads that a host keeps for the next guest, and its reactors.
const IDLE_THREADS: usize = 64;

/// How much more memory the process may have than after its second round.
const GROWTH_KIB: u64 = 96 * 1024;

const LEFT_OPEN: &str = "what the guest had open is open after its end";

/// The most faults before the run ends.
const MAX_FAULTS: usize = 24;

/// What all jobs know.
struct Shared<'a> {
    options: &'a Options,
    compiled: Compiled,
    jobs: Jobs,
    next: AtomicU64,
    calls: AtomicU64,
    guests: AtomicU64,
    waits: AtomicU64,
    traps: AtomicU64,
    covered: Mutex<Covered>,
    /// What went wrong, and the guests with which it did.
    faults: Mutex<BTreeMap<String, Vec<u64>>>,
}

/// Fuzzes as `options` say.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    count_panics();
    let shared = Shared {
        options,
        compiled: Compiled::for_all(options.which)?,
        jobs: Jobs::new(options.jobs),
        next: AtomicU64::new(0),
        calls: AtomicU64::new(0),
        guests: AtomicU64::new(0),
        waits: AtomicU64::new(0),
        traps: AtomicU64::new(0),
        covered: Mutex::new(Covered::new()),
        faults: Mutex::default(),
    };
    println!("fuzz: seed {}, {} jobs", options.seed, options.jobs);
    let begun = Instant::now();
    let all_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !all_done.load(Relaxed) {
                if let Some(command) = shared.jobs.hanging() {
                    eprintln!("fault: a guest does not come back: {command}");
                    std::process::exit(3);
                }
                std::thread::sleep(LOOK);
            }
        });
        let outcome = shared.rounds(begun);
        all_done.store(true, Relaxed);
        outcome
    })?;
    shared.judge(begun)
}

impl Shared<'_> {
    fn is_over(&self, begun: Instant) -> bool {
        self.options.seconds.is_some_and(|limit| begun.elapsed() >= limit)
            || self.options.calls.is_some_and(|limit| self.calls.load(Relaxed) >= limit)
            || self.faults.lock().unwrap_or_else(PoisonError::into_inner).len() >= MAX_FAULTS
    }

    fn rounds(&self, begun: Instant) -> Result<()> {
        let mut allowed: Option<Holds> = None;
        let mut round = 0;
        while !self.is_over(begun) {
            let end = Instant::now() + ROUND;
            std::thread::scope(|scope| {
                let jobs: Vec<_> = (0..self.options.jobs)
                    .map(|job| scope.spawn(move || self.job(job, begun, end)))
                    .collect();
                jobs.into_iter().try_for_each(|job| job.join().unwrap_or_else(|_| Ok(())))
            })?;
            let holds = Holds::settled(allowed);
            let calls = self.calls.load(Relaxed);
            println!(
                "fuzz: {:>4} s, {calls} calls ({}/s) by {} guests; {} waits given up, {} traps; \
                 {} descriptors, {} threads, {} KiB",
                begun.elapsed().as_secs(),
                calls.checked_div(begun.elapsed().as_secs().max(1)).unwrap_or(0),
                self.guests.load(Relaxed),
                self.waits.load(Relaxed),
                self.traps.load(Relaxed),
                holds.descriptors,
                holds.threads,
                holds.resident
            );
            if let Some(limit) = allowed {
                self.compare(limit, holds);
            }
            round += 1;
            // What the first rounds make is kept.
            if round == 2 {
                allowed = Some(Holds { threads: holds.threads + IDLE_THREADS, ..holds });
            }
        }
        Ok(())
    }

    fn compare(&self, limit: Holds, holds: Holds) {
        if holds.descriptors > limit.descriptors {
            self.fault("descriptors of the host are left", None);
        }
        if holds.threads > limit.threads {
            self.fault("threads of the host are left", None);
        }
        if holds.resident > limit.resident * 3 / 2 + GROWTH_KIB {
            self.fault("the host's memory grows", None);
        }
    }

    fn fault(&self, what: &str, guest: Option<u64>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if !faults.contains_key(what) {
            let command = guest.map(|guest| format!(", guest {guest}")).unwrap_or_default();
            eprintln!("fault: {what}{command}");
        }
        let guests = faults.entry(what.to_owned()).or_default();
        if guests.len() < 8 {
            guests.extend(guest);
        }
    }

    /// One guest after the other, until the round is over.
    fn job(&self, job: usize, begun: Instant, end: Instant) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut folder = tempfile::tempdir()?;
        let seed = self.options.seed ^ self.next.load(Relaxed) ^ job as u64;
        let mut peers = Peers::start(folder.path(), seed).context("cannot start peers")?;
        let mut covered = Covered::new();
        while Instant::now() < end && !self.is_over(begun) {
            let index = self.options.which.index(self.next.fetch_add(1, Relaxed));
            let guest = Fuzzed::new(self.options.seed, index);
            empty(folder.path());
            let here = Surroundings { folder: folder.path(), ports: peers.ports, orders: peers.orders() };
            let before = panics();
            self.jobs.begin(job, guest.command());
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.block_on(self.compiled.run(&guest, &here, &mut covered))
            }));
            self.jobs.end(job);
            self.guests.fetch_add(1, Relaxed);
            if panics() != before {
                self.fault(&last_panic(), Some(index));
            }
            if stays_open(folder.path()) {
                self.fault(LEFT_OPEN, Some(index));
                // It is not to be the next one's fault too.
                folder = tempfile::tempdir()?;
                peers = Peers::start(folder.path(), seed).context("cannot start peers")?;
            }
            // One that panicked has no outcome.
            let Ok(outcome) = ran else { continue };
            let outcome = outcome.with_context(|| guest.command())?;
            self.calls.fetch_add(outcome.calls, Relaxed);
            self.waits.fetch_add(outcome.waits as u64, Relaxed);
            self.traps.fetch_add(outcome.traps as u64, Relaxed);
            if let Some(fault) = outcome.fault {
                self.fault(&fault, Some(index));
            }
        }
        self.covered.lock().unwrap_or_else(PoisonError::into_inner).add(&covered);
        Ok(())
    }

    /// What it all came to.
    fn judge(&self, begun: Instant) -> Result<ExitCode> {
        let covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let (modules, components) = (&covered.modules, &covered.components);
        let (all, of_components) = (self.calls.load(Relaxed), components.calls());
        let calls = all - of_components.min(all);
        if self.options.which != Which::Components {
            println!("{}", modules.table());
        }
        if self.options.which != Which::Modules {
            println!("{}", components.table());
        }
        for unknown in modules.unknown_answers() {
            self.fault(&format!("an unknown error number: {unknown}"), None);
        }
        let floor = |calls: u64, enough: u64| match self.options.floor {
            Some(floor) if calls > 0 => floor,
            _ if calls >= enough => (calls / (enough / 2)).min(FLOOR),
            _ => 0,
        };
        let low = modules.below(floor(calls, FLOOR_CALLS), calls >= STATE_CALLS);
        for low in low.into_iter().chain(components.below(floor(of_components, COMPONENT_FLOOR_CALLS))) {
            self.fault(&format!("too few successes: {low}"), None);
        }
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        println!(
            "fuzz: {all} calls, {of_components} of them by components, by {} guests in {:.0} s: {} kinds of faults",
            self.guests.load(Relaxed),
            begun.elapsed().as_secs_f64(),
            faults.len()
        );
        for (what, guests) in &faults {
            println!("fault: {what}");
            for guest in guests {
                println!("    cargo xtask fuzz --seed {} --guest {guest}", self.options.seed);
            }
            if let Some(guest) = guests.first().filter(|_| self.options.shrinks) {
                shrink::reproduce(self.options, *guest)?;
            }
        }
        Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Removes what a guest has left in its folder. What goes or comes meanwhile is a file
/// operation of that guest's which had begun, or a peer's: it is no fault.
fn empty(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        _ = std::fs::remove_file(entry.path());
        _ = std::fs::remove_dir_all(entry.path());
    }
}

/// Runs `guest` alone; tells what went wrong.
pub(crate) fn run_alone(guest: &Fuzzed, seed: u64) -> Result<Option<String>> {
    let compiled = Compiled::for_one(guest)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let peers = Peers::start(folder.path(), seed ^ guest.index())?;
    let ports = if guest.has_peers() { peers.ports } else { PeerPorts::default() };
    let here = Surroundings { folder: folder.path(), ports, orders: peers.orders() };
    let before = panics();
    let mut covered = Covered::new();
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(compiled.run(guest, &here, &mut covered))
    }));
    if panics() != before {
        return Ok(Some(last_panic()));
    }
    if stays_open(folder.path()) {
        return Ok(Some(LEFT_OPEN.into()));
    }
    Ok(ran.ok().transpose()?.and_then(|outcome| outcome.fault))
}
