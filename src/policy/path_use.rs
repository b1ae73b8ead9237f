//! What grants on paths are for, and where they lead: for the calls that rename.

use super::denial::for_a_shell;
use super::path::PathPattern;
use super::{Denial, PathParts, Policy, Verb};
use crate::address::UnixName;
use crate::observe::Escaped;

/// What a grant on a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathUse {
    /// Having a socket there.
    Listen,
    /// Connecting and sending there.
    Connect,
}

impl PathUse {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Listen, Self::Connect];

    /// The flag that grants it.
    fn flag(self) -> &'static str {
        match self {
            Self::Listen => "--listen",
            Self::Connect => "--connect",
        }
    }
}

/// Paths that are granted, or denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathRules<'a> {
    /// Names, each in its directory.
    pub parts: Vec<PathParts<'a>>,
    /// Are all paths among them?
    pub is_all: bool,
}

impl<'a> PathRules<'a> {
    fn of(patterns: impl Iterator<Item = &'a PathPattern>) -> Self {
        patterns.fold(Self::default(), |mut rules, pattern| {
            match pattern.parts() {
                Some(parts) => rules.parts.push(parts),
                None => rules.is_all |= *pattern == PathPattern::Any,
            }
            rules
        })
    }
}

impl Policy {
    /// The paths that are granted for `wish`, and those that are denied.
    pub(crate) fn paths(&self, wish: PathUse) -> [PathRules<'_>; 2] {
        let (granted, verb) = match wish {
            PathUse::Listen => (&self.listen.paths, Verb::Listen),
            PathUse::Connect => (&self.connect.paths, Verb::Connect),
        };
        [PathRules::of(granted.iter()), PathRules::of(self.denied.paths(verb))]
    }
}

impl Denial {
    /// The refusal to move a socket from the path `from` to the path `to`, where each of
    /// `missing` is what the grants lack at one of the two.
    pub(crate) fn of_socket_move(from: &str, to: &str, missing: &[(PathUse, &str)]) -> Self {
        let flag = |(wish, path): &(PathUse, &str)| {
            format!("{} {}", wish.flag(), for_a_shell(&UnixName::new(*path).to_string()))
        };
        Self {
            what: format!("{} to {}", UnixName::new(from), UnixName::new(to)),
            rule: "a socket keeps its name, unless both names are granted for the same uses".into(),
            flag: missing.iter().map(flag).collect::<Vec<_>>().join(" "),
        }
    }

    /// The refusal to move a directory that a grant or a denial of a path leads through.
    pub(crate) fn of_directory_move(from: &str, to: &str) -> Self {
        Self {
            what: format!("{} to {}", Escaped(from), Escaped(to)),
            rule: "a directory keeps its name where a rule on the path of a socket leads through it".into(),
            flag: String::new(),
        }
    }
}
