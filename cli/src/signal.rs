//! The signals of this process: for the guest, where it handles them; otherwise they do to
//! it what they do by default, and most end it, whatever it is doing.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Signal as Host;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;
use wasock::{Handle, Signal, Terminated, WasockCtx};

use crate::report::say;
use crate::serve::{Served, Taken};
use crate::{admin, manager, start};

/// How long the guest may take to end. It takes no time unless it is stuck in a
/// call of the system's, such as a write to a pipe without a reader.
const WAIT_TIMEOUT: Duration = Duration::from_millis(500);

/// A second Ctrl-C within this time is an order, whatever the guest made of the first.
/// Later, it may be one more thing for the guest to handle.
const TWICE: Duration = Duration::from_secs(5);

/// The signals that a user ends a program with: twice is an order.
const ENDING: [Signal; 3] = [Signal::Int, Signal::Quit, Signal::Term];

/// The signals that are passed on, as the host's system has them.
///
/// Not those that a fault of the host itself would send, and `SIGABRT`: they are the engine's.
/// Not `SIGPIPE`, which each write of the host's to a closed connection would send: the
/// guest's own writes report theirs. Not `SIGTSTP`, `SIGTTIN` and `SIGTTOU`: the kernel stops
/// the process as by default, and the shell's job control works.
const PASSED_ON: &[(Signal, Host)] = &[
    (Signal::Hup, Host::HUP),
    (Signal::Int, Host::INT),
    (Signal::Quit, Host::QUIT),
    (Signal::Usr1, Host::USR1),
    (Signal::Usr2, Host::USR2),
    (Signal::Alrm, Host::ALARM),
    (Signal::Term, Host::TERM),
    (Signal::Chld, Host::CHILD),
    (Signal::Cont, Host::CONT),
    (Signal::Urg, Host::URG),
    (Signal::Xcpu, Host::XCPU),
    (Signal::Xfsz, Host::XFSZ),
    (Signal::Vtalrm, Host::VTALARM),
    (Signal::Prof, Host::PROF),
    (Signal::Winch, Host::WINCH),
    (Signal::Poll, Host::IO),
    (Signal::Pwr, Host::POWER),
    (Signal::Stkflt, Host::STKFLT),
];

/// What signals are for, once it runs.
pub(crate) type SignalTarget = Arc<OnceLock<Target>>;

/// What runs.
pub(crate) enum Target {
    Guest(Handle),
    Service(Box<Served>),
}

impl Target {
    fn take(&self, signal: Signal) -> Taken {
        match self {
            Self::Guest(_) => Taken::Not,
            Self::Service(served) => served.take(signal),
        }
    }

    fn handles_signals(&self) -> bool {
        match self {
            Self::Guest(guest) => guest.handles_signals(),
            Self::Service(served) => served.service.handles_signals(),
        }
    }

    fn signal(&self, signal: Signal) {
        match self {
            Self::Guest(guest) => guest.signal(signal),
            Self::Service(served) => served.service.signal(signal),
        }
    }

    fn terminate(&self) {
        match self {
            Self::Guest(guest) => guest.terminate(),
            Self::Service(served) => served.service.terminate(),
        }
    }

    /// As [`Handle::flush_events`].
    pub(crate) fn flush_events(&self, limit: Duration) -> bool {
        match self {
            Self::Guest(guest) => guest.flush_events(limit),
            Self::Service(served) => served.service.flush_events(limit),
        }
    }
}

/// The signals that this process was started with ignored, as `nohup` does with `SIGHUP`:
/// they are not caught, and a guest learns that they are ignored. Those that a user ends a
/// program with are caught all the same: a shell ignores some for what runs in the background.
pub(crate) fn ignored_from_the_start() -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    // Signal 1 is the lowest bit.
    let is_ignored = |host: Host| {
        let bit = u32::try_from(host.as_raw()).ok().and_then(|number| number.checked_sub(1));
        bit.and_then(|bit| mask.checked_shr(bit)).is_some_and(|rest| rest & 1 != 0)
    };
    let ignored = PASSED_ON.iter().filter(|(signal, host)| !ENDING.contains(signal) && is_ignored(*host));
    ignored.map(|(signal, _)| *signal).collect()
}

