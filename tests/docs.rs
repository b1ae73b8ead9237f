//! The tables of the manual are what the code says. `cargo xtask docs` writes them.

#[path = "../cli/tests/guests/kinds/call_table.rs"]
mod call_table;
#[path = "../cli/tests/guests/kinds/option_table.rs"]
mod option_table;

#[path = "docs/listening.rs"]
mod listening;
#[path = "docs/operations.rs"]
mod operations;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wasock::internals::{FUNCTIONS, Function, LACKING};

/// The import modules, in the order of their columns.
const MODULES: [&str; 3] = ["wasi_unstable", "wasi_snapshot_preview1", "wasix_32v1"];

/// Where the tests of listening are.
const LISTEN_TESTS: &str = "cli/tests/guests/listen";

#[test]
fn tables_are_up_to_date() -> Result<()> {
    let tests = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(LISTEN_TESTS))?;
    let tests = listening::Tests::read(&tests)?;
    let calls = [("calls", calls()?), ("kinds", kinds()), ("options", options())];
    let listen = [
        ("profiles", tests.profiles()?),
        ("listen", tests.rules()?),
        ("more", tests.more()),
        ("blanks", listening::blanks()),
    ];
    check("docs/calls.md", &calls)?;
    check("docs/listen.md", &listen)?;
    check("docs/service.md", &[("operations", operations::table(&operations::held()?))])
}

#[test]
fn every_row_for_services_has_a_test() -> Result<()> {
    let lacking = operations::lacking(&operations::held()?);
    ensure!(lacking.is_empty(), "no test holds {}", lacking.join(", "));
    Ok(())
}

/// What bad input gets from the processes of a guest is said with the tests that show it.
#[test]
fn every_test_that_the_page_of_processes_names_is_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/processes.md"))?;
    let (_, table) = page.split_once("## What bad input gets").context("no such table")?;
    let rows: Vec<&str> =
        table.lines().filter(|line| line.starts_with("| ") && line.contains("| `")).collect();
    let tests = operations::sources(root.join("cli/tests/guests"))?;
    let tests = tests.iter().map(fs::read_to_string).collect::<Result<String, _>>()?;
    for row in &rows {
        let cell = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        for name in cell.split('`').skip(1).step_by(2) {
            ensure!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
        }
    }
    ensure!(rows.len() > 10, "{} rows", rows.len());
    Ok(())
}

/// Compares the tables of one page, each between two marks of its name, or writes them.
fn check(page: &str, tables: &[(&str, String)]) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).with_context(|| page.to_owned())?;
    let expected =
        tables.iter().try_fold(text.clone(), |text, (name, table)| replaced(page, &text, name, table))?;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return Ok(fs::write(&path, expected)?);
    }
    ensure!(text == expected, "{page} is behind the code: run `cargo xtask docs`");
    Ok(())
}

/// `text` of `page` with another content between the two marks called `name`.
fn replaced(page: &str, text: &str, name: &str, content: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let missing = || format!("{page} lacks the marks {name}:begin and {name}:end");
    let (before, rest) = text.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}{content}{end}{after}"))
}

/// A column of the calls: an import module, or the dialect that adds functions to one.
struct Column {
    title: String,
    module: &'static str,
    added_by: Option<&'static str>,
}

/// The import modules, and behind each the dialects that add functions to it.
fn columns() -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for module in MODULES {
        columns.push(Column { title: format!("`{module}`"), module, added_by: None });
        let adds = FUNCTIONS.iter().filter(|function| function.module == module);
        let mut added: Vec<&str> = adds.filter_map(|function| function.added_by).collect();
        added.sort_unstable_by(|a, b| b.cmp(a));
        added.dedup();
        for id in added {
            let named = call_table::DIALECTS.iter().find(|dialect| dialect.id == id);
            let title = named.with_context(|| format!("no name for the dialect {id}"))?.dialect.to_owned();
            columns.push(Column { title, module, added_by: Some(id) });
        }
    }
    Ok(columns)
}

impl Column {
    fn function(&self, name: &str) -> Option<&'static Function> {
        let find = |added_by: Option<&str>| {
            let is_it = |function: &&Function| {
                (function.name, function.module, function.added_by) == (name, self.module, added_by)
            };
            FUNCTIONS.iter().find(is_it)
        };
        find(self.added_by).or_else(|| find(None))
    }
}

