//! `--watch`: reloads when the module, or a file that says how it runs, has changed.
//!
//! The folders of the files are watched rather than the files, because a new one mostly takes the
//! place of the old one by a rename. What the kernel reports is only a hint to look: whether a file
//! has changed is read from the file itself, also now and then without a hint, since a file may be
//! on a network, or behind a link to another folder.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::args::RunArgs;
use crate::reload::Reloader;

/// For how long the files must have been left alone: a build writes in pieces.
const QUIET: Duration = Duration::from_millis(200);

/// They are read after this time in any case.
const LONGEST: Duration = Duration::from_secs(2);

/// How often they are looked at without a hint.
const NOW_AND_THEN: Duration = Duration::from_secs(2);

/// Starts a thread that orders a reload when one of the files has changed that the last one has read.
///
/// # Errors
///
/// Where the host has no thread for it. Where it has no watch, the files are looked at now and then.
pub(crate) fn watch(reloader: Reloader) -> Result<()> {
    let (hint, hints) = mpsc::sync_channel(1);
    let works = move || {
        // From the start on, and not from whenever the thread runs.
        let (files, seen) = reloader.files().into_iter().unzip();
        let mut watched = Watched { watcher: watcher(hint), files, seen };
        watched.follow_folders();
        loop {
            watched.next_change(&hints, &reloader);
            reloader.order();
        }
    };
    thread::Builder::new()
        .name("wasock-watch".to_owned())
        .spawn(works)
        .context("cannot watch the files (--watch)")?;
    Ok(())
}

/// What gives a hint for each change in a folder.
fn watcher(hint: SyncSender<()>) -> Option<RecommendedWatcher> {
    let reports = move |event: notify::Result<notify::Event>| {
        // Reading a file is no change, and a reload reads them. One hint is as good as many.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _one_waits = hint.try_send(());
        }
    };
    let made = notify::recommended_watcher(reports);
    made.inspect_err(|error| tracing::info!("no watch, the files are looked at now and then: {error}")).ok()
}

/// What tells one content of a file from another; `None` where there is no file.
pub(crate) type FileState = Option<(u64, u64, u64, i64, i64)>;

/// The files that a reload reads which goes by `args`, as they are now.
pub(crate) fn files(args: &RunArgs) -> Vec<(PathBuf, FileState)> {
    let module = args.command.first().map(PathBuf::from);
    let variables = args.env_file.iter().map(|file| file.path.clone());
    let files: Vec<_> = module.into_iter().chain(args.config.clone()).chain(variables).collect();
    let states = states(&files);
    files.into_iter().zip(states).collect()
}

fn states(files: &[PathBuf]) -> Vec<FileState> {
    let state = |file: &PathBuf| {
        let found = std::fs::metadata(file).ok()?;
        // The time of the last change counts renames too.
        Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
    };
    files.iter().map(state).collect()
}

/// The files, as they were when a reload was last ordered.
struct Watched {
    watcher: Option<RecommendedWatcher>,
    files: Vec<PathBuf>,
    seen: Vec<FileState>,
}

impl Watched {
    /// Watches the folders that there are: one may have been replaced. A folder that is watched
    /// already is watched once.
    fn follow_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let parent = |file: &PathBuf| match file.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        for folder in self.files.iter().map(parent).collect::<BTreeSet<_>>() {
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                tracing::debug!("{} is not watched: {error}", folder.display());
            }
        }
    }

    /// Goes over to `files`: a reload may have read others than the one before. One that is new was seen as it
    /// was read.
    fn follow(&mut self, files: Vec<(PathBuf, FileState)>) {
        if files.iter().map(|(file, _)| file).eq(&self.files) {
            return;
        }
        let known = |file: &PathBuf| Some(*self.seen.get(self.files.iter().position(|it| it == file)?)?);
        let seen = files.iter().map(|(file, as_read)| known(file).unwrap_or(*as_read)).collect();
        self.seen = seen;
        self.files = files.into_iter().map(|(file, _)| file).collect();
        self.follow_folders();
    }

    /// Waits until a file has changed and was then left alone.
    fn next_change(&mut self, hints: &Receiver<()>, reloader: &Reloader) {
        loop {
            match hints.recv_timeout(NOW_AND_THEN) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                // Without a watcher.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(NOW_AND_THEN),
            }
            self.follow(reloader.files());
            if states(&self.files) == self.seen {
                continue;
            }
            let found = self.settled();
            self.follow_folders();
            // One that is gone comes back, mostly: there is nothing to read meanwhile.
            if found != self.seen && found.iter().all(Option::is_some) {
                self.seen = found;
                return;
            }
        }
    }

    /// How the files are once they are left alone.
    fn settled(&self) -> Vec<FileState> {
        let begun = Instant::now();
        let mut before = states(&self.files);
        loop {
            thread::sleep(QUIET);
            let now = states(&self.files);
            if now == before || begun.elapsed() >= LONGEST {
                return now;
            }
            before = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_place_of_another_is_a_change() -> std::io::Result<()> {
        let folder = std::env::temp_dir().join(format!("wasock-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let first = folder.join("one");
        let files = vec![first.clone(), folder.join("two")];
        std::fs::write(&first, "a")?;
        let before = states(&files);
        assert!(matches!(before.as_slice(), [Some(_), None]));
        assert_eq!(states(&files), before);
        std::fs::write(folder.join("new"), "a")?;
        std::fs::rename(folder.join("new"), &first)?;
        assert_ne!(states(&files), before);
        std::fs::remove_dir_all(&folder)
    }
}
