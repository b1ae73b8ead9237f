//! Every option on every kind of socket: a row of the table, a test.
//!
//! What the kernel has is compared with what the kernel says of an equal socket of the
//! test's own.

use super::native::Native;
use super::option_table::{Answer, Counterparts, DIALECTS, Row, TABLE, WAMR, WASMEDGE};
use super::{Dialect, KINDS, kinds_here, run_with_kinds};
use anyhow::{Context as _, Result, anyhow, ensure};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What is set, by the call. More than an `int` holds comes last.
const VALUES: [(&str, &[&str]); 3] = [
    ("flag", &["1", "0", "1"]),
    ("size", &["0", "1", "33", "255", "256", "65536", "2147483647", "2147483648", "18446744073709551615"]),
    ("time", &["0", "none", "3000000000", "1500000000", "18446744073709551615", "none"]),
];

/// A fresh socket; and one that is bound, and listens where that is its kind.
const STATES: [&str; 2] = ["fresh", "used"];

/// Numbers that no option has.
const UNKNOWN: [u32; 5] = [27, 200, 255, 256, u32::MAX];

/// What the guest is asked of one option.
fn task(kind: &str, state: &str, number: u32, (call, values): (&str, &[&str])) -> String {
    format!("{kind} {state} {number} {call} {}", values.join(" "))
}

/// The answers to each task.
type Answers = BTreeMap<String, Vec<String>>;

/// One run of the guest, for all the rows.
static ANSWERS: LazyLock<Result<Answers>> = LazyLock::new(|| {
    let numbers = || TABLE.iter().map(|row| row.number).chain(UNKNOWN);
    let all = |kind, state| {
        numbers().flat_map(move |number| VALUES.map(|values| task(kind, state, number, values)))
    };
    let states = |kind| STATES.into_iter().flat_map(move |state| all(kind, state));
    answers_of(guest_tests::KINDS_OPTIONS, kinds_here().into_iter().flat_map(states))
});

fn answers_of(program: &str, tasks: impl Iterator<Item = String>) -> Result<Answers> {
    let folder = tempfile::tempdir()?;
    let finished = run_with_kinds(folder.path()).arg(program).args(tasks).succeed()?;
    let answer = |line: &str| {
        let (task, answers) = line.split_once(": ").with_context(|| format!("no answer: {line:?}"))?;
        Ok((task.to_owned(), answers.split(' ').map(str::to_owned).collect()))
    };
    finished.stdout.lines().map(answer).collect()
}

/// What the guest is to get: the value, and for each that is set the outcome and the
/// value then.
fn expected(row: &Row, kind: &str, state: &str, (call, values): (&str, &[&str])) -> Result<Vec<String>> {
    const UNKNOWN: &str = "ENOPROTOOPT";
    let column = KINDS.iter().position(|it| *it == kind).context("no such kind")?;
    let answer = row.answers.get(column).filter(|_| call == row.call).copied().unwrap_or(Answer::No);
    let native = Native::open(kind, state)?;
    let get = || match answer {
        Answer::No => Ok(UNKNOWN.to_owned()),
        _ => native.get(row.name),
    };
    let mut told = vec![get()?];
    for value in values {
        told.push(match answer {
            Answer::Both => native.set(row.name, value)?,
            _ => UNKNOWN.to_owned(),
        });
        told.push(get()?);
    }
    Ok(told)
}

