//! What is done to the service, one thing after the other.

use super::super::build::Built;
use super::super::server::{Invocation, Service, Side};
use super::super::service::{ask_within, connect};
use super::super::workload::Module;
use super::host::{DRAIN_TIMEOUT, Host};
use super::ledger::{Cause, Effect};
use super::{PATIENCE, Site};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// How many connections there may be; each round one more than that comes.
const MOST: usize = 64;

/// What is done to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
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

/// A round of half a minute: mostly reloads, with all else in between.
const ROUND: [Deed; 15] = [
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

/// Who does it.
pub(super) struct Operator<'a> {
    built: &'a Built,
    site: &'a Site,
    invocation: Invocation,
    host: Host,
}

impl<'a> Operator<'a> {
    /// Starts the service.
    pub(super) fn start(built: &'a Built, site: &'a Site) -> Result<Self> {
        let flags = [
            "--workers=2",
            "--restart=on-failure",
            "--reload-signal=USR2",
            &format!("--drain-timeout={}s", DRAIN_TIMEOUT.as_secs()),
            // A new generation may have to wait for a processor.
            &format!("--ready-timeout={}s", PATIENCE.as_secs()),
            &format!("--max-connections={MOST}"),
            "--log-format=json",
        ];
        let service = Service::http("epoll").with_argument("fragile");
        let service = flags.iter().fold(service, |service, flag| service.with_flag(flag));
        let invocation = service.command(built, Side::Guest, Module::Small, site.address);
        let host = Host::new(invocation.start(built, site.address)?);
        Ok(Self { built, site, invocation, host })
    }

    /// Does one thing after the other, until the time is over; tells how often each.
    pub(super) fn operate(mut self, time: Duration) -> Result<BTreeMap<Deed, u64>> {
        let begun = Instant::now();
        let mut done: BTreeMap<Deed, u64> = BTreeMap::new();
        for deed in ROUND.into_iter().cycle() {
            if begun.elapsed() >= time {
                break;
            }
            sleep(Duration::from_secs(2));
            *done.entry(deed).or_default() += 1;
            let said = |host: &Host| format!("{deed:?}: the host said {}", host.process.said());
            self.does(deed).with_context(|| said(&self.host))?;
        }
        self.site.is_over.store(true, SeqCst);
        self.host.is_drained();
        let ordered = SystemTime::now();
        self.host.process.signal(Signal::TERM)?;
        self.wait_for_its_end()?;
        self.note(&self.ends("Drain", Effect::EndsWaiting, ordered));
        self.note(&self.ends("Drain", Effect::Refuses, ordered));
        self.settle();
        Ok(done)
    }

    fn does(&mut self, deed: Deed) -> Result<()> {
        match deed {
            Deed::Reload => {
                let generation = self.host.is_reloaded();
                self.host.process.signal(Signal::USR2)?;
                wait_until(|| Ok(self.host.serves(generation)))
            }
            Deed::Trap => {
                self.host.is_trapped();
                // It gets no answer, which is what it asked for.
                ensure!(ask_within(self.site.address, "TRAP", PATIENCE).is_err(), "it did not trap");
                Ok(())
            }
            Deed::Limit => reach_the_limit(self.site.address),
            Deed::Drain => {
                self.host.is_drained();
                let ordered = SystemTime::now();
                self.host.process.signal(Signal::TERM)?;
                let code = self.wait_for_its_end()?;
                ensure!(code == Some(0), "it ended with {code:?}");
                self.note(&self.ends("Drain", Effect::EndsWaiting, ordered));
                self.start_anew("Drain", ordered)
            }
            Deed::Kill => {
                let ordered = SystemTime::now();
                self.host.process.signal(Signal::KILL)?;
                self.wait_for_its_end()?;
                self.note(&self.ends("Kill", Effect::Ends, ordered));
                self.start_anew("Kill", ordered)
            }
        }
    }

    /// The next host; until it listens, clients are refused.
    fn start_anew(&mut self, name: &'static str, ordered: SystemTime) -> Result<()> {
        self.settle();
        self.host = Host::new(self.invocation.start(self.built, self.site.address)?);
        self.note(&self.ends(name, Effect::Refuses, ordered));
        Ok(())
    }

    /// What began with an order, and is over now.
    fn ends(&self, name: &'static str, effect: Effect, from: SystemTime) -> Cause {
        Cause { name, effect, from, until: SystemTime::now(), most: None }
    }

    fn note(&self, cause: &Cause) {
        self.site.journal().causes.push(cause.clone());
    }

    /// Takes the host, which has ended, at its word.
    fn settle(&self) {
        let (causes, faults) = self.host.accounts();
        let mut journal = self.site.journal();
        journal.causes.extend(causes);
        journal.faults.extend(faults);
    }

    /// Waits until the host, which was told to end, has done so; returns its exit code.
    fn wait_for_its_end(&mut self) -> Result<Option<i32>> {
        let mut status = None;
        wait_until(|| {
            status = self.host.process.child().try_wait()?;
            Ok(status.is_some())
        })?;
        Ok(status.and_then(|status| status.code()))
    }
}

fn wait_until(mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    // A drain takes its own time first.
    let deadline = Instant::now() + DRAIN_TIMEOUT + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            bail!("it does not come");
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Opens as many connections as there may be, and closes them: others wait meanwhile.
fn reach_the_limit(address: SocketAddr) -> Result<()> {
    let open = (0..MOST).map(|_| connect(address)).collect::<Result<Vec<_>, _>>()?;
    sleep(Duration::from_secs(1));
    drop(open);
    Ok(())
}
