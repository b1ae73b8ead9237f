//! Standard error, whose reader may stall or be gone: neither may hold up a server, or keep a
//! signal from ending it.

use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ReadWriteFlags, pwritev2};

/// How long a text waits for room. Those after it do not wait, until there is room again.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

/// How much a pipe that polls as writable takes without blocking: `PIPE_BUF`.
const PART: usize = 4096;

/// How often a thread looks whether another one has finished its text.
const LOCK_INTERVAL: Duration = Duration::from_millis(1);

static STATE: Mutex<State> = Mutex::new(State { dropped: 0, is_torn: false });

struct State {
    /// How many texts had no room, since the last that had.
    dropped: u64,
    /// The last one has only a part of its line there.
    is_torn: bool,
}

/// Prints `text`, whole, unless there is no room for it within a moment: then it is dropped, and
/// the number of those that were is printed once there is room.
pub(crate) fn print(text: &[u8]) {
    print_to(&STATE, &io::stderr(), text);
}

fn print_to(state: &Mutex<State>, to: &impl AsFd, text: &[u8]) {
    let deadline = Instant::now() + ROOM_TIMEOUT;
    let Some(mut state) = lock(state, deadline) else { return };
    // One text has waited already.
    let deadline = if state.dropped > 0 { Instant::now() } else { deadline };
    let mut all = Vec::new();
    if state.dropped > 0 {
        let start = if state.is_torn { "\n" } else { "" };
        let note = format!("wasock: {} messages were dropped: standard error was full", state.dropped);
        all.extend_from_slice(start.as_bytes());
        all.extend_from_slice(crate::log::formatted(&note).as_bytes());
    }
    let note = all.len();
    all.extend_from_slice(text);
    let written = write(to, &all, deadline);
    if written == all.len() {
        *state = State { dropped: 0, is_torn: false };
    } else if written > 0 && written >= note {
        *state = State { dropped: 1, is_torn: written > note };
    } else {
        state.dropped = state.dropped.saturating_add(1);
        state.is_torn |= written > 0;
    }
}

/// Whoever has it is done within its own limit; but one may come after the other.
fn lock(state: &Mutex<State>, deadline: Instant) -> Option<MutexGuard<'_, State>> {
    loop {
        match state.try_lock() {
            Ok(state) => return Some(state),
            Err(TryLockError::Poisoned(state)) => return Some(PoisonError::into_inner(state)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_INTERVAL),
        }
    }
}

/// Writes what there is room for until `deadline`, and returns how much that was: all of it, too,
/// where there is no reader any more.
fn write(to: &impl AsFd, bytes: &[u8], deadline: Instant) -> usize {
    let can_block = fstat(to)
        .is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket));
    let mut rest = bytes;
    while !rest.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        match has_room(to, left) {
            Ok(true) => {}
            Ok(false) => break,
            Err(Errno::INTR) => continue,
            Err(_) => return bytes.len(),
        }
        let part = rest.get(..PART).unwrap_or(rest);
        match write_part(to, part, can_block) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // The guest, which writes there too, was faster; or it has less room than a part.
            Err(Errno::AGAIN) if left.is_zero() => break,
            Err(Errno::AGAIN) => thread::sleep(LOCK_INTERVAL),
            Err(_) => return bytes.len(),
        }
    }
    bytes.len() - rest.len()
}

fn has_room(to: &impl AsFd, within: Duration) -> Result<bool, Errno> {
    let mut polled = [PollFd::new(to, PollFlags::OUT)];
    let within = Timespec::try_from(within).ok();
    Ok(poll(&mut polled, within.as_ref())? > 0)
}

/// Does not block where the system can do without: another writer may take the room meanwhile.
fn write_part(to: &impl AsFd, part: &[u8], can_block: bool) -> Result<usize, Errno> {
    if can_block {
        // An offset of -1 is the place where the file is.
        match pwritev2(to, &[IoSlice::new(part)], u64::MAX, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            done => return done,
        }
    }
    rustix::io::write(to, part)
}

/// [`print`], for the lines of `tracing`.
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        print(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_full_pipe_drops_texts_and_says_how_many() -> io::Result<()> {
        let (mut reader, writer) = io::pipe()?;
        let state = Mutex::new(State { dropped: 0, is_torn: false });
        let line = [&[b'x'; 4000][..], b"\n"].concat();
        let is_full = || lock(&state, Instant::now()).is_some_and(|state| state.dropped > 0);
        while !is_full() {
            print_to(&state, &writer, &line);
        }
        let before = Instant::now();
        (0..9).for_each(|_| print_to(&state, &writer, b"lost\n"));
        assert!(before.elapsed() < ROOM_TIMEOUT, "each one waits");
        let mut some = [0; 40_000];
        reader.read_exact(&mut some)?;
        print_to(&state, &writer, b"last\n");
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest)?;
        assert!(!rest.contains("lost"));
        assert!(
            rest.ends_with("wasock: 10 messages were dropped: standard error was full\nlast\n"),
            "{rest}"
        );
        Ok(())
    }

    #[test]
    fn a_closed_pipe_is_no_reason_to_wait() -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        assert_eq!(write(&writer, b"text", Instant::now() + ROOM_TIMEOUT), 4);
        Ok(())
    }
}
