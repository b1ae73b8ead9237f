//! The layering: which module may name which. Most rules are absences, which no compiler
//! checks. The order of the modules is the table in ARCHITECTURE.md.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// The page whose table of modules the code is held to.
const MAP: &str = "ARCHITECTURE.md";

/// Every module may use these.
const FOR_ALL: &[&str] = &["account", "address", "error", "observe", "sync"];

/// A module of the library, and those that it may use besides those for all.
struct Module {
    name: String,
    may_use: Vec<String>,
}

/// The table of modules.
fn modules() -> Result<Vec<Module>> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(MAP))?;
    let (_, table) =
        page.split_once("<!-- modules:begin -->").context("the table of modules begins nowhere")?;
    let (table, _) = table.split_once("<!-- modules:end -->").context("the table of modules ends nowhere")?;
    let mut modules = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, _, may_use, _] = cells.as_slice() else {
            bail!("{MAP}: a row of other columns: {row}")
        };
        let unquoted = |word: &str| word.trim_matches('`').to_owned();
        modules.push(Module {
            name: unquoted(name),
            may_use: may_use.split_whitespace().map(unquoted).collect(),
        });
    }
    Ok(modules)
}

/// The files and folders of `host`, from its ground up: each may name those before it in the list.
const HOST: &[&str] = &[
    "backtrace",
    "call_mode",
    "epoch",
    "guest_memory",
    "handlers",
    "limiter",
    "idle",
    "limits",
    "on_trap",
    "stub",
    "outcome",
    "interrupt",
    "restart",
    "shared",
    "shared_memories",
    "uptime",
    "wall_clock",
    "unwinder",
    "ctx",
    "template",
    "builder",
    "handle",
    "live_instances",
    "connection_options",
    "snapshot",
    "own_memory",
    "kept",
    "copyable",
    "load",
    "pool",
    "supervision",
    "service",
    "asyncify",
    "signal",
    "epoch_interrupt",
    "link",
    "linked",
    "deliver",
    "threads",
    "component",
    "inspect",
    "family",
    "run",
    "steps",
    "per_connection",
    "supervisor",
];

fn sources(module: &str) -> Result<Vec<PathBuf>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = files_below(src.join(module))?;
    let file = src.join(module).with_extension("rs");
    if file.exists() {
        found.push(file);
    }
    ensure!(!found.is_empty(), "the module {module} has no files");
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

/// Only these modules name `word`.
fn only(named: &[&str], word: &str) -> Result<()> {
    for module in modules()?.iter().filter(|module| !named.contains(&module.name.as_str())) {
        for path in sources(&module.name)? {
            ensure!(!code(&path)?.contains(word), "{} names {word}", path.display());
        }
    }
    Ok(())
}

#[test]
fn the_map_has_every_module() -> Result<()> {
    let root = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"))?;
    let declared = root.lines().filter_map(|line| {
        let (before, rest) = line.split_once("mod ")?;
        matches!(before, "" | "pub ").then(|| rest.trim_end_matches(';').to_owned())
    });
    let mapped = modules()?;
    let (declared, listed): (BTreeSet<_>, BTreeSet<_>) =
        (declared.collect(), mapped.iter().map(|module| module.name.clone()).collect());
    ensure!(declared == listed, "src/lib.rs has {declared:?}, and {MAP} has {listed:?}");
    for (place, module) in mapped.iter().enumerate() {
        let above = mapped.get(..place).unwrap_or_default();
        for used in &module.may_use {
            ensure!(
                above.iter().any(|other| other.name == *used),
                "{} may not use {used} below it",
                module.name
            );
        }
    }
    Ok(())
}

#[test]
fn arrows_point_down() -> Result<()> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let exported = exports(&code(&src.join("lib.rs"))?);
    let modules = modules()?;
    for module in &modules {
        for path in sources(&module.name)? {
            let here = module_of(path.strip_prefix(&src)?);
            if let Some(used) = wrong_arrows(&code(&path)?, &here, module, &modules, &exported).first() {
                bail!("{} uses {used}, which {} may not", path.display(), module.name);
            }
        }
    }
    Ok(())
}

/// What `code`, in the file `here` of `module`, uses of modules that it may not use.
fn wrong_arrows(
    code: &str,
    here: &[String],
    module: &Module,
    modules: &[Module],
    exported: &HashMap<String, String>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for path in paths(code, here) {
        let Some(first) = path.first() else { continue };
        // What the root exports anew belongs to the module that has it.
        let used = exported.get(first).unwrap_or(first);
        let is_module = modules.iter().any(|other| other.name == *used);
        let may = *used == module.name || FOR_ALL.contains(&used.as_str()) || module.may_use.contains(used);
        // Those for all are at the ground: they have no more than their own rows say.
        let may = may && (!FOR_ALL.contains(&module.name.as_str()) || is_on_the_ground(module, used));
        if is_module && !may {
            wrong.push(path.join("::"));
        }
    }
    wrong
}

