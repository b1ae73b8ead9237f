//! `cargo xtask soak`: a day of operation in small.
//!
//! Clients ask a service without a pause, some on connections that they keep and some on a new one for each
//! request, while all is done to it that an operator and bad luck do: reloads, traps, its limits reached,
//! drains, the end of its host by SIGKILL. Each client that gets no answer is accounted for: its connection was
//! one of those that its host counts as ended, by the rules of docs/service.md, or that host itself was ended. Else
//! the run fails.

mod host;
mod host_log;
mod ledger;
mod operator;

use super::build::Built;
use super::process::free_address;
use super::service::{ask_within, connect};
use anyhow::{Context, Result};
use ledger::{Cause, How, Loss};
use operator::{Deed, Operator};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, SystemTime};

const HELP: &str = "\
cargo xtask soak     run a service under clients while all is done to it that an operator does
    --minutes N      for so long [default: 2]
";

/// Clients of each kind.
const CLIENTS: usize = 4;

/// How many requests a kept connection is kept for.
const REQUESTS: u64 = 100;

/// How long a client waits for its answer, and the operator for what is to happen: much longer than it takes
/// on a machine that has something else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs it.
///
/// # Errors
///
/// Where nothing could be built or started. A client that is lost for no reason is an exit code.
pub(super) fn main(arguments: &[String]) -> Result<ExitCode> {
    let minutes: f64 = match arguments {
        [] => 2.0,
        [flag, minutes] if flag == "--minutes" => minutes.parse().context("--minutes")?,
        _ => {
            print!("{HELP}");
            return Ok(ExitCode::from(2));
        }
    };
    let time = Duration::try_from_secs_f64(minutes * 60.0).context("--minutes")?;
    let built = Built::build()?;
    let address = free_address()?;
    let begun = SystemTime::now();
    let site = Site {
        address,
        is_over: AtomicBool::new(false),
        answers: AtomicU64::new(0),
        journal: Mutex::default(),
    };
    let operator = Operator::start(&built, &site)?;
    let done = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| site.ask_each());
            scope.spawn(|| site.ask_kept());
        }
        let done = operator.operate(time);
        site.is_over.store(true, SeqCst);
        done
    });
    site.report(&done?, begun)
}

/// Where the service is, and what its clients and its operator note.
struct Site {
    address: SocketAddr,
    is_over: AtomicBool,
    answers: AtomicU64,
    journal: Mutex<Journal>,
}

#[derive(Default)]
struct Journal {
    lost: Vec<Loss>,
    causes: Vec<Cause>,
    /// What hosts did that no rule has.
    faults: Vec<String>,
}

impl Site {
    fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    fn lost(&self, made: SystemTime, how: How) {
        self.journal().lost.push(Loss { made, at: SystemTime::now(), how });
        // As a client does that means well.
        sleep(Duration::from_millis(20));
    }

    /// A client that connects for each request.
    fn ask_each(&self) {
        while !self.is_over() {
            let made = SystemTime::now();
            match ask_within(self.address, "GET", PATIENCE) {
                Ok(()) => _ = self.answers.fetch_add(1, SeqCst),
                Err(error) => self.lost(made, how(&error, false)),
            }
        }
    }

    /// A client that keeps its connection for some requests, with pauses between them. So it is gone in time
    /// where its server drains, unless it has to wait for a processor.
    fn ask_kept(&self) {
        let mut kept: Option<TcpStream> = None;
        let mut made = SystemTime::now();
        for number in 0_u64.. {
            if self.is_over() {
                return;
            }
            if number.is_multiple_of(REQUESTS) {
                kept = None;
            }
            let is_new = kept.is_none();
            if is_new {
                made = SystemTime::now();
            }
            match self.ask_on(&mut kept) {
                Ok(()) => _ = self.answers.fetch_add(1, SeqCst),
                Err(error) => {
                    kept = None;
                    self.lost(made, how(&error, !is_new));
                }
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn ask_on(&self, kept: &mut Option<TcpStream>) -> Result<()> {
        let stream = match kept {
            Some(stream) => stream,
            None => kept.insert(connect(self.address)?),
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"guest\n") {
            let mut part = [0; 1024];
            let count = stream.read(&mut part)?;
            if count == 0 {
                return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into());
            }
            answer.extend_from_slice(part.get(..count).unwrap_or_default());
        }
        Ok(())
    }

    /// Says what was done, and who was lost by it; fails where somebody was lost by nothing.
    fn report(&self, done: &BTreeMap<Deed, u64>, begun: SystemTime) -> Result<ExitCode> {
        let journal = self.journal();
        println!("answers: {}", self.answers.load(SeqCst));
        done.iter().for_each(|(deed, count)| println!("{deed:?}: {count}"));
        let counted = journal.causes.iter().filter_map(|cause| Some((cause.name, cause.most?)));
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        counted.for_each(|(name, count)| *counts.entry(name).or_default() += count);
        counts.iter().for_each(|(name, count)| println!("the hosts count by {name}: {count}"));
        let unexplained = ledger::report(&journal.lost, &journal.causes);
        let since = |moment: SystemTime| moment.duration_since(begun).unwrap_or_default();
        for Loss { made, at, how } in &unexplained {
            println!("lost for no reason: {how:?}, {:?} to {:?} of the run", since(*made), since(*at));
        }
        journal.faults.iter().for_each(|fault| println!("against the rules: {fault}"));
        println!("lost for no reason: {}", unexplained.len());
        let is_good = unexplained.is_empty() && journal.faults.is_empty();
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn how(error: &anyhow::Error, was_kept: bool) -> How {
    let kind =
        error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    match kind {
        Some(ErrorKind::ConnectionRefused) => How::Refused,
        Some(ErrorKind::WouldBlock | ErrorKind::TimedOut) => How::NoAnswer,
        _ if was_kept => How::Gone,
        _ => How::Cut,
    }
}
