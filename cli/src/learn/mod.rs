//! `--learn`: the smallest policy that a run needed, as a file for `--config`.
//!
//! It is written when there is something new, and at the end. It grants nothing.

mod used;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use wasock::{Event, Use, WasockCtxBuilder};

use crate::args::{GrantArgs, RunArgs};
use crate::report::say;
use used::{Given, Used};

/// How long what is new waits for more.
const REST: Duration = Duration::from_millis(500);

/// What learns in this process.
static LEARNER: OnceLock<Learner> = OnceLock::new();

struct Learner {
    path: PathBuf,
    given: Given,
    used: Mutex<Used>,
    /// The file as it was written last: held while it is written.
    written: Mutex<String>,
    /// Wakes the thread that writes.
    changed: SyncSender<()>,
}

/// Starts to learn, where `args` ask for that.
///
/// # Errors
///
/// Where the file can't be written, or the host has no thread.
pub(crate) fn start(args: &RunArgs) -> Result<()> {
    let Some(path) = &args.learn else { return Ok(()) };
    let (changed, changes) = mpsc::sync_channel(1);
    let (used, written) = (Mutex::default(), Mutex::default());
    let learner = Learner { path: path.clone(), given: Given::of(args), used, written, changed };
    let failed = || format!("cannot write {} (--learn)", path.display());
    learner.write().with_context(failed)?;
    _ = LEARNER.set(learner);
    thread::Builder::new()
        .name("wasock-learn".to_owned())
        .spawn(move || writes(&changes))
        .with_context(failed)?;
    Ok(())
}

fn writes(changes: &Receiver<()>) {
    while changes.recv().is_ok() {
        thread::sleep(REST);
        finish();
    }
}

/// Has `builder` note what guests use of `grants`.
pub(crate) fn of(builder: WasockCtxBuilder, grants: &GrantArgs) -> WasockCtxBuilder {
    if LEARNER.get().is_none() {
        return builder;
    }
    let grants = grants.clone();
    builder.check(move |wish: Use<'_>| {
        note(|used| used.note(wish, &grants));
        true
    })
}

/// Notes what was refused.
pub(crate) fn observe(event: &Event) {
    if let Event::Denied { call, what, rule, flag } = event {
        note(|used| used.refuse(call, what, rule, flag));
    }
}

/// Writes what is new, whole.
pub(crate) fn finish() {
    let Some(learner) = LEARNER.get() else { return };
    if let Err(error) = learner.write() {
        say!("wasock: cannot write {}: {error} (--learn)", learner.path.display());
    }
}

fn note(note: impl FnOnce(&mut Used) -> bool) {
    let Some(learner) = LEARNER.get() else { return };
    if note(&mut unpoisoned(&learner.used)) {
        // One that waits is enough.
        let _waits = learner.changed.try_send(());
    }
}

impl Learner {
    fn write(&self) -> io::Result<()> {
        let mut written = unpoisoned(&self.written);
        let text = unpoisoned(&self.used).written(&self.given);
        if text != *written {
            replace(&self.path, &text)?;
            *written = text;
        }
        Ok(())
    }
}

/// Puts a file with `text` in the place of the one at `path`.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let first = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let done = fs::write(&first, text).and_then(|()| fs::rename(&first, path));
    if done.is_err() {
        let _gone = fs::remove_file(&first);
    }
    done
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
