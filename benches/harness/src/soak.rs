//! `cargo xtask soak`: a day of operation in small.
//!
//! Clients ask a service without a pause, some on connections that they keep and some on a new one for each
//! request, while all is done to it that an operator and bad luck do: reloads, traps, its limits reached,
//! drains, the end of its host by SIGKILL. Each client that gets no answer is accounted for: either something
//! that was done at that moment explains it by the rules of docs/service.md, or the run fails.

use super::build::Built;
use super::process::{Process, free_address};
use super::server::{Invocation, Service, Side};
use super::service::{ask, wait_until_it_says};
use super::workload::Module;
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo xtask soak     run a service under clients while all is done to it that an operator does
    --minutes N      for so long [default: 2]
";

/// Clients of each kind.
const CLIENTS: usize = 4;

/// How many connections there may be; each round one more than that comes.
const MOST: usize = 64;

/// How many requests a kept connection is kept for.
const REQUESTS: u64 = 100;

/// What was begun just before a client's failure explains it, and for how long after its end.
const AFTER: Duration = Duration::from_millis(500);

/// How long a client waits for its answer.
const ANSWER: Duration = Duration::from_secs(20);

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
    let site = Site {
        address,
        is_over: AtomicBool::new(false),
        answers: AtomicU64::new(0),
        journal: Mutex::default(),
    };
    let server = invocation(&built, address).start(&built, address)?;
    let done = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| site.ask_each(&site.is_over));
            scope.spawn(|| site.ask_kept(&site.is_over));
        }
        let done = operate(&built, &site, server, time);
        site.is_over.store(true, SeqCst);
        done
    });
    let done = done?;
    site.report(&done)
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
    lost: Vec<Lost>,
    /// What was done, when it began, and when it was over, if it is.
    deeds: Vec<(Deed, Instant, Option<Instant>)>,
}

/// A client that got no answer.
struct Lost {
    at: Instant,
    how: How,
}

/// How a client was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Refused,
    /// Its connection, on which it had asked, was reset or ended.
    Cut,
    /// A connection that it kept was gone before it asked, which any server may do.
    Gone,
    NoAnswer,
}

/// What is done to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    /// Nobody may notice.
    Reload,
    /// R1: the connections of that worker end.
    Trap,
    /// L4 and the limit to connections: others wait.
    Limit,
    /// R8: whoever comes is refused, and clients that wait are reset, until the next host is there.
    Drain,
    /// The host is gone at once, with all connections, until the next one is there.
    Kill,
}

impl Deed {
    /// May it lose a client so?
    fn explains(self, how: How) -> bool {
        match self {
            Self::Reload | Self::Limit => false,
            Self::Trap => matches!(how, How::Cut | How::Gone),
            Self::Drain | Self::Kill => matches!(how, How::Refused | How::Cut | How::Gone),
        }
    }
}

