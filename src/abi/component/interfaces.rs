//! Which interfaces the host has, by their names.

use std::fmt;

/// An interface, and its version as the host has it.
#[derive(Debug)]
struct Interface {
    name: &'static str,
    version: &'static str,
}

const fn two(name: &'static str) -> Interface {
    Interface { name, version: "0.2.12" }
}

const fn three(name: &'static str) -> Interface {
    Interface { name, version: "0.3.0" }
}

/// What `host` links for a component; a test there holds it to this list.
const INTERFACES: &[Interface] = &[
    two("wasi:cli/environment"),
    two("wasi:cli/exit"),
    two("wasi:cli/stderr"),
    two("wasi:cli/stdin"),
    two("wasi:cli/stdout"),
    two("wasi:cli/terminal-input"),
    two("wasi:cli/terminal-output"),
    two("wasi:cli/terminal-stderr"),
    two("wasi:cli/terminal-stdin"),
    two("wasi:cli/terminal-stdout"),
    two("wasi:clocks/monotonic-clock"),
    two("wasi:clocks/wall-clock"),
    two("wasi:filesystem/preopens"),
    two("wasi:filesystem/types"),
    two("wasi:io/error"),
    two("wasi:io/poll"),
    two("wasi:io/streams"),
    two("wasi:random/insecure"),
    two("wasi:random/insecure-seed"),
    two("wasi:random/random"),
    two("wasi:sockets/instance-network"),
    two("wasi:sockets/ip-name-lookup"),
    two("wasi:sockets/network"),
    two("wasi:sockets/tcp"),
    two("wasi:sockets/tcp-create-socket"),
    two("wasi:sockets/udp"),
    two("wasi:sockets/udp-create-socket"),
    three("wasi:cli/environment"),
    three("wasi:cli/exit"),
    three("wasi:cli/stderr"),
    three("wasi:cli/stdin"),
    three("wasi:cli/stdout"),
    three("wasi:cli/terminal-input"),
    three("wasi:cli/terminal-output"),
    three("wasi:cli/terminal-stderr"),
    three("wasi:cli/terminal-stdin"),
    three("wasi:cli/terminal-stdout"),
    three("wasi:clocks/monotonic-clock"),
    three("wasi:clocks/system-clock"),
    three("wasi:clocks/types"),
    three("wasi:filesystem/preopens"),
    three("wasi:filesystem/types"),
    three("wasi:random/insecure"),
    three("wasi:random/insecure-seed"),
    three("wasi:random/random"),
    three("wasi:sockets/ip-name-lookup"),
    three("wasi:sockets/types"),
];

/// The name of an interface, taken apart at its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) interface: &'a str,
    pub(super) version: Option<&'a str>,
}

impl<'a> Name<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        match name.split_once('@') {
            Some((interface, version)) => Self { interface, version: Some(version) },
            None => Self { interface: name, version: None },
        }
    }

    /// Is it `interface`, in a version that serves whoever asks for `version`?
    pub(super) fn is(self, interface: &str, version: &str) -> bool {
        self.interface == interface && self.version.is_some_and(|own| track(own) == track(version))
    }
}

/// The part of a version within which each one serves the others: "the version `0.2.6` is semver-compatible
/// with `0.2.0`". One that is not released yet serves itself alone.
fn track(version: &str) -> &str {
    let is_released = !version.contains(['-', '+']);
    let mut dots = version.match_indices('.').map(|(at, _)| at);
    let end = match (is_released, version.starts_with("0.")) {
        (false, _) => None,
        (true, false) => dots.next(),
        (true, true) => dots.nth(1),
    };
    end.and_then(|end| version.get(..end)).unwrap_or(version)
}

/// Has the host what serves an import of this name?
pub(super) fn is_supported(name: &str) -> bool {
    let name = Name::of(name);
    INTERFACES.iter().any(|interface| name.is(interface.name, interface.version))
}

/// The versions that the host has of an interface of which it lacks the one that is asked for.
pub(super) fn versions(name: &str) -> Versions {
    let name = Name::of(name).interface;
    Versions(INTERFACES.iter().filter(|own| own.name == name).map(|own| own.version).collect())
}

/// Some versions, for a message.
pub(super) struct Versions(Vec<&'static str>);

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (this host has {})", self.0.join(" and ")) }
    }
}

/// The names of all of them, with their versions.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = String> {
    INTERFACES.iter().map(|interface| format!("{}@{}", interface.name, interface.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_serves_those_that_are_compatible() {
        for name in
            ["wasi:io/poll@0.2.0", "wasi:io/poll@0.2.6", "wasi:cli/stdin@0.3.0", "wasi:cli/stdin@0.3.4"]
        {
            assert!(is_supported(name), "{name}");
        }
        for name in [
            "wasi:io/poll",
            "wasi:io/poll@0.3.0",
            "wasi:io/poll@0.2.0-rc-2023-11-10",
            "wasi:cli/stdin@0.3.0-rc-2025-09-16",
            "wasi:io/poll@1.0.0",
            "wasi:http/types@0.2.3",
            "poll",
        ] {
            assert!(!is_supported(name), "{name}");
        }
        assert_eq!(track("1.2.3"), "1");
        assert_eq!(track("0.2.12"), "0.2");
        assert_eq!(track("0.2"), "0.2");
    }

    #[test]
    fn another_version_is_named() {
        let versions = |name| versions(name).to_string();
        assert_eq!(versions("wasi:cli/stdin@0.1.0"), " (this host has 0.2.12 and 0.3.0)");
        assert_eq!(versions("wasi:http/types@0.2.0"), "");
    }
}
