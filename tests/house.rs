//! The plan of the house: which room may name which. Most rules are absences, which
//! no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Every room may use these.
const FOR_ALL: &[&str] = &["account", "address", "error", "observe", "sync"];

/// A room, and the rooms that it may use besides those for all.
const ROOMS: &[(&str, &[&str])] = &[
    ("account", &[]),
    ("address", &[]),
    ("error", &[]),
    ("observe", &[]),
    ("sync", &[]),
    ("policy", &[]),
    ("fd", &[]),
    ("io", &[]),
    ("socket", &["policy", "io"]),
    ("file", &[]),
    // It hands the policy through to the sockets that ask it.
    ("ready", &["policy", "io", "socket"]),
    ("process", &["policy", "fd", "io", "socket", "file", "ready"]),
    ("abi", &["policy", "fd", "socket", "file", "ready", "process"]),
    ("host", &["policy", "fd", "io", "socket", "file", "ready", "process", "abi"]),
    ("cli", &["policy", "file", "abi", "host"]),
];

fn sources(room: &str) -> Result<Vec<PathBuf>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.join(room)];
    let file = src.join(room).with_extension("rs");
    if file.exists() {
        found.push(file);
    }
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    ensure!(!found.is_empty(), "the room {room} has no files");
    Ok(found)
}

/// The lines of code of a file: no comments.
fn code(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n"))
}

/// Only these rooms name `word`.
fn only(rooms: &[&str], word: &str) -> Result<()> {
    for (room, _) in ROOMS.iter().filter(|(room, _)| !rooms.contains(room)) {
        for path in sources(room)? {
            ensure!(!code(&path)?.contains(word), "{} names {word}", path.display());
        }
    }
    Ok(())
}

#[test]
fn arrows_point_down() -> Result<()> {
    for (room, may_use) in ROOMS {
        for path in sources(room)? {
            let code = code(&path)?;
            for (other, _) in ROOMS {
                let named = code.contains(&format!("crate::{other}"));
                let allowed = other == room || FOR_ALL.contains(other) || may_use.contains(other);
                ensure!(!named || allowed, "{} uses {other}, which {room} may not", path.display());
            }
        }
    }
    Ok(())
}

#[test]
fn observe_calls_no_room() -> Result<()> {
    for path in sources("observe")? {
        for (other, _) in ROOMS.iter().filter(|(room, _)| !FOR_ALL.contains(room)) {
            ensure!(!code(&path)?.contains(&format!("crate::{other}")), "{} uses {other}", path.display());
        }
    }
    Ok(())
}

#[test]
fn only_the_front_desk_speaks_wiggle() -> Result<()> {
    only(&["abi"], "wiggle")
}

#[test]
fn only_rooms_that_wait_name_tokio() -> Result<()> {
    only(&["io", "socket", "ready", "process", "host", "cli"], "tokio")
}

/// rustix's own conversions panic on names that a peer may have. The command line asks for the
/// ports of its own listeners.
#[test]
fn only_one_file_reads_the_addresses_of_the_kernel() -> Result<()> {
    for (room, _) in ROOMS.iter().filter(|(room, _)| *room != "cli") {
        for path in sources(room)?.into_iter().filter(|path| !path.ends_with("socket/sockaddr.rs")) {
            let code = code(&path)?;
            for word in ["SocketAddr::try_from", "SocketAddrUnix::try_from", "path_bytes", "{address:?}"] {
                ensure!(!code.contains(word), "{} names {word}", path.display());
            }
        }
    }
    Ok(())
}

#[test]
fn no_dialect_names_another() -> Result<()> {
    for (dialect, other) in [("abi/preview1", "abi::wasix"), ("abi/wasix", "abi::preview1")] {
        for path in sources(dialect)? {
            ensure!(!code(&path)?.contains(other), "{} uses {other}", path.display());
        }
    }
    Ok(())
}

/// Text of guests and peers is escaped because all that is printed goes through one place.
#[test]
fn only_the_report_prints() -> Result<()> {
    for (room, _) in ROOMS {
        for path in sources(room)?.iter().filter(|path| !path.ends_with("cli/report.rs")) {
            // What the guest wrote goes out before its host ends.
            let code = code(path)?.replace("std::io::stdout().flush()", "");
            for word in ["print!(", "println!(", "std::io::stdout()", "std::io::stderr()", "dbg!("] {
                ensure!(!code.contains(word), "{} has {word}", path.display());
            }
        }
    }
    Ok(())
}
