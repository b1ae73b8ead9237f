//! Shows on a terminal that something goes on that takes its time.

use std::fmt::Display;
use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use wasock::observe::Escaped;

use crate::log;

/// What takes less is not worth a line.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the line is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// How it looks, without colours.
const LOOK: &str = "{spinner} wasock: {msg} ({elapsed})";

/// Shows that something goes on until it is dropped; then nothing of it is left to see.
pub(crate) struct Progress {
    /// Dropped at the end, which the thread waits for.
    is_over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows `what` after half a second, if standard error is a terminal, and lines are for people.
    pub(crate) fn begin(what: impl Display) -> Self {
        let is_shown = io::stderr().is_terminal() && !log::is_json();
        if !is_shown {
            return Self { is_over: None, thread: None };
        }
        let what = Escaped(what).to_string();
        let (is_over, over) = mpsc::channel::<()>();
        let shows = move || {
            if over.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            // It draws on standard error, and where that has no reader any more it draws nothing.
            let line = ProgressBar::new_spinner().with_message(what);
            line.set_style(
                ProgressStyle::with_template(LOOK).unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            while over.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                line.tick();
            }
            line.finish_and_clear();
        };
        // A host without threads to spare has nothing to show.
        let thread = thread::Builder::new().name("wasock-progress".to_owned()).spawn(shows).ok();
        Self { is_over: Some(is_over), thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.is_over = None;
        if let Some(thread) = self.thread.take() {
            let _drawn = thread.join();
        }
    }
}