impl Site {
    fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, how: How) {
        self.journal().lost.push(Lost { at: Instant::now(), how });
        // As a client does that means well.
        sleep(Duration::from_millis(20));
    }

    /// Does something to the service, and notes when.
    fn during<T>(&self, deed: Deed, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let place = {
            let mut journal = self.journal();
            journal.deeds.push((deed, Instant::now(), None));
            journal.deeds.len() - 1
        };
        let done = act();
        if let Some(noted) = self.journal().deeds.get_mut(place) {
            noted.2 = Some(Instant::now());
        }
        done.with_context(|| format!("{deed:?}"))
    }

    /// A client that connects for each request.
    fn ask_each(&self, is_over: &AtomicBool) {
        while !is_over.load(SeqCst) {
            match ask(self.address, "GET") {
                Ok(()) => _ = self.answers.fetch_add(1, SeqCst),
                Err(error) => self.lost(how(&error, false)),
            }
        }
    }

    /// A client that keeps its connection for some requests, with pauses between them. So it is gone in time
    /// where its server drains.
    fn ask_kept(&self, is_over: &AtomicBool) {
        let mut kept: Option<TcpStream> = None;
        for number in 0_u64.. {
            if is_over.load(SeqCst) {
                return;
            }
            if number.is_multiple_of(REQUESTS) {
                kept = None;
            }
            let is_new = kept.is_none();
            match self.ask_on(&mut kept) {
                Ok(()) => _ = self.answers.fetch_add(1, SeqCst),
                Err(error) => {
                    kept = None;
                    self.lost(how(&error, !is_new));
                }
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn ask_on(&self, kept: &mut Option<TcpStream>) -> Result<()> {
        let stream = match kept {
            Some(stream) => stream,
            None => kept.insert(TcpStream::connect(self.address)?),
        };
        stream.set_read_timeout(Some(ANSWER))?;
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
    fn report(&self, done: &BTreeMap<Deed, u64>) -> Result<ExitCode> {
        let journal = self.journal();
        let mut lost: BTreeMap<(String, How), u64> = BTreeMap::new();
        let mut unexplained = 0;
        for client in &journal.lost {
            let explains = |(deed, from, until): &&(Deed, Instant, Option<Instant>)| {
                deed.explains(client.how)
                    && client.at >= *from
                    && until.is_none_or(|until| client.at <= until + AFTER)
            };
            let by = journal.deeds.iter().find(explains).map(|(deed, ..)| format!("{deed:?}"));
            unexplained += u64::from(by.is_none());
            *lost.entry((by.unwrap_or_else(|| "NOTHING".to_owned()), client.how)).or_default() += 1;
        }
        println!("answers: {}", self.answers.load(SeqCst));
        done.iter().for_each(|(deed, count)| println!("{deed:?}: {count}"));
        lost.iter().for_each(|((by, how), count)| println!("lost by {by}: {count} {how:?}"));
        println!("lost for no reason: {unexplained}");
        Ok(if unexplained == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

/// How the service is run.
fn invocation(built: &Built, address: SocketAddr) -> Invocation {
    let flags = [
        "--workers=2",
        "--restart=on-failure",
        "--reload-signal=USR2",
        "--drain-timeout=20s",
        &format!("--max-connections={MOST}"),
    ];
    let service = Service::http("epoll").with_argument("fragile");
    let service = flags.iter().fold(service, |service, flag| service.with_flag(flag));
    service.command(built, Side::Guest, Module::Small, address)
}

/// Does one thing after the other, until the time is over; tells how often each.
fn operate(built: &Built, site: &Site, mut server: Process, time: Duration) -> Result<BTreeMap<Deed, u64>> {
    let begun = Instant::now();
    let invocation = invocation(built, site.address);
    let start = || invocation.start(built, site.address);
    let mut generation = 1;
    let mut done: BTreeMap<Deed, u64> = BTreeMap::new();
    // A round of half a minute: mostly reloads, with all else in between.
    let round = [
        Deed::Reload,
        Deed::Reload,
        Deed::Trap,
        Deed::Reload,
        Deed::Limit,
        Deed::Reload,
        Deed::Reload,
        Deed::Trap,
        Deed::Reload,
        Deed::Drain,
        Deed::Reload,
        Deed::Reload,
        Deed::Limit,
        Deed::Reload,
        Deed::Kill,
    ];
    for deed in round.into_iter().cycle() {
        if begun.elapsed() >= time {
            break;
        }
        sleep(Duration::from_secs(2));
        *done.entry(deed).or_default() += 1;
        match deed {
            Deed::Reload => site.during(deed, || {
                generation += 1;
                server.signal(Signal::USR2)?;
                wait_until_it_says(&server, &format!("generation {generation} serves"))
            })?,
            Deed::Trap => site.during(deed, || {
                // It gets no answer, which is what it asked for.
                if ask(site.address, "TRAP").is_ok() {
                    bail!("it did not trap");
                }
                Ok(())
            })?,
            Deed::Limit => site.during(deed, || reach_the_limit(site.address))?,
            Deed::Drain => site.during(deed, || {
                server.signal(Signal::TERM)?;
                let ended = wait_for(&mut server)?;
                (server, generation) = (start()?, 1);
                if ended != Some(0) {
                    bail!("it ended with {ended:?}");
                }
                Ok(())
            })?,
            Deed::Kill => site.during(deed, || {
                server.signal(Signal::KILL)?;
                wait_for(&mut server)?;
                (server, generation) = (start()?, 1);
                Ok(())
            })?,
        }
    }
    site.during(Deed::Drain, || {
        site.is_over.store(true, SeqCst);
        server.stop()
    })?;
    Ok(done)
}

/// Waits for the end of a server that was told to end.
fn wait_for(server: &mut Process) -> Result<Option<i32>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = server.child().try_wait()? {
            return Ok(status.code());
        }
        if begun.elapsed() > ANSWER {
            bail!("it does not end");
        }
        sleep(Duration::from_millis(5));
    }
}

/// Opens as many connections as there may be, and closes them: others wait meanwhile.
fn reach_the_limit(address: SocketAddr) -> Result<()> {
    let mut open = Vec::new();
    for _ in 0..MOST {
        open.push(TcpStream::connect(address)?);
    }
    sleep(Duration::from_secs(1));
    drop(open);
    Ok(())
}
