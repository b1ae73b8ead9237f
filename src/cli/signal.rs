//! SIGINT, SIGTERM and SIGHUP: for the guest, where it handles them; otherwise they end
//! it, whatever it is doing.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;
use wasmtime::Engine;

use super::start;
use crate::Signal;
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
pub(super) fn watch(engine: &Engine, running: Running) -> Result<oneshot::Receiver<u8>> {
    let runtime = start::runtime()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::catch()?
    };
    let engine = engine.clone();
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("wasock-signals".to_owned()).spawn(move || {
        let signal = runtime.block_on(async {
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
        });
        let code = u8::try_from(signal.exit_code()).unwrap_or(u8::MAX);
        let _gone = sender.send(code);
        engine.increment_epoch();
        thread::sleep(PATIENCE);
        restore_shared_sockets();
        std::process::exit(code.into());
    })?;
    Ok(receiver)
}
