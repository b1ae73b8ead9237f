//! Keeping a folder within bounds.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};

use super::{Folder, UNFINISHED};

/// How much a folder may have.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The bytes of all code together.
    pub bytes: u64,
    /// How long code is kept that nobody uses; with an error of a day.
    pub unused: Duration,
}

/// What was removed from a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many pieces of code.
    pub count: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

/// What is still being written after that long was given up: its process has ended.
const LONGEST_WRITE: Duration = Duration::from_secs(60 * 60);

struct Entry {
    name: String,
    bytes: u64,
    age: Duration,
}

impl Folder {
    /// Removes what is beyond the bounds: what nobody has used for too long, then what was used last the longest ago. Code that
    /// a process has loaded stays there.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn sweep(&self, bounds: Bounds) -> io::Result<Swept> {
        let now = SystemTime::now();
        let mut kept = Vec::new();
        let mut swept = Swept::default();
        let mut remove = |entry: &Entry| {
            self.remove(&entry.name);
            swept = Swept { count: swept.count + 1, bytes: swept.bytes + entry.bytes };
        };
        for entry in Dir::read_from(&self.0)? {
            let Ok(name) = entry?.file_name().to_owned().into_string() else { continue };
            // Another process may have removed it.
            let Ok(found) = statat(&self.0, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
                continue;
            }
            let entry =
                Entry { bytes: u64::try_from(found.st_size).unwrap_or(0), age: age(&found, now), name };
            if entry.name.starts_with(UNFINISHED) {
                if entry.age > LONGEST_WRITE {
                    self.remove(&entry.name);
                }
            } else if is_of_code(&entry.name) {
                if entry.age > bounds.unused { remove(&entry) } else { kept.push(entry) }
            }
        }
        kept.sort_by_key(|entry| entry.age);
        let mut total: u64 = 0;
        for entry in &kept {
            total = total.saturating_add(entry.bytes);
            if total > bounds.bytes {
                remove(entry);
            }
        }
        Ok(swept)
    }
}

/// Is it the name of a [`Key`](crate::Key)?
fn is_of_code(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn age(found: &Stat, now: SystemTime) -> Duration {
    let modified = u64::try_from(found.st_mtime)
        .map_or(UNIX_EPOCH, |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(now));
    now.duration_since(modified).unwrap_or_default()
}
