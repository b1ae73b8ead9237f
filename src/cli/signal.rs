//! SIGINT, SIGTERM and SIGHUP: for the guest, where it handles them; otherwise they end
//! it, whatever it is doing.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

use super::report::say;
use super::start;
use crate::Signal;
use crate::error::Terminated;
use crate::host::{Control, restore_shared_sockets};

/// How long the guest may take to end. It takes no time unless it is stuck in a
/// call of the system's, such as a write to a pipe that nobody reads.
const PATIENCE: Duration = Duration::from_millis(500);

/// A second Ctrl-C within this time is an order, whatever the guest made of the first.
/// Later, it may be one more thing for the guest to handle.
const TWICE: Duration = Duration::from_secs(5);

/// The guest, once there is one.
pub(super) type Running = Arc<OnceLock<Control>>;

/// Was this process started with SIGHUP ignored, as `nohup` does?
pub(super) fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal 1 is the lowest bit.
    ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & 1 != 0)
}

/// The signals of this process, one after the other.
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    /// None where it is to be ignored.
    hangup: Option<unix::Signal>,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        let hangup = if is_hangup_ignored() { None } else { Some(unix::signal(SignalKind::hangup())?) };
        let (interrupt, terminate) =
            (unix::signal(SignalKind::interrupt())?, unix::signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup })
    }

    async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Int,
            _ = self.terminate.recv() => Signal::Term,
            _ = hangup => Signal::Hup,
        }
    }
}

/// Watches for signals on a thread of its own, because the guest may never give
/// way. Answers the exit code, once, when one is to end the guest: and by then the
/// guest's code has been stopped too.
///
/// # Errors
///
/// Where signals can't be caught, or no thread be started.
pub(super) fn watch(running: Running) -> Result<oneshot::Receiver<u8>> {
    let runtime = start::runtime()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::catch()?
    };
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("wasock-signals".to_owned()).spawn(move || {
        let watching = AssertUnwindSafe(|| runtime.block_on(next_order(&mut signals, &running)));
        let code = match catch_unwind(watching) {
            Ok(signal) => u8::try_from(signal.exit_code()).unwrap_or(u8::MAX),
            // Otherwise the process would hear no signal any more.
            Err(_) => {
                let failed = Terminated::HostPanic("watched for signals");
                say!("wasock: {failed}");
                failed.exit_code()
            }
        };
        let _gone = sender.send(code);
        if let Some(guest) = running.get() {
            guest.terminate();
        }
        thread::sleep(PATIENCE);
        restore_shared_sockets();
        std::process::exit(code.into());
    })?;
    Ok(receiver)
}

/// Hands signals to the guest, up to the first that is to end it.
async fn next_order(signals: &mut Signals, running: &Running) -> Signal {
    let mut last = HashMap::new();
    loop {
        let signal = signals.next().await;
        let before = last.insert(signal, Instant::now());
        let is_order = signal != Signal::Hup && before.is_some_and(|it| it.elapsed() < TWICE);
        match running.get() {
            Some(guest) if !is_order && guest.handles_signals() => guest.signal(signal),
            _ => return signal,
        }
    }
}

/// Ends the process where the guest has not ended by itself a moment after its time was over:
/// it is stuck in a call of the system's.
///
/// # Errors
///
/// Where no thread can be started.
pub(super) fn end_after(timeout: Duration) -> io::Result<()> {
    let waits = move || {
        thread::sleep(timeout.saturating_add(2 * PATIENCE));
        let why = Terminated::Timeout(timeout);
        say!("wasock: {why} (--timeout)");
        restore_shared_sockets();
        std::process::exit(why.exit_code().into());
    };
    thread::Builder::new().name("wasock-timeout".to_owned()).spawn(waits).map(drop)
}
