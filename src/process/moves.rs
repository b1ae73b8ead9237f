//! Keeps the names of sockets where the grants are.
//!
//! A grant on a path, `--connect unix:/run/app.sock`, is for the socket that has this name
//! on the host. A guest may move names in its own directories, and so could give the
//! name to another socket. Two rules keep that from widening a grant:
//!
//! * A *socket* is linked or renamed only where both names are granted for the same uses.
//! * A *directory* is not renamed where the path of a grant leads through it, by its name or
//!   by the one that it would get.
//!
//! The same holds of paths that were denied: a move would let a socket escape that. Symbolic links
//! need no rule: a grant is asked for the place to which they lead. Nor do grants for all
//! paths, which no move can widen.
//!
//! Places are compared as the file system knows them, a directory and a name in it, and not as
//! paths: one directory of the host's may be the guest's under several names, by several
//! grants or mounts. A name counts as another one's both where they are equal and where they
//! differ in upper and lower case alone, for on some file systems these are the same.
//!
//! All moves of a guest, and what it binds, go one after the other: what was looked at is what
//! is moved. Another process that may write to the same directories can do as it likes.

use std::sync::MutexGuard;

use super::directory::{absolute, below};
use super::paths::name_in;
use super::{Process, unpoisoned};
use crate::error::Errno;
use crate::file::{Dir, EntryName, FileId, FileType, Move, Stat, Way};
use crate::policy::{Denial, PathRules, PathUse, Use};

/// A directory, and a path in it.
pub(crate) type PathIn<'a> = (&'a Dir, &'a str);

/// Where paths lead that are granted, or denied.
struct Rules<'a> {
    places: Vec<RulePlace<'a>>,
    is_all: bool,
}

/// Where one of them leads, by one of the guest's directories.
struct RulePlace<'a> {
    way: Way,
    /// The name of the socket; `None` for all in that directory.
    name: Option<&'a str>,
}

/// Is a name covered, as it is written; and in whatever case?
type Covered = [bool; 2];

impl Rules<'_> {
    fn covers(&self, entry: &EntryName<'_>) -> Covered {
        let each = self.places.iter().map(|place| place.covers(entry));
        each.fold([self.is_all; 2], |[exact, any], [one, other]| [exact || one, any || other])
    }

    fn are_moved_by(&self, it: &Move<'_>) -> bool {
        self.places.iter().any(|place| place.is_moved_by(it))
    }
}

impl RulePlace<'_> {
    fn covers(&self, entry: &EntryName<'_>) -> Covered {
        let is_there = self.way.end == Some(entry.parent);
        let is_named = |same: fn(&str, &str) -> bool| self.name.is_none_or(|name| same(name, entry.name));
        [is_there && is_named(|one, other| one == other), is_there && is_named(is_same)]
    }

    /// Would the move of a directory change what lies on the way?
    fn is_moved_by(&self, it: &Move<'_>) -> bool {
        let Way { above, steps, end } = &self.way;
        let leads_through = |(directory, name): &(FileId, String)| {
            *directory == it.file || (*directory == it.to.parent && is_same(name, it.to.name))
        };
        *end == Some(it.file) || above.contains(&it.file) || steps.iter().any(leads_through)
    }
}

