//! The rows of the contract for services, and the tests that hold them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where the tests of services are.
const TESTS: [&str; 3] = ["tests/embed", "cli/tests", "cli/src"];

/// The parts of the contract, and how many rows each has.
const PARTS: [(char, &str, u32); 5] = [
    ('A', "adoption", 11),
    ('R', "restart, reload, drain", 11),
    ('W', "workers", 7),
    ('L', "limits", 5),
    ('S', "seeing", 6),
];

/// A row: its letter and its number.
type Row = (char, u32);

/// Each row with the tests that hold it: what holds in words, and the test's name.
pub(super) type Held = BTreeMap<Row, Vec<(String, String)>>;

/// What is held by the tests that are there.
pub(super) fn held() -> Result<Held> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut held = Held::new();
    for folder in TESTS {
        for path in sources(root.join(folder))? {
            add(&mut held, &fs::read_to_string(&path).with_context(|| path.display().to_string())?);
        }
    }
    Ok(held)
}

/// The sources in `folder`, at any depth.
pub(super) fn sources(folder: PathBuf) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|it| it == "rs") => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A test holds a row that begins its name, as in `r3_a_new_one_that_ends_is_rolled_back`, or a line of its
/// comment, as in `/// L1: memory grows no further.`
fn add(held: &mut Held, source: &str) {
    let mut marks: Vec<(Row, String)> = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some((start, text)) = line.strip_prefix("/// ").and_then(|text| text.split_once(": ")) {
            marks.extend(row(start).map(|row| (row, text.trim_end_matches('.').to_owned())));
        } else if let Some((_, name)) = line.split_once("fn ").filter(|_| !line.starts_with("//")) {
            let name = name.split(['(', '<']).next().unwrap_or(name);
            let by_name = name
                .split_once('_')
                .and_then(|(start, words)| Some((row(&start.to_uppercase())?, words.replace('_', " "))));
            for (row, text) in marks.drain(..).chain(by_name) {
                held.entry(row).or_default().push((text, name.to_owned()));
            }
        }
    }
}

/// The row that `text` names, if it is one.
fn row(text: &str) -> Option<Row> {
    let letter = text.chars().next()?;
    let number = text.get(1..)?.parse().ok()?;
    let is_one = |(known, _, last): &(char, &str, u32)| *known == letter && (1..=*last).contains(&number);
    PARTS.iter().any(is_one).then_some((letter, number))
}

/// The rows as a table.
pub(super) fn table(held: &Held) -> String {
    let mut text = "| row | what holds | test |\n|---|---|---|\n".to_owned();
    for (row, tests) in ordered(held) {
        for (what, test) in tests {
            _ = writeln!(text, "| {}{} | {what} | `{test}` |", row.0, row.1);
        }
    }
    text
}

/// In the order of the contract.
fn ordered(held: &Held) -> impl Iterator<Item = (Row, &Vec<(String, String)>)> {
    let rows = PARTS.iter().flat_map(|(letter, _, last)| (1..=*last).map(|number| (*letter, number)));
    rows.filter_map(|row| Some((row, held.get(&row)?)))
}

/// The rows that no test holds.
pub(super) fn lacking(held: &Held) -> Vec<String> {
    let rows =
        PARTS.iter().flat_map(|(letter, part, last)| (1..=*last).map(move |number| (*letter, part, number)));
    let lacking = rows.filter(|(letter, _, number)| !held.contains_key(&(*letter, *number)));
    lacking.map(|(letter, part, number)| format!("{letter}{number} ({part})")).collect()
}

#[test]
fn tests_of_rows_are_found() {
    let source = "\
        /// L1: memory grows no further.\n\
        /// More of it: much.\n\
        #[test]\n\
        fn memory() -> Result<()> {\n\
        /// A12: there is no such row.\n\
        fn helper() {}\n\
        fn r3_a_new_one_ends() {\n\
        fn a_test() {\n";
    let mut held = Held::new();
    add(&mut held, source);
    let test = |what: &str, name: &str| vec![(what.to_owned(), name.to_owned())];
    let expected = [
        (('L', 1), test("memory grows no further", "memory")),
        (('R', 3), test("a new one ends", "r3_a_new_one_ends")),
    ];
    assert_eq!(held, expected.into());
}
