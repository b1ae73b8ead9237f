//! What the policy refused: each distinct refusal once, and how often.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::report::unpoisoned;
use crate::observe::status::DenialStatus;
use crate::policy::Denial;

/// How many distinct refusals are remembered, so that each is reported once. Beyond that,
/// further refusals of a guest are counted and not reported.
const MAX_REPORTED_DENIALS: usize = 1024;

/// How many of them the status has.
const MAX_SHOWN: usize = 64;

/// The refusals of a service.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    told: HashMap<Arc<(&'static str, Denial)>, u64>,
    /// The newest ones last.
    newest: VecDeque<Arc<(&'static str, Denial)>>,
    /// The names of calls are the host's own, and few.
    by_call: HashMap<&'static str, u64>,
}

impl Denials {
    /// Counts a refusal of `call`. Returns whether it is to be reported: the first time.
    pub(super) fn add(&self, call: &'static str, denial: &Denial) -> bool {
        let mut inner = unpoisoned(&self.0);
        inner.count(call);
        let denial = (call, denial.clone());
        if let Some(count) = inner.told.get_mut(&denial) {
            *count = count.saturating_add(1);
            return false;
        }
        if inner.told.len() >= MAX_REPORTED_DENIALS {
            return false;
        }
        let denial = Arc::new(denial);
        if inner.newest.len() >= MAX_SHOWN {
            inner.newest.pop_front();
        }
        inner.newest.push_back(Arc::clone(&denial));
        inner.told.insert(denial, 1);
        true
    }

    /// Counts a refusal that is not reported.
    pub(super) fn count(&self, call: &'static str) {
        unpoisoned(&self.0).count(call);
    }

    /// How many there were, by the call, in the order of their names.
    pub(super) fn by_call(&self) -> Vec<(&'static str, u64)> {
        let mut calls: Vec<_> =
            unpoisoned(&self.0).by_call.iter().map(|(call, count)| (*call, *count)).collect();
        calls.sort_unstable();
        calls
    }

    /// The newest distinct ones, the newest last.
    pub(super) fn newest(&self) -> Vec<DenialStatus> {
        let inner = unpoisoned(&self.0);
        let shown = |it: &Arc<(&'static str, Denial)>| {
            let (call, denial) = &**it;
            DenialStatus {
                call,
                what: denial.what.clone(),
                rule: denial.rule.clone().into_owned(),
                flag: denial.flag.clone(),
                count: inner.told.get(it).copied().unwrap_or(0),
            }
        };
        inner.newest.iter().map(shown).collect()
    }
}

impl Inner {
    fn count(&mut self, call: &'static str) {
        let count = self.by_call.entry(call).or_default();
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(what: usize) -> Denial {
        Denial { what: what.to_string(), rule: "no grant".into(), flag: String::new() }
    }

    #[test]
    fn each_is_reported_once_and_all_are_counted() {
        let denials = Denials::default();
        assert!(denials.add("sock_bind", &denial(1)));
        assert!(!denials.add("sock_bind", &denial(1)));
        assert!(denials.add("sock_connect", &denial(1)));
        denials.count("sock_connect");
        assert_eq!(denials.by_call(), [("sock_bind", 2), ("sock_connect", 2)]);
        let counts: Vec<_> = denials.newest().iter().map(|it| (it.call, it.count)).collect();
        assert_eq!(counts, [("sock_bind", 2), ("sock_connect", 1)]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let denials = Denials::default();
        let reported =
            (0..2 * MAX_REPORTED_DENIALS).filter(|it| denials.add("sock_connect", &denial(*it))).count();
        assert_eq!(reported, MAX_REPORTED_DENIALS);
        assert_eq!(denials.newest().len(), MAX_SHOWN);
        assert_eq!(denials.by_call(), [("sock_connect", 2 * 1024)]);
    }
}