/// Which import module and dialect has which call.
fn calls() -> Result<String> {
    let (elsewhere, here): (Vec<_>, Vec<_>) =
        FUNCTIONS.iter().partition(|function| !MODULES.contains(&function.module));
    let mut names: Vec<&str> = here.iter().map(|function| function.name).collect();
    names.sort_by_key(|name| (noun(name), *name));
    names.dedup();
    let columns = columns()?;
    let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    let mut text = format!("| call | {} | |\n|---|{}---|\n", titles.join(" | "), "---|".repeat(titles.len()));
    for name in names {
        let extent = |function: &Option<&Function>| match function {
            Some(function) if function.refused.is_some() => "refused",
            Some(function) if function.note().is_some() => "partial",
            Some(_) => "full",
            None => "none",
        };
        let found: Vec<_> = columns.iter().map(|column| column.function(name)).collect();
        let note = found.iter().flatten().find_map(|function| function.note()).unwrap_or_default();
        let extents: Vec<&str> = found.iter().map(extent).collect();
        _ = writeln!(text, "| `{name}` | {} | {note} |", extents.join(" | "));
    }
    let elsewhere: Vec<String> =
        elsewhere.iter().map(|function| format!("`{}`.`{}`", function.module, function.name)).collect();
    _ = writeln!(text, "\nBesides: {}.", elsewhere.join(", "));
    let lacking: Vec<String> = LACKING.iter().map(|name| format!("`{name}`")).collect();
    _ = writeln!(
        text,
        "\nNot there at all: {}. A program may import them; a call answers `ENOSYS`, where it answers at all.",
        lacking.join(", ")
    );
    Ok(text)
}

/// The results for each kind of socket: a column for those over a network, with one result
/// for both families unless they differ.
const KINDS: &str = "TCP | UDP | Unix stream | Unix datagram | Unix seqpacket";

fn by_kind([tcp, tcp6, udp, udp6, stream, datagram, seqpacket]: [String; 7]) -> String {
    let both = |v4: String, v6: String| if v4 == v6 { v4 } else { format!("{v4}, IPv6: {v6}") };
    [both(tcp, tcp6), both(udp, udp6), stream, datagram, seqpacket].join(" | ")
}

/// A table with a column for each kind and each of these dialects.
fn header(first: &str, dialects: impl Iterator<Item = String>) -> String {
    let line = dialects.fold(format!("| {first} | {KINDS} |"), |line, title| line + " " + &title + " |");
    let columns = line.matches('|').count();
    format!("{line} |\n|{}\n", "---|".repeat(columns))
}

/// Which call works on which kind of socket.
fn kinds() -> String {
    let dialects = call_table::DIALECTS;
    let mut text = header("call", dialects.iter().map(|dialect| format!("in {}", dialect.dialect)));
    for row in call_table::TABLE {
        let answers = row.answers.map(|it| if it == "works" { "yes".to_owned() } else { format!("`{it}`") });
        let elsewhere = |dialect: &call_table::Counterparts| {
            dialect.of(row.call).map_or(String::new(), |call| format!("`{call}`"))
        };
        let elsewhere: Vec<String> = dialects.iter().map(elsewhere).collect();
        let (answers, elsewhere) = (by_kind(answers), elsewhere.join(" | "));
        _ = writeln!(text, "| `{}` | {answers} | {elsewhere} | {} |", row.call, row.why);
    }
    text
}

/// Which option is there on which kind of socket.
fn options() -> String {
    use option_table::Answer;
    let dialects = option_table::DIALECTS;
    let titles = dialects.iter().map(|dialect| format!("{}: {}", dialect.dialect, dialect.words));
    let mut text = header("option", titles);
    for row in option_table::TABLE {
        let answers = row.answers.map(|answer| match answer {
            Answer::Both => "yes".to_owned(),
            Answer::Get => "read".to_owned(),
            Answer::No => "no".to_owned(),
        });
        let option = format!("{} `{}` ({})", row.number, row.name, row.call);
        let elsewhere: Vec<&str> =
            dialects.iter().map(|dialect| dialect.of(row.name).unwrap_or_default()).collect();
        let (answers, elsewhere) = (by_kind(answers), elsewhere.join(" | "));
        _ = writeln!(text, "| {option} | {answers} | {elsewhere} | {} |", row.note);
    }
    text
}

/// What a call is about: the word before the first `_`.
fn noun(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

/// All sources of a folder.
fn sources(folder: &Path) -> Result<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths.iter().map(fs::read_to_string).collect::<Result<String, _>>()?)
}
