//! The plan of the house: which room may name which. Most rules are absences, which
//! no compiler checks.

use std::collections::HashMap;
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
    ("service", &["policy", "io", "socket", "ready"]),
    ("process", &["policy", "fd", "io", "socket", "file", "ready", "service"]),
    ("abi", &["policy", "fd", "socket", "file", "ready", "process"]),
    ("host", &["policy", "fd", "io", "socket", "file", "ready", "service", "process", "abi"]),
];

/// The files and folders of `host`, from its ground up: each may name those before it in the list.
const HOST: &[&str] = &[
    "backtrace",
    "call_mode",
    "epoch",
    "guest_memory",
    "handlers",
    "interrupt",
    "limiter",
    "limits",
    "on_trap",
    "outcome",
    "restart",
    "shared",
    "shared_memories",
    "stub",
    "uptime",
    "wall_clock",
    "ctx",
    "builder",
    "control",
    "load",
    "signal",
    "epoch_interrupt",
    "link",
    "deliver",
    "threads",
    "run",
];

fn sources(room: &str) -> Result<Vec<PathBuf>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = files_below(src.join(room))?;
    let file = src.join(room).with_extension("rs");
    if file.exists() {
        found.push(file);
    }
    ensure!(!found.is_empty(), "the room {room} has no files");
    Ok(found)
}

fn files_below(folder: PathBuf) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder];
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
fn arrows_in_host_point_one_way() -> Result<()> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let listed = |name: &str| HOST.iter().position(|file| *file == name);
    let root = code(&src.join("host/mod.rs"))?;
    let exported = exports(&root);
    for path in sources("host")? {
        let module = module_of(path.strip_prefix(&src)?);
        let Some(file) = module.get(1).filter(|file| *file != "tests") else { continue };
        let own = listed(file).with_context(|| format!("{} is not listed", path.display()))?;
        for name in paths(&code(&path)?, &module) {
            let [first, used, ..] = name.as_slice() else { continue };
            let used = exported.get(used).unwrap_or(used);
            if first == "host"
                && let Some(used) = listed(used)
            {
                ensure!(used <= own, "{} uses {}, which comes after it", path.display(), name.join("::"));
            }
        }
    }
    Ok(())
}

/// The test above sees through lists, relative paths and what a module exports anew.
#[test]
fn a_wrong_arrow_in_host_is_seen() {
    let at = |code: &str, module: &[&str]| {
        let module: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
        paths(code, &module).into_iter().map(|path| path.join("::")).collect::<Vec<_>>()
    };
    let code = "use super::{a::{B, c::D as E}, F}; fn f() { crate::host::g::h(); super::super::i(); }";
    let found = at(code, &["host", "link"]);
    assert_eq!(found, ["host::g::h", "host::a::B", "host::a::c::D", "host::F", "i"]);
    assert_eq!(at("use super::edge::Try;", &["host", "link", "memory"]), ["host::link::edge::Try"]);
    let exported = exports("pub use run::{Ended, Outcome as O};\npub(crate) use a::b::C;");
    for (name, module) in [("Ended", "run"), ("O", "run"), ("C", "a")] {
        assert_eq!(exported.get(name).map(String::as_str), Some(module));
    }
}

/// The module that a file below `src` is.
fn module_of(file: &Path) -> Vec<String> {
    let parts = file.with_extension("");
    let parts = parts.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "mod").collect()
}

/// The paths that `code`, in `module`, names by `crate` or `super`: from the crate's root on, with
/// lists taken apart.
fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, word) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == ':') {
            continue;
        }
        let mut base: &[String] = if word == "super::" { module } else { &[] };
        let mut rest = code.get(at..).unwrap_or_default();
        while let Some(after) = rest.strip_prefix("super::") {
            (base, rest) = (base.split_last().map_or(base, |(_, parent)| parent), after);
        }
        let rest = rest.strip_prefix("crate::").unwrap_or(rest);
        for (path, _) in tree(rest) {
            found.push(base.iter().cloned().chain(path).collect());
        }
    }
    found
}

/// What a module exports or takes in by `use`, with the module of its own that it comes from.
fn exports(code: &str) -> HashMap<String, String> {
    let mut exported = HashMap::new();
    for (_, rest) in code.match_indices("use ").map(|(at, word)| code.split_at(at + word.len())) {
        for (path, name) in tree(rest) {
            if let [module, _, ..] = path.as_slice() {
                exported.insert(name, module.clone());
            }
        }
    }
    exported
}

/// The paths of a tree as in `a::{b, c::d as e}`, each with the name that it gets.
fn tree(code: &str) -> Vec<(Vec<String>, String)> {
    let mut path = Vec::new();
    let mut rest = code;
    loop {
        rest = rest.trim_start();
        if let Some(list) = rest.strip_prefix('{') {
            let below = list_parts(list).into_iter().flat_map(tree);
            return below.map(|(more, name)| (path.iter().cloned().chain(more).collect(), name)).collect();
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            break;
        }
        path.push(name.to_owned());
        match after.strip_prefix("::") {
            Some(more) => rest = more,
            None => {
                let other = after.trim_start().strip_prefix("as ").map(str::trim_start);
                let end = |name: &str| name.find(|c: char| !c.is_alphanumeric() && c != '_');
                let other = other.map(|name| name.get(..end(name).unwrap_or(name.len())).unwrap_or(name));
                return vec![(path, other.unwrap_or(name).to_owned())];
            }
        }
    }
    let name = path.last().cloned().unwrap_or_default();
    if path.is_empty() { Vec::new() } else { vec![(path, name)] }
}

/// The parts of a list up to its closing brace, each a tree.
fn list_parts(list: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                parts.extend(list.get(begin..at).map(str::trim).filter(|part| !part.is_empty()));
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    parts
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
    only(&["io", "socket", "ready", "service", "process", "host"], "tokio")
}

/// rustix's own conversions panic on names that a peer may have.
#[test]
fn only_one_file_reads_the_addresses_of_the_kernel() -> Result<()> {
    for (room, _) in ROOMS {
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

/// Text of guests and peers is escaped because the library prints nothing, and all that the
/// command prints goes through one place.
#[test]
fn only_the_report_prints() -> Result<()> {
    let command = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli/src");
    let mut files = files_below(command)?;
    ensure!(!files.is_empty(), "the command has no files");
    for (room, _) in ROOMS {
        files.extend(sources(room)?);
    }
    for path in files.iter().filter(|path| !path.ends_with("cli/src/report.rs")) {
        // What the guest wrote goes out before its host ends.
        let code = code(path)?.replace("std::io::stdout().flush()", "");
        for word in ["print!(", "println!(", "std::io::stdout()", "std::io::stderr()", "dbg!("] {
            ensure!(!code.contains(word), "{} has {word}", path.display());
        }
    }
    Ok(())
}
