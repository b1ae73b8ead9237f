//! SIGINT and SIGTERM end the guest, whatever it is doing.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use wasmtime::Engine;

/// How long the guest may take to end. It takes no time unless it is stuck in a
/// call of the system's, such as a write to a pipe that nobody reads.
const PATIENCE: Duration = Duration::from_millis(500);

/// "128 + n": the exit code of a shell for a program that signal n ended.
const BASE: u8 = 128;

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// Watches for signals on a thread of its own, because the guest may never give
/// way. Answers the exit code, once: and by then the guest's code has been stopped
/// too.
///
/// # Errors
///
/// Where signals can't be caught, or no thread be started.
pub(super) fn watch(engine: &Engine) -> io::Result<oneshot::Receiver<u8>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let engine = engine.clone();
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("wasock-signals".to_owned()).spawn(move || {
        let signal = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => SIGINT,
                _ = terminate.recv() => SIGTERM,
            }
        });
        let code = BASE + signal;
        let _gone = sender.send(code);
        engine.increment_epoch();
        thread::sleep(PATIENCE);
        std::process::exit(code.into());
    })?;
    Ok(receiver)
}
