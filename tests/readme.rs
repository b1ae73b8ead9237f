//! The tables of README.md are what the code says. `cargo xtask readme` writes them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wasock::abi::{FUNCTIONS, Function, LACKING};

/// The import modules, in the order of their columns.
const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasix_32v1"];

/// Where the tests of the rules for listening are.
const LISTEN_TESTS: &str = "tests/guests/listen.rs";

#[test]
fn tables_are_up_to_date() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("README.md");
    let text = fs::read_to_string(&path)?;
    // A change of the rules' file moves its table; without the file it stays.
    let rules = fs::read_to_string(root.join(LISTEN_TESTS)).unwrap_or_default();
    let mut expected = replaced(&text, "calls", &calls())?;
    if !rules.is_empty() {
        expected = replaced(&expected, "listen", &listen(&rules))?;
    }
    if std::env::var_os("UPDATE_README").is_some() {
        return Ok(fs::write(&path, expected)?);
    }
    ensure!(text == expected, "README.md is behind the code: run `cargo xtask readme`");
    Ok(())
}

/// `text` with another content between the two marks called `name`.
fn replaced(text: &str, name: &str, content: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let missing = || format!("README.md lacks the marks {name}:begin and {name}:end");
    let (before, rest) = text.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}{content}{end}{after}"))
}

/// Which import module has which call, a table for each noun.
fn calls() -> String {
    let mut names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    names.sort_by_key(|name| (noun(name), *name));
    names.dedup();
    let mut text = format!("| call | `{}` | `{}` | |\n|---|---|---|---|\n", MODULES[0], MODULES[1]);
    for name in names {
        let [preview1, wasix] = MODULES.map(|module| match Function::find(module, name) {
            Some(function) if function.note().is_some() => "partial",
            Some(_) => "full",
            None => "none",
        });
        let note = FUNCTIONS.iter().find(|function| function.name == name).and_then(Function::note);
        _ = writeln!(text, "| `{name}` | {preview1} | {wasix} | {} |", note.unwrap_or_default());
    }
    let lacking: Vec<String> = LACKING.iter().map(|name| format!("`{name}`")).collect();
    _ = writeln!(
        text,
        "\nNot there at all: {}. A program may import them; a call answers `ENOSYS`.",
        lacking.join(", ")
    );
    text
}

/// What a call is about: the word before the first `_`.
fn noun(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

/// The rules for listening, with the test of each.
fn listen(source: &str) -> String {
    let mut rows = rules(source);
    // "Rule 9" comes before "Rule 10".
    rows.sort_by_key(|(number, ..)| number.parse::<u32>().unwrap_or(u32::MAX));
    let mut text = "| rule | what holds | test |\n|---|---|---|\n".to_owned();
    for (number, rule, test) in rows {
        _ = writeln!(text, "| {number} | {rule} | `{test}` |");
    }
    text
}

/// Number, text and test of each rule: `/// Rule N: text.` is the first line of the
/// comment on a test.
fn rules(source: &str) -> Vec<(&str, &str, &str)> {
    let mut found = Vec::new();
    let mut rule = None;
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// Rule ") {
            rule = text.split_once(": ");
        } else if let Some((_, name)) = line.split_once("fn ").filter(|_| !line.starts_with("//")) {
            let name = name.split(['(', '<']).next().unwrap_or(name);
            found.extend(rule.take().map(|(number, text)| (number, text.trim_end_matches('.'), name)));
        }
    }
    found
}

#[test]
fn rules_are_found() {
    let source = "\
        /// Rule 12: accept loses nobody.\n\
        /// More of it.\n\
        #[test]\n\
        fn accept_waits() -> Result<()> {\n\
        fn helper() {}\n\
        /// Rule 1: a closed descriptor.\n\
        #[test]\n\
        pub(crate) fn listen_closed() {\n";
    assert_eq!(
        rules(source),
        [("12", "accept loses nobody", "accept_waits"), ("1", "a closed descriptor", "listen_closed")]
    );
}