/// The signals of this process, one after the other.
struct HostSignals {
    caught: Vec<(Signal, unix::Signal)>,
}

impl HostSignals {
    /// `asked` is caught though it be ignored: the operator has named it.
    fn catch(asked: Option<Signal>) -> io::Result<Self> {
        let ignored = ignored_from_the_start();
        let wanted =
            PASSED_ON.iter().filter(|(signal, _)| !ignored.contains(signal) || asked == Some(*signal));
        let catch = |(signal, host): &(Signal, Host)| {
            Ok((*signal, unix::signal(SignalKind::from_raw(host.as_raw()))?))
        };
        Ok(Self { caught: wanted.map(catch).collect::<io::Result<_>>()? })
    }

    async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let mut caught = self.caught.iter_mut();
            let next = caught.find_map(|(signal, source)| match source.poll_recv(context) {
                Poll::Ready(Some(())) => Some(*signal),
                _ => None,
            });
            next.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Watches for signals on a thread of its own, because the guest may never yield.
/// Returns the exit code, once, when one is to end the guest: and by then the
/// guest's code has been stopped too. The signal `asked` is caught even if this process was
/// started with it ignored.
///
/// # Errors
///
/// Where signals can't be caught, or no thread be started.
pub(crate) fn watch(running: SignalTarget, asked: Option<Signal>) -> Result<oneshot::Receiver<u8>> {
    let runtime = start::runtime()?;
    let mut signals = {
        let _inside = runtime.enter();
        HostSignals::catch(asked)?
    };
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("wasock-signals".to_owned()).spawn(move || {
        let watching = AssertUnwindSafe(|| runtime.block_on(next_order(&mut signals, &running)));
        let ended = catch_unwind(watching);
        // First of all: standard error may be full.
        if let Some(guest) = running.get() {
            guest.terminate();
        }
        let code = match ended {
            Ok(signal) => {
                if signal != Signal::Int {
                    say!("wasock: {signal} ended the guest");
                }
                u8::try_from(signal.exit_code()).unwrap_or(u8::MAX)
            }
            // Otherwise the process would receive no signal any more.
            Err(_) => {
                let failed = Terminated::HostPanic("watched for signals");
                say!("wasock: {failed}");
                failed.exit_code()
            }
        };
        // Whoever gets it ends the process, and so comes after the line.
        let _gone = sender.send(code);
        manager::stops();
        thread::sleep(WAIT_TIMEOUT);
        admin::end();
        WasockCtx::restore_shared_sockets();
        std::process::exit(code.into());
    })?;
    Ok(receiver)
}

/// Passes signals to the guest, up to the first that is to end it.
async fn next_order(signals: &mut HostSignals, running: &SignalTarget) -> Signal {
    let mut last = HashMap::new();
    loop {
        let signal = signals.next().await;
        let before = last.insert(signal, Instant::now());
        let is_order = ENDING.contains(&signal) && before.is_some_and(|it| it.elapsed() < TWICE);
        match running.get().map_or(Taken::Not, |target| target.take(signal)) {
            Taken::Done => continue,
            Taken::Ends => return signal,
            Taken::Not => {}
        }
        match running.get() {
            Some(target) if !is_order && target.handles_signals() => target.signal(signal),
            _ if signal.ends() => return signal,
            _ => {}
        }
    }
}

/// Ends the process where the guest has not ended by itself a moment after its time was over:
/// it is stuck in a call of the system's.
///
/// # Errors
///
/// Where no thread can be started.
pub(crate) fn end_after(timeout: Duration) -> io::Result<()> {
    let waits = move || {
        thread::sleep(timeout.saturating_add(2 * WAIT_TIMEOUT));
        let why = Terminated::Timeout(timeout);
        say!("wasock: {why} (--timeout)");
        WasockCtx::restore_shared_sockets();
        std::process::exit(why.exit_code().into());
    };
    thread::Builder::new().name("wasock-timeout".to_owned()).spawn(waits).map(drop)
}
