//! The tables of the manual are what the code says. `cargo xtask docs` writes them.

#[path = "../cli/tests/guests/kinds/call_table.rs"]
mod call_table;
#[path = "../cli/tests/guests/kinds/option_table.rs"]
mod option_table;

#[path = "docs/operations.rs"]
mod operations;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wasock::ListenProfile;
use wasock::internals::{FUNCTIONS, Function, LACKING};
use wasock::internals::{ListenRules, NegativeBacklog, OverflowPolicy, QueueCapacity, UnboundListen};

/// The import modules, in the order of their columns.
const MODULES: [&str; 3] = ["wasi_unstable", "wasi_snapshot_preview1", "wasix_32v1"];

/// Where the tests of listening are.
const LISTEN_TESTS: &str = "cli/tests/guests/listen";

/// How many rules for listening hold in every profile.
const RULES: u32 = 20;

#[test]
fn tables_are_up_to_date() -> Result<()> {
    let tests = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(LISTEN_TESTS))?;
    let found = rows(&tests);
    let wasmedge = in_wasmedge(&tests)?;
    let calls = [("calls", calls()), ("kinds", kinds()), ("options", options())];
    let listen = [
        ("profiles", profiles(&found, &wasmedge)?),
        ("listen", listen(&found, &wasmedge)?),
        ("more", more(&found, &wasmedge)),
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

/// Which import module has which call, a table for each noun.
fn calls() -> String {
    let (elsewhere, here): (Vec<_>, Vec<_>) =
        FUNCTIONS.iter().partition(|function| !MODULES.contains(&function.module));
    let mut names: Vec<&str> = here.iter().map(|function| function.name).collect();
    names.sort_by_key(|name| (noun(name), *name));
    names.dedup();
    let [unstable, preview1, wasix] = MODULES;
    let mut text = format!(
        "| call | `{unstable}` | `{preview1}` | WasmEdge | `{wasix}` | |\n|---|---|---|---|---|---|\n"
    );
    for name in names {
        let has = |module, added_by| {
            let is_it = |function: &&Function| {
                function.name == name && function.module == module && function.added_by == added_by
            };
            FUNCTIONS.iter().find(is_it)
        };
        let extent = |function: Option<&Function>| match function {
            Some(function) if function.refused.is_some() => "refused",
            Some(function) if function.note().is_some() => "partial",
            Some(_) => "full",
            None => "none",
        };
        let of_wasmedge = has(preview1, Some("wasmedge")).or_else(|| has(preview1, None));
        let columns = [has(unstable, None), has(preview1, None), of_wasmedge, has(wasix, None)];
        let note = columns.into_iter().flatten().find_map(Function::note).unwrap_or_default();
        let columns = columns.map(extent).join(" | ");
        _ = writeln!(text, "| `{name}` | {columns} | {note} |");
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
    text
}

/// The results for each kind of socket: a column for those over a network, with one result
/// for both families unless they differ.
const KINDS: &str = "TCP | UDP | Unix stream | Unix datagram | Unix seqpacket";

fn by_kind([tcp, tcp6, udp, udp6, stream, datagram, seqpacket]: [String; 7]) -> String {
    let both = |v4: String, v6: String| if v4 == v6 { v4 } else { format!("{v4}, IPv6: {v6}") };
    [both(tcp, tcp6), both(udp, udp6), stream, datagram, seqpacket].join(" | ")
}

/// Which call works on which kind of socket.
fn kinds() -> String {
    let mut text = format!("| call | {KINDS} | |\n|---|---|---|---|---|---|---|\n");
    for row in call_table::TABLE {
        let answers = row.answers.map(|it| if it == "works" { "yes".to_owned() } else { format!("`{it}`") });
        _ = writeln!(text, "| `{}` | {} | {} |", row.call, by_kind(answers), row.why);
    }
    text
}

/// Which option is there on which kind of socket.
fn options() -> String {
    use option_table::Answer;
    let mut text = format!("| option | {KINDS} | |\n|---|---|---|---|---|---|---|\n");
    for row in option_table::TABLE {
        let answers = row.answers.map(|answer| match answer {
            Answer::Both => "yes".to_owned(),
            Answer::Get => "read".to_owned(),
            Answer::No => "no".to_owned(),
        });
        let option = format!("{} `{}` ({})", row.number, row.name, row.call);
        _ = writeln!(text, "| {option} | {} | {} |", by_kind(answers), row.note);
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

/// A test, and the rule that it holds: the first line of its comment is
/// `/// Matter: text.`
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    matter: &'a str,
    text: &'a str,
    test: &'a str,
}

fn rows(source: &str) -> Vec<Row<'_>> {
    const MATTERS: [&str; 8] = ["Rule", "Cell", "Limit", "Queue", "Close", "Shutdown", "Duplicates", "Bad"];
    let mut found = Vec::new();
    let mut rule = None;
    for line in source.lines().map(str::trim) {
        let marked = line.strip_prefix("/// ").and_then(|text| text.split_once(": "));
        let is_matter = |matter: &str| MATTERS.contains(&matter.split(' ').next().unwrap_or(matter));
        if let Some((matter, text)) = marked.filter(|(matter, _)| is_matter(matter)) {
            rule = Some((matter, text.trim_end_matches('.')));
        } else if let Some((_, name)) = line.split_once("fn ").filter(|_| !line.starts_with("//")) {
            let test = name.split(['(', '<']).next().unwrap_or(name);
            found.extend(rule.take().map(|(matter, text)| Row { matter, text, test }));
        }
    }
    found
}

/// The tests that run with the calls of WasmEdge too.
fn in_wasmedge(source: &str) -> Result<BTreeSet<&str>> {
    let (_, list) = source.split_once("\nevery_profile_in_wasmedge! {").context("no list of WasmEdge")?;
    let (list, _) = list.split_once("\n}\n").context("a list without an end")?;
    Ok(list.split_whitespace().collect())
}

/// The cell that says whether a test runs with the calls of WasmEdge.
fn mark(wasmedge: &BTreeSet<&str>, test: &str) -> &'static str {
    if wasmedge.contains(test) { "yes" } else { "" }
}

/// What each profile decides, by the code, with the test of it.
fn profiles(found: &[Row<'_>], wasmedge: &BTreeSet<&str>) -> Result<String> {
    let names = ListenProfile::ALL.map(|profile| format!("`{profile}`"));
    let mut text = format!(
        "| | {} | test | in WasmEdge |\n|---{}|---|---|\n",
        names.join(" | "),
        "|---".repeat(names.len())
    );
    for row in found.iter().filter(|row| row.matter == "Cell") {
        let unknown = || format!("{}: no such rule of the profiles: {:?}", row.test, row.text);
        let cells = ListenProfile::ALL.iter().map(|profile| cell(row.text, profile.rules()));
        let cells = cells.collect::<Option<Vec<_>>>().with_context(unknown)?;
        let mark = mark(wasmedge, row.test);
        _ = writeln!(text, "| {} | {} | `{}` | {mark} |", row.text, cells.join(" | "), row.test);
    }
    Ok(text)
}

/// What these rules say to one of the questions that the tests ask.
fn cell(question: &str, rules: ListenRules) -> Option<String> {
    const MAXIMUM: u32 = 1000;
    let is_maximum = |backlog| rules.capacity(backlog, MAXIMUM) == rules.capacity(MAXIMUM, MAXIMUM);
    let is_zero = |backlog| rules.capacity(backlog, MAXIMUM) == rules.capacity(0, MAXIMUM);
    let text = match question {
        "the backlog as the guest passes it" if rules.negative == NegativeBacklog::Unsigned => "unsigned",
        "the backlog as the guest passes it" => "a C `int`",
        "a negative backlog" if rules.negative == NegativeBacklog::Unsigned => "a large number: the maximum",
        "a negative backlog" if is_zero(1 << 31) => "as 0",
        "a negative backlog" if is_maximum(1 << 31) => "the maximum",
        "more than the maximum" if is_maximum(MAXIMUM + 1) => "the maximum",
        "a backlog of 0" => return Some(format!("{} waits", rules.capacity(0, MAXIMUM))),
        "SOMAXCONN, which is 128 or 2^31 - 1" if is_maximum(128) => "the maximum",
        "SOMAXCONN, which is 128 or 2^31 - 1" => "a number",
        "connections that wait for N" => match rules.holds {
            QueueCapacity::Backlog => "N",
            QueueCapacity::HalfMore => "1.5 N, rounded up",
            QueueCapacity::OneMore => "N + 1",
        },
        "one more arrives" => match rules.beyond {
            OverflowPolicy::Unanswered => "not answered",
            OverflowPolicy::Reset => "reset at once",
        },
        "listen again" => match rules.beyond {
            OverflowPolicy::Unanswered => "changes the backlog",
            OverflowPolicy::Reset => "changes, and resets the newest beyond it",
        },
        "a socket that is not bound" => match rules.unbound {
            UnboundListen::Refused(errno) => errno.name(),
            UnboundListen::BoundToWildcard => "binds port 0, if that is granted",
        },
        "a connected or connecting socket" => rules.connected.name(),
        _ => return None,
    };
    Some(text.to_owned())
}

/// What holds in every profile, by the number of the rule.
fn listen(found: &[Row<'_>], wasmedge: &BTreeSet<&str>) -> Result<String> {
    let mut text = "| rule | what holds | test | in WasmEdge |\n|---|---|---|---|\n".to_owned();
    for number in 1..=RULES {
        let matter = format!("Rule {number}");
        let mut of_it = found.iter().filter(|row| row.matter == matter).peekable();
        ensure!(of_it.peek().is_some(), "{matter} has no test");
        for row in of_it {
            let mark = mark(wasmedge, row.test);
            _ = writeln!(text, "| {number} | {} | `{}` | {mark} |", row.text, row.test);
        }
    }
    Ok(text)
}

/// What is tested besides.
fn more(found: &[Row<'_>], wasmedge: &BTreeSet<&str>) -> String {
    let mut text = "| matter | what holds | test | in WasmEdge |\n|---|---|---|---|\n".to_owned();
    let is_other = |row: &&Row<'_>| row.matter != "Cell" && !row.matter.starts_with("Rule");
    for row in found.iter().filter(is_other) {
        let mark = mark(wasmedge, row.test);
        _ = writeln!(text, "| {} | {} | `{}` | {mark} |", row.matter.to_lowercase(), row.text, row.test);
    }
    text
}

#[test]
fn rows_are_found() {
    let source = "\
        /// Rule 12: accept loses nobody.\n\
        /// More of it.\n\
        pub(super) fn row_12_accept_waits(profile: Profile) -> Result<()> {\n\
        /// Runs one rule: a helper.\n\
        fn helper() {}\n\
        /// Queue: first come, first served.\n\
        #[test]\n\
        fn first_come() {\n";
    assert_eq!(
        rows(source),
        [
            Row { matter: "Rule 12", text: "accept loses nobody", test: "row_12_accept_waits" },
            Row { matter: "Queue", text: "first come, first served", test: "first_come" }
        ]
    );
}