/// The same name, on a file system that ignores case.
fn is_same(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

impl Process {
    /// Gives a file a second name.
    ///
    /// # Errors
    ///
    /// `EACCES` where a grant would lead to another socket by it; those of [`Dir::link_if`].
    pub(crate) fn link(&self, old: PathIn<'_>, old_follow: bool, new: PathIn<'_>) -> Result<(), Errno> {
        let _alone = self.moves();
        let may = |it: &Move<'_>| self.check_move("path_link", it);
        old.0.link_if(&may, old_follow, old.1, new.0, new.1)
    }

    /// Gives a file another name.
    ///
    /// # Errors
    ///
    /// `EACCES` where a grant would lead to another socket by it; those of
    /// [`Dir::rename_if`].
    pub(crate) fn rename(&self, old: PathIn<'_>, new: PathIn<'_>) -> Result<(), Errno> {
        let _alone = self.moves();
        let may = |it: &Move<'_>| self.check_move("path_rename", it);
        old.0.rename_if(&may, old.1, new.0, new.1)
    }

    /// Removes the name of a file. That of a held socket is the service's, and only hidden.
    ///
    /// # Errors
    ///
    /// `ENOENT` where it is hidden already; those of [`Dir::unlink`].
    pub(crate) fn unlink(&self, (dir, path): PathIn<'_>) -> Result<(), Errno> {
        if self.service().holds()
            && let Ok(stat) = dir.stat(path, false)
            && stat.kind == FileType::SocketStream
            && let Some(outcome) = self.instance().unlink_held((stat.dev, stat.ino))
        {
            return outcome;
        }
        dir.unlink(path)
    }

    /// The attributes of a file.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a name that is hidden; those of [`Dir::stat`].
    pub(crate) fn stat(&self, (dir, path): PathIn<'_>, follow: bool) -> Result<Stat, Errno> {
        let stat = dir.stat(path, follow)?;
        if self.instance().has_unlinked((stat.dev, stat.ino)) {
            return Err(Errno::ENOENT);
        }
        Ok(stat)
    }

    /// Held while a name is moved.
    pub(super) fn moves(&self) -> MutexGuard<'_, ()> {
        unpoisoned(&self.moving)
    }

    fn check_move(&self, call: &'static str, it: &Move<'_>) -> Result<(), Errno> {
        let refused = match it.kind {
            FileType::SocketStream => self.refuse_socket(it),
            FileType::Directory => self.refuse_directory(it),
            _ => None,
        };
        refused.map_or(Ok(()), |denial| {
            self.report().report_denial(call, denial);
            Err(Errno::EACCES)
        })
    }

    fn refuse_socket(&self, it: &Move<'_>) -> Option<Denial> {
        let (from, to) = (self.guest_path(&it.from), self.guest_path(&it.to));
        // Where it is the host's own no grant would help.
        if let Err(denial) = self.policy().check_file(Use::UnixConnect(&from), it.file.numbers()) {
            return Some(denial);
        }
        let mut missing: Vec<(PathUse, &str)> = Vec::new();
        let (mut is_granted, mut is_same) = (false, true);
        for wish in PathUse::ALL {
            let [granted, denied] = self.rules(wish);
            let [at_from, at_to] = [&it.from, &it.to].map(|entry| granted.covers(entry));
            is_granted |= at_from == [true; 2] && at_to == [true; 2];
            is_same &= at_from == at_to && denied.covers(&it.from) == denied.covers(&it.to);
            let lacking = [(at_from, from.as_str()), (at_to, to.as_str())];
            let lacking = lacking.into_iter().filter(|([has, _], _)| at_from != at_to && !has);
            missing.extend(lacking.map(|(_, path)| (wish, path)));
        }
        if is_granted && is_same {
            return None;
        }
        if missing.is_empty() && !is_granted {
            // One use is enough.
            missing.extend([from.as_str(), to.as_str()].map(|path| (PathUse::Connect, path)));
        }
        Some(Denial::of_socket_move(&from, &to, &missing))
    }

    fn refuse_directory(&self, it: &Move<'_>) -> Option<Denial> {
        let leads_through = |wish| {
            let [granted, denied] = self.rules(wish);
            // Where every path is granted there is nothing to add.
            (!granted.is_all && granted.are_moved_by(it)) || denied.are_moved_by(it)
        };
        let is_refused = PathUse::ALL.into_iter().any(leads_through);
        is_refused.then(|| Denial::of_directory_move(&self.guest_path(&it.from), &self.guest_path(&it.to)))
    }

    /// Where the paths lead that are granted for `wish`, and those that are denied.
    fn rules(&self, wish: PathUse) -> [Rules<'_>; 2] {
        // Those of the start, also where the guest has closed them: it has them again when it
        // starts anew.
        let roots: Vec<_> = self
            .settings()
            .directories
            .iter()
            .filter_map(|it| Some((absolute("/", it.preopened_as.as_ref()?), &it.dir)))
            .collect();
        self.policy().paths(wish).map(|PathRules { parts, is_all }| {
            let places = parts.iter().flat_map(|part| {
                roots.iter().filter_map(|(root, dir)| {
                    let directory = if part.directory.is_empty() { "/" } else { part.directory };
                    let way = dir.way(below(directory, root)?).ok()?;
                    Some(RulePlace { way, name: part.name })
                })
            });
            Rules { places: places.collect(), is_all }
        })
    }

    /// The guest's path for a place, for the operator to read.
    fn guest_path(&self, entry: &EntryName<'_>) -> String {
        let host = entry.host_directory().map(|directory| directory.join(entry.name));
        let guest = host.ok().and_then(|host| name_in(&self.preopens(), host.as_path()));
        guest.unwrap_or_else(|| entry.name.to_owned())
    }
}
