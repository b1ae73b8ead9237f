//! How often each call of components succeeded, and with what it failed; and what ended the components.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::table::{CALLS, Failure, OPERATIONS, OWN, name_of};

/// How many answers there are: a success, and each failure.
const ANSWERS: usize = 24;

/// Answers by operation, and ends by what they are called.
#[derive(Default)]
pub(crate) struct Coverage {
    answers: Vec<[u64; ANSWERS]>,
    ends: BTreeMap<String, u64>,
}

/// Calls that never succeed here, and why.
const NEVER: &[(&str, &str)] = &[];

/// The codes of `wasi:sockets`, as their enum has them.
const CODES: [&str; 21] = [
    "unknown",
    "access-denied",
    "not-supported",
    "invalid-argument",
    "out-of-memory",
    "timeout",
    "concurrency-conflict",
    "not-in-progress",
    "would-block",
    "invalid-state",
    "new-socket-limit",
    "address-not-bindable",
    "address-in-use",
    "remote-unreachable",
    "connection-refused",
    "connection-reset",
    "connection-aborted",
    "datagram-too-large",
    "name-unresolvable",
    "temporary-resolver-failure",
    "permanent-resolver-failure",
];

impl Coverage {
    /// Adds what a component has reported: the number of each operation, and its answer. Returns how many they are.
    pub(super) fn add_report(&mut self, report: &[u8]) -> u64 {
        self.answers.resize(OPERATIONS, [0; ANSWERS]);
        let mut calls = 0;
        for pair in report.chunks_exact(2) {
            let counts = self.answers.get_mut(usize::from(pair[0]));
            if let Some(count) = counts.and_then(|counts| counts.get_mut(usize::from(pair[1]))) {
                *count += 1;
                calls += 1;
            }
        }
        calls
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> u64 {
        self.answers.iter().flatten().sum()
    }

    pub(super) fn add_end(&mut self, end: &str) {
        *self.ends.entry(end.to_owned()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.answers.resize(OPERATIONS, [0; ANSWERS]);
        for (sums, counts) in self.answers.iter_mut().zip(&other.answers) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        for (end, count) in &other.ends {
            *self.ends.entry(end.clone()).or_default() += count;
        }
    }

    /// A line for each operation, and one for each kind of end.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let of_host = OPERATIONS - OWN.len();
        for (number, counts) in self.answers.iter().enumerate().take(of_host) {
            let calls: u64 = counts.iter().sum();
            let mut failures: Vec<(u64, usize)> =
                counts.iter().copied().zip(0..).skip(1).filter(|(count, _)| *count > 0).collect();
            failures.sort_unstable_by(|one, other| other.cmp(one));
            let failures: String = failures
                .iter()
                .map(|(count, answer)| format!(" {}:{count}", failure(number, *answer)))
                .collect();
            let name = name_of(number);
            let name = name.replace("-datagram-stream.", ".");
            _ = writeln!(text, "{name:<48}{calls:>10}{:>10} {failures}", counts[0]);
        }
        text += "\nhow components ended\n";
        for (end, count) in &self.ends {
            _ = writeln!(text, "{count:>10}  {end}");
        }
        text
    }

    /// What succeeded less often than `floor` times.
    pub(crate) fn below(&self, floor: u64) -> Vec<String> {
        let of_host = OPERATIONS - OWN.len();
        let is_low = |number: &usize| {
            let successes = self.answers.get(*number).map_or(0, |counts| counts[0]);
            let exempt =
                CALLS.get(*number).is_some_and(|call| NEVER.iter().any(|(name, _)| *name == call.name));
            successes < floor && !exempt
        };
        (0..of_host)
            .filter(is_low)
            .map(|number| format!("{} succeeded fewer than {floor} times", name_of(number)))
            .collect()
    }
}

/// What an answer of an operation that is no success is called.
fn failure(number: usize, answer: usize) -> &'static str {
    let code = answer.saturating_sub(1);
    match CALLS.get(number).and_then(|call| call.failure) {
        Some(Failure::Stream) => ["failed", "closed"].get(code).copied().unwrap_or("?"),
        _ => CODES.get(code).copied().unwrap_or("?"),
    }
}