/// Whether `used` is of what every module may use.
fn is_on_the_ground(module: &Module, used: &str) -> bool {
    used == module.name || FOR_ALL.contains(&used)
}

#[test]
fn a_wrong_arrow_is_seen() -> Result<()> {
    let modules = modules()?;
    let policy = modules.iter().find(|module| module.name == "policy").context("no module policy")?;
    let exported = exports("pub use host::{WasockCtx, Guest as Program};");
    let here = ["policy".to_owned(), "grant".to_owned()];
    for planted in [
        "use crate::socket::Socket;",
        "use crate::{error::Errno, host};",
        "use crate::{error::{Errno, Error}, process::{Process, Thread}};",
        "use crate::Program;",
        "fn f() { crate::WasockCtx::builder(); }",
        "use super::super::socket::Socket;",
    ] {
        ensure!(!wrong_arrows(planted, &here, policy, &modules, &exported).is_empty(), "not seen: {planted}");
    }
    for right in
        ["use crate::error::{Errno, Error};", "use super::denial::Denial;", "use crate::{address, policy};"]
    {
        ensure!(wrong_arrows(right, &here, policy, &modules, &exported).is_empty(), "seen: {right}");
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
fn only_the_abi_layer_names_wiggle() -> Result<()> {
    only(&["abi"], "wiggle")
}

#[test]
fn only_modules_that_wait_name_tokio() -> Result<()> {
    only(&["io", "socket", "ready", "service", "process", "host"], "tokio")
}

/// rustix's own conversions panic on names that a peer may have.
#[test]
fn only_one_file_reads_the_addresses_of_the_kernel() -> Result<()> {
    for module in modules()? {
        for path in sources(&module.name)?.into_iter().filter(|path| !path.ends_with("socket/sockaddr.rs")) {
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
    let abi = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/abi");
    let mut dialects = Vec::new();
    for entry in fs::read_dir(abi)? {
        let entry = entry?;
        if entry.path().join("bindings.rs").exists() {
            dialects.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(dialects.len() > 1, "no dialects: {dialects:?}");
    for dialect in &dialects {
        for path in sources(&format!("abi/{dialect}"))? {
            let code = code(&path)?;
            for other in dialects.iter().filter(|other| *other != dialect) {
                ensure!(!code.contains(&format!("abi::{other}")), "{} uses {other}", path.display());
            }
        }
    }
    Ok(())
}

/// The one member of the workspace that has `unsafe`, and its file for that.
const WITH_UNSAFE: &str = "trusted-code";
const UNSAFE: &str = "src/code.rs";

#[test]
fn only_one_file_of_one_crate_is_unsafe() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    ensure!(manifest.contains("unsafe_code = \"forbid\""), "the workspace allows what is unsafe");
    let members = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']'));
    let (members, _) = members.context("the workspace has no members")?;
    for member in members.split(',').map(|member| member.trim().trim_matches('"')) {
        let manifest = fs::read_to_string(root.join(member).join("Cargo.toml"))?;
        // What the workspace forbids, no attribute allows.
        let inherits = manifest.contains("[lints]\nworkspace = true");
        ensure!(inherits == (member != WITH_UNSAFE), "{member} has other lints than the workspace");
    }
    let crate_of_it = root.join(WITH_UNSAFE);
    for path in files_below(crate_of_it.clone())? {
        let count = code(&path)?.matches("unsafe {").count();
        let is_it = path == crate_of_it.join(UNSAFE);
        ensure!(count == if is_it { 4 } else { 0 }, "{}: {count} times `unsafe`", path.display());
        ensure!(is_it || !code(&path)?.contains("allow(unsafe"), "{} allows it", path.display());
    }
    Ok(())
}

/// Text of guests and peers is escaped because the library prints nothing, and all that the
/// command prints goes through one function.
/// What lines look like, and how they get to standard error.
fn prints(path: &Path) -> bool {
    ["cli/src/report.rs", "cli/src/stderr.rs"].iter().any(|file| path.ends_with(file))
}

#[test]
fn only_the_report_prints() -> Result<()> {
    let command = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli/src");
    let mut files = files_below(command)?;
    ensure!(!files.is_empty(), "the command has no files");
    for module in modules()? {
        files.extend(sources(&module.name)?);
    }
    for path in files.iter().filter(|path| !prints(path)) {
        // What the guest wrote goes out before its host ends.
        let code = code(path)?.replace("std::io::stdout().flush()", "");
        for word in ["print!(", "println!(", "std::io::stdout()", "std::io::stderr()", "dbg!("] {
            ensure!(!code.contains(word), "{} has {word}", path.display());
        }
    }
    Ok(())
}
