//! The tables of docs/listen.md: rows, profiles and dialects, as the tests have them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use wasock::ListenProfile;
use wasock::internals::{ListenRules, NegativeBacklog, OverflowPolicy, QueueCapacity, UnboundListen};

/// How many rules for listening hold in every profile.
const RULES: u32 = 20;

/// A dialect besides WASIX whose programs are tested.
struct Dialect {
    /// The module of its tests.
    module: &'static str,
    /// Its column.
    name: &'static str,
    /// What its calls cannot say, and the tests that ask for that.
    cannot: &'static [Reason],
}

type Reason = (&'static str, &'static [&'static str]);

/// The columns, but for those that have no tests yet.
const DIALECTS: [Dialect; 4] = [
    Dialect {
        module: "wasmedge",
        name: "WasmEdge",
        cannot: &[
            NO_DUPLICATES,
            ("has no `SOCK_SEQPACKET`", &["row_05_seqpacket"]),
            NO_SIGNALS,
            NO_EPOLL,
            NO_SHARED_PORT,
        ],
    },
    Dialect {
        module: "wamr",
        name: "WAMR",
        cannot: &[NO_DUPLICATES, ("has no Unix sockets", &["row_05_seqpacket"]), NO_SIGNALS, NO_EPOLL],
    },
    Dialect {
        module: "component",
        name: "WASI 0.2",
        cannot: &[
            HANDLES,
            (
                "has codes and names of its own: docs/components.md has the row, and its test",
                &[
                    "row_06_refused_by_the_policy",
                    "row_07_taken_after_bind",
                    "row_08_out_of_descriptors",
                    "row_12_accept_with_a_full_table",
                    "row_12_accept_without_host_descriptors",
                    "row_12_poll_without_host_descriptors",
                    "row_12_server_without_host_descriptors",
                    "backlog_as_passed",
                    "unbound",
                    "as_many_connections_as_may_be",
                    "as_many_as_a_listener_may_have",
                    "a_server_with_as_many_connections_as_may_be",
                    "shutdown_of_a_listener",
                ],
            ),
            BACKLOG_FROM_1,
            NO_SHARED_PORT,
            NO_DUPLICATES,
            NO_SIGNALS,
            NO_EPOLL,
        ],
    },
    Dialect {
        module: "p3",
        name: "WASI 0.3",
        cannot: &[
            HANDLES,
            (
                "has codes and names of its own: docs/components.md has the row, and its test",
                &[
                    "row_06_refused_by_the_policy",
                    "row_07_taken_after_bind",
                    "row_08_out_of_descriptors",
                    "backlog_as_passed",
                    "unbound",
                ],
            ),
            (
                "has no call that accepts: where there is no descriptor, or no place below a limit, the stream of \
                 connections waits, which docs/components.md has the tests of",
                &[
                    "row_12_accept_with_a_full_table",
                    "row_12_accept_without_host_descriptors",
                    "row_12_poll_without_host_descriptors",
                    "as_many_connections_as_may_be",
                    "as_many_as_a_listener_may_have",
                ],
            ),
            ("has no call that shuts a socket down: its streams end", &["shutdown_of_a_listener"]),
            BACKLOG_FROM_1,
            NO_SHARED_PORT,
            NO_DUPLICATES,
            NO_SIGNALS,
            NO_EPOLL,
        ],
    },
];

const NO_DUPLICATES: Reason = (
    "has no call that duplicates a descriptor",
    &[
        "row_11_last_duplicate",
        "duplicates_share_the_queue",
        "listen_again_on_a_duplicate",
        "a_duplicate_keeps_the_permit_of_its_connection",
    ],
);
const HANDLES: Reason = (
    "has handles with a type: another one is a trap of the component model",
    &[
        "row_01_bad_descriptor",
        "row_02_not_a_socket",
        "row_03_without_the_right",
        "row_04_datagram",
        "row_05_seqpacket",
        "every_kind_and_backlog",
    ],
);
const BACKLOG_FROM_1: Reason = (
    "has a backlog from 1 on: 0 is `invalid-argument`, and no number is negative",
    &["zero_backlog", "negative_backlog"],
);
const NO_SHARED_PORT: Reason = ("has no option that shares a port", &["row_20_shared_port"]);
const NO_SIGNALS: Reason = ("has no handlers of signals", &["row_13_accept_intr"]);
const NO_EPOLL: Reason =
    ("has no epoll that lasts from one call to the next", &["row_12_epoll_without_host_descriptors"]);

/// What is the same below every dialect, and is tested once.
const BELOW: [Reason; 3] = [
    (
        "the queue of `winsock` is the host's own, whatever program accepts from it",
        &[
            "a_pending_connection_counts_for_its_peer",
            "a_mapped_peer_is_the_ipv4_peer",
            "first_come_first_served",
            "refuses_while_the_guest_computes",
            "refuses_while_the_guest_waits",
            "is_fair_between_listeners",
            "pauses_and_refills_without_descriptors",
            "serves_in_order_without_descriptors",
            "one_descriptor_serves_all_listeners",
            "the_free_descriptor_is_for_the_listener_that_was_asked",
            "reset_connections_make_space",
            "finished_clients_stay_queued",
            "rests_while_clients_wait",
            "shrinks_from_the_newest",
            "close_resets_its_own",
            "refused_peers_take_no_space",
            "one_thread_which_the_others_do_not_pay_for",
        ],
    ),
    ("the limit is the kernel's", &["beyond_the_kernels_limit"]),
    (
        "it is the host that bears the load",
        &[
            "ten_thousand_listens",
            "ten_thousand_connections",
            "threads_of_fifty_listeners",
            "ten_seconds_of_resets",
        ],
    ),
];

/// A test, and the rule that it holds: the first line of its comment is
/// `/// Matter: text.`
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    matter: &'a str,
    text: &'a str,
    test: &'a str,
}

/// What the sources of the tests say.
pub(super) struct Tests<'a> {
    rows: Vec<Row<'a>>,
    /// The tests of each dialect, by its module.
    of_dialects: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Tests<'a> {
    pub(super) fn read(source: &'a str) -> Result<Self> {
        let mut of_dialects = BTreeMap::new();
        for list in source.split("\nevery_profile_in! { ").skip(1) {
            let (list, _) = list.split_once("\n}\n").context("a list without an end")?;
            let mut words = list.split_whitespace();
            let module = words.next().context("a list without a dialect")?;
            of_dialects.insert(module, words.collect());
        }
        for module in of_dialects.keys() {
            ensure!(DIALECTS.iter().any(|dialect| dialect.module == *module), "no column for {module}");
        }
        let tests = Self { rows: rows(source), of_dialects };
        tests.have_no_unexplained_hole()?;
        Ok(tests)
    }

    fn runs_in(&self, dialect: &Dialect, test: &str) -> bool {
        self.of_dialects.get(dialect.module).is_some_and(|tests| tests.contains(&test))
    }

    /// A cell is a test, or has exactly one reason.
    fn have_no_unexplained_hole(&self) -> Result<()> {
        for dialect in &DIALECTS {
            for test in self.rows.iter().map(|row| row.test) {
                let reasons = dialect.cannot.iter().chain(&BELOW);
                let reasons = reasons.filter(|(_, tests)| tests.contains(&test)).count();
                let runs = usize::from(self.runs_in(dialect, test));
                ensure!(runs + reasons == 1, "{test} in {}: {runs} tests, {reasons} reasons", dialect.name);
            }
            for test in dialect.cannot.iter().chain(&BELOW).flat_map(|(_, tests)| *tests) {
                ensure!(self.rows.iter().any(|row| row.test == *test), "there is no test {test}");
            }
        }
        Ok(())
    }

    /// The cells that say in which dialects a test runs.
    fn cells(&self, test: &str) -> String {
        let cell = |dialect: &Dialect| if self.runs_in(dialect, test) { "yes" } else { "" };
        DIALECTS.iter().fold("yes".to_owned(), |text, dialect| text + " | " + cell(dialect))
    }

    /// What each profile decides, by the code, with the test of it.
    pub(super) fn profiles(&self) -> Result<String> {
        let names = ListenProfile::ALL.map(|profile| format!("`{profile}`"));
        let mut text = header(&format!("| | {} | test |", names.join(" | ")));
        for row in self.rows.iter().filter(|row| row.matter == "Cell") {
            let unknown = || format!("{}: no such rule of the profiles: {:?}", row.test, row.text);
            let cells = ListenProfile::ALL.iter().map(|profile| cell(row.text, profile.rules()));
            let cells = cells.collect::<Option<Vec<_>>>().with_context(unknown)?.join(" | ");
            _ = writeln!(text, "| {} | {cells} | `{}` | {} |", row.text, row.test, self.cells(row.test));
        }
        Ok(text)
    }

    /// What holds in every profile, by the number of the rule.
    pub(super) fn rules(&self) -> Result<String> {
        let mut text = header("| rule | what holds | test |");
        for number in 1..=RULES {
            let matter = format!("Rule {number}");
            let mut of_it = self.rows.iter().filter(|row| row.matter == matter).peekable();
            ensure!(of_it.peek().is_some(), "{matter} has no test");
            for row in of_it {
                let cells = self.cells(row.test);
                _ = writeln!(text, "| {number} | {} | `{}` | {cells} |", row.text, row.test);
            }
        }
        Ok(text)
    }

    /// What is tested besides.
    pub(super) fn more(&self) -> String {
        let mut text = header("| matter | what holds | test |");
        let is_other = |row: &&Row<'_>| row.matter != "Cell" && !row.matter.starts_with("Rule");
        for row in self.rows.iter().filter(is_other) {
            let (matter, cells) = (row.matter.to_lowercase(), self.cells(row.test));
            _ = writeln!(text, "| {matter} | {} | `{}` | {cells} |", row.text, row.test);
        }
        text
    }
}

/// Why a cell is blank.
pub(super) fn blanks() -> String {
    let mut text = "| dialect | why | tests |\n|---|---|---|\n".to_owned();
    let mut row = |name: &str, (why, tests): &Reason| {
        let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        _ = writeln!(text, "| {name} | {why} | {} |", tests.join(", "));
    };
    for dialect in &DIALECTS {
        dialect.cannot.iter().for_each(|reason| row(dialect.name, reason));
    }
    BELOW.iter().for_each(|reason| row("every one", reason));
    text
}

/// The first lines of a table that ends in a column for each dialect.
fn header(first: &str) -> String {
    let names = DIALECTS.iter().fold("WASIX".to_owned(), |text, dialect| text + " | " + dialect.name);
    let line = format!("{first} {names} |");
    let columns = line.matches('|').count() - 1;
    format!("{line}\n|{}\n", "---|".repeat(columns))
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