fn row(name: &str) -> Result<()> {
    let row = TABLE.iter().find(|row| row.name == name).context("no such row")?;
    let answers = ANSWERS.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    let mut wrong = Vec::new();
    for kind in kinds_here() {
        for state in STATES {
            for values in VALUES {
                let task = task(kind, state, row.number, values);
                let expected = expected(row, kind, state, values)?;
                let told = answers.get(&task).with_context(|| format!("no answer to {task}"))?;
                if *told != expected {
                    wrong.push(format!("{task}:\n  {}\nexpected\n  {}", told.join(" "), expected.join(" ")));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{name}\n{}", wrong.join("\n"));
    Ok(())
}

macro_rules! rows {
    ($($name:ident $test:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $test() -> Result<()> {
                row(stringify!($name))
            }
        )*
    };
}

rows! {
    noop noop
    reuse_port reuse_port
    reuse_addr reuse_addr
    no_delay no_delay
    dont_route dont_route
    only_v6 only_v6
    broadcast broadcast
    multicast_loop_v4 multicast_loop_v4
    multicast_loop_v6 multicast_loop_v6
    promiscuous promiscuous
    listening listening
    last_error last_error
    keep_alive keep_alive
    linger linger
    oob_inline oob_inline
    recv_buf_size recv_buf_size
    send_buf_size send_buf_size
    recv_lowat recv_lowat
    send_lowat send_lowat
    recv_timeout recv_timeout
    send_timeout send_timeout
    connect_timeout connect_timeout
    accept_timeout accept_timeout
    ttl ttl
    multicast_ttl_v4 multicast_ttl_v4
    type type_
    proto proto
}

/// What an `int` holds; a dialect may have no word for more.
const INTS: [(&str, &[&str]); 2] =
    [("flag", &["1", "0", "1"]), ("size", &["0", "1", "33", "255", "256", "65536", "2147483647"])];

/// The options that a dialect has are the same there. Those that are times end calls: `limits` has them.
fn same_in(dialect: &Counterparts, program: &str, kinds: &[&'static str]) -> Result<()> {
    let named = |row: &&Row| dialect.of(row.name).is_some();
    let ints_of = |row: &'static Row| INTS.into_iter().filter(move |(call, _)| *call == row.call);
    let rows = || TABLE.iter().filter(named).flat_map(|row| ints_of(row).map(move |values| (row, values)));
    let cells = || kinds.iter().flat_map(|kind| STATES.map(|state| (*kind, state)));
    let tasks = cells()
        .flat_map(|(kind, state)| rows().map(move |(row, values)| task(kind, state, row.number, values)));
    let answers = answers_of(program, tasks)?;
    let mut wrong = Vec::new();
    for (kind, state) in cells() {
        for (row, values) in rows() {
            let task = task(kind, state, row.number, values);
            let expected = expected(row, kind, state, values)?;
            let told = answers.get(&task).with_context(|| format!("no answer to {task}"))?;
            if *told != expected {
                let (told, expected) = (told.join(" "), expected.join(" "));
                wrong.push(format!("{} {task}:\n  {told}\nexpected\n  {expected}", row.name));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}\n{}", dialect.dialect, wrong.join("\n"));
    Ok(())
}

#[test]
fn wasmedge() -> Result<()> {
    same_in(&WASMEDGE, guest_tests::wasmedge::KINDS_OPTIONS, &Dialect::WasmEdge.kinds())
}

#[test]
fn wamr() -> Result<()> {
    same_in(&WAMR, guest_tests::wamr::KINDS_OPTIONS, &Dialect::Wamr.kinds())
}

/// An unknown option is none of any kind, whichever call names it.
#[test]
fn unknown() -> Result<()> {
    let answers = ANSWERS.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    for kind in kinds_here() {
        for (state, number) in STATES.iter().flat_map(|state| UNKNOWN.map(|number| (*state, number))) {
            for values in VALUES {
                let task = task(kind, state, number, values);
                let told = answers.get(&task).with_context(|| format!("no answer to {task}"))?;
                let is_none = told.iter().all(|answer| answer == "ENOPROTOOPT");
                ensure!(is_none && !told.is_empty(), "{task}: {told:?}");
            }
        }
    }
    Ok(())
}

/// Every number that the ABI has is a row, and every row a test.
#[test]
pub(crate) fn kinds_options() -> Result<()> {
    let named: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
    ensure!(named == TESTED, "the table and its tests differ");
    let numbers: Vec<u32> = TABLE.iter().map(|row| row.number).collect();
    ensure!(numbers == (0..=26).collect::<Vec<u32>>(), "{numbers:?}");
    let unexplained = |row: &&Row| row.answers == [Answer::No; 7] && row.note.is_empty();
    let unexplained: Vec<&str> = TABLE.iter().filter(unexplained).map(|row| row.name).collect();
    ensure!(unexplained.is_empty(), "no reasons: {unexplained:?}");
    for dialect in DIALECTS {
        let known = |(option, _): &&(&str, &str)| named.contains(option);
        let unknown: Vec<_> = dialect.options.iter().filter(|it| !known(it)).collect();
        ensure!(unknown.is_empty(), "{}, {}: {unknown:?}", dialect.dialect, dialect.words);
    }
    Ok(())
}
