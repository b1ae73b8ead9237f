//! What the host has found for the names of grants, and until when that counts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::NamePattern;
use crate::error::Errno;

/// For how long an address counts where the resolver does not say.
const DEFAULT_TIME_TO_LIVE: Duration = Duration::from_secs(60);

/// The least and the most that a resolver may say. Less would ask it at every use; and with more an
/// address would be granted that the name has lost for a long time.
const TIMES_TO_LIVE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(3600)];

/// How long after a look-up the host asks for that name again at the earliest.
const REST: Duration = Duration::from_secs(5);

/// How many names are remembered at most, and how many addresses of each: a guest chooses names
/// below a domain that is granted.
const MOST_NAMES: usize = 256;
const MOST_ADDRESSES: usize = 64;

/// How many names below a domain are asked for again at once: many may have one address.
const MOST_ASKED: usize = 8;

/// The addresses of names.
#[derive(Debug, Default)]
pub(super) struct FoundNames(Mutex<HashMap<String, Found>>);

/// What was found for one name.
#[derive(Debug)]
struct Found {
    /// Each with the time until which it counts.
    addresses: Vec<(IpAddr, Instant)>,
    /// Until when the host does not ask again by itself, whatever address is asked about: the name may have
    /// moved while earlier addresses still count.
    rests_until: Instant,
    /// Why the last look-up found nothing.
    failed: Option<Errno>,
}

impl FoundNames {
    /// Notes what a look-up of `name` has found at `now`.
    pub(super) fn note(
        &self,
        name: &str,
        found: Result<&[IpAddr], Errno>,
        time_to_live: Option<Duration>,
        now: Instant,
    ) {
        let [least, most] = TIMES_TO_LIVE;
        let lives = time_to_live.unwrap_or(DEFAULT_TIME_TO_LIVE).clamp(least, most);
        let mut names = self.names();
        if names.len() >= MOST_NAMES && !names.contains_key(name) {
            let oldest = names.iter().min_by_key(|(_, found)| found.rests_until);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                names.remove(&oldest);
            }
        }
        let entry = names.entry(name.to_owned()).or_insert_with(|| Found::new(now));
        match found {
            Ok(addresses) => {
                entry.failed = None;
                entry.add(addresses, now + lives, now);
            }
            Err(errno) => entry.failed = Some(errno),
        }
        entry.rests_until = now + REST;
    }

    /// Does a name of `pattern` have the address `ip`?
    pub(super) fn has(&self, pattern: &NamePattern, ip: IpAddr, now: Instant) -> bool {
        let has = |found: &Found| found.addresses.iter().any(|(it, until)| *it == ip && *until > now);
        let names = self.names();
        match pattern.exact() {
            Some(name) => names.get(name).is_some_and(has),
            None => names.iter().any(|(name, found)| pattern.matches(name) && has(found)),
        }
    }

    /// The names of `pattern` to ask for again, so that it is known whether they have `ip`: that
    /// one name, if it is one, or those that had the address.
    pub(super) fn stale(&self, pattern: &NamePattern, ip: IpAddr, now: Instant) -> Vec<String> {
        let names = self.names();
        if let Some(name) = pattern.exact() {
            let rests = names.get(name).is_some_and(|found| found.rests_until > now);
            return if rests { Vec::new() } else { vec![name.to_owned()] };
        }
        let had = |found: &Found| found.rests_until <= now && found.addresses.iter().any(|(it, _)| *it == ip);
        let stale = names.iter().filter(|(name, found)| had(found) && pattern.matches(name));
        stale.map(|(name, _)| name.clone()).take(MOST_ASKED).collect()
    }

    /// Why the last look-up of the one name of `pattern` found nothing.
    pub(super) fn failure(&self, pattern: &NamePattern) -> Option<Errno> {
        self.names().get(pattern.exact()?)?.failed
    }

    /// The name of `pattern` that has `ip`, whatever that is.
    pub(super) fn name_of(&self, pattern: &NamePattern, ip: IpAddr, now: Instant) -> Option<String> {
        let names = self.names();
        let has = |found: &Found| found.addresses.iter().any(|(it, until)| *it == ip && *until > now);
        let found = names.iter().find(|(name, found)| pattern.matches(name) && has(found));
        found.map(|(name, _)| name.clone())
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Found>> {
        // No panic tears it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn new(now: Instant) -> Self {
        Self { addresses: Vec::new(), rests_until: now, failed: None }
    }

    /// Adds `addresses`, which count until then. Earlier ones go on until their own time is over: a name may have
    /// more than one reply has room for. One that is over is kept too, so that the host knows
    /// which name to ask for when the guest still uses it, as long as there is room.
    fn add(&mut self, addresses: &[IpAddr], until: Instant, now: Instant) {
        let new: Vec<IpAddr> = addresses.iter().map(IpAddr::to_canonical).take(MOST_ADDRESSES).collect();
        self.addresses.retain(|(ip, _)| !new.contains(ip));
        self.addresses.splice(0..0, new.into_iter().map(|ip| (ip, until)));
        if self.addresses.len() > MOST_ADDRESSES {
            self.addresses.sort_by_key(|(_, until)| *until <= now);
            self.addresses.truncate(MOST_ADDRESSES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_address_counts_for_its_time_to_live() -> TestResult {
        let (found, start) = (FoundNames::default(), Instant::now());
        let (name, one): (NamePattern, IpAddr) = ("a.example".parse()?, "192.0.2.1".parse()?);
        for (told, counts) in
            [(None, 60), (Some(20 * SECOND), 20), (Some(Duration::ZERO), 5), (Some(Duration::MAX), 3600)]
        {
            let found = FoundNames::default();
            found.note("a.example", Ok(&[one]), told, start);
            assert!(found.has(&name, one, start + (counts - 1) * SECOND), "{told:?}");
            assert!(!found.has(&name, one, start + counts * SECOND), "{told:?}");
            assert_eq!(found.stale(&name, one, start + counts * SECOND), ["a.example"]);
        }
        assert!(!found.has(&name, one, start));
        Ok(())
    }

    #[test]
    fn a_reply_that_is_newer_takes_no_address_that_still_counts() -> TestResult {
        let (found, start) = (FoundNames::default(), Instant::now());
        let name: NamePattern = "a.example".parse()?;
        let [one, two]: [IpAddr; 2] = ["192.0.2.1".parse()?, "192.0.2.2".parse()?];
        found.note("a.example", Ok(&[one]), None, start);
        found.note("a.example", Ok(&[two]), None, start + 30 * SECOND);
        assert!(found.has(&name, one, start + 59 * SECOND) && found.has(&name, two, start + 59 * SECOND));
        assert!(!found.has(&name, one, start + 60 * SECOND) && found.has(&name, two, start + 60 * SECOND));
        Ok(())
    }

    #[test]
    fn a_name_that_may_have_moved_is_asked_for_again_while_an_earlier_address_counts() -> TestResult {
        let (found, start) = (FoundNames::default(), Instant::now());
        let name: NamePattern = "a.example".parse()?;
        let [one, two]: [IpAddr; 2] = ["192.0.2.1".parse()?, "192.0.2.2".parse()?];
        found.note("a.example", Ok(&[one]), None, start);
        assert!(found.stale(&name, two, start + 4 * SECOND).is_empty());
        assert_eq!(found.stale(&name, two, start + 5 * SECOND), ["a.example"]);
        assert!(found.has(&name, one, start + 5 * SECOND));
        Ok(())
    }

    #[test]
    fn a_failure_is_not_asked_about_again_for_a_while() -> TestResult {
        let (found, start) = (FoundNames::default(), Instant::now());
        let (name, one): (NamePattern, IpAddr) = ("a.example".parse()?, "192.0.2.1".parse()?);
        found.note("a.example", Err(Errno::EAGAIN), None, start);
        assert_eq!(found.failure(&name), Some(Errno::EAGAIN));
        assert!(found.stale(&name, one, start + 4 * SECOND).is_empty());
        assert_eq!(found.stale(&name, one, start + 5 * SECOND), ["a.example"]);
        found.note("a.example", Ok(&[one]), None, start + 5 * SECOND);
        assert_eq!(found.failure(&name), None);
        Ok(())
    }

    #[test]
    fn of_a_domain_those_are_asked_for_again_that_had_the_address() -> TestResult {
        let (found, start) = (FoundNames::default(), Instant::now());
        let domain: NamePattern = "*.example".parse()?;
        let [one, two]: [IpAddr; 2] = ["192.0.2.1".parse()?, "192.0.2.2".parse()?];
        found.note("a.example", Ok(&[one]), None, start);
        found.note("b.example", Ok(&[two]), None, start);
        found.note("c.other", Ok(&[one]), None, start);
        assert!(found.has(&domain, one, start));
        assert_eq!(found.stale(&domain, one, start + 60 * SECOND), ["a.example"]);
        Ok(())
    }

    #[test]
    fn what_is_remembered_is_bounded() -> TestResult {
        let (found, start) = (FoundNames::default(), Instant::now());
        let many: Vec<IpAddr> = (0..1000).map(|it| std::net::Ipv4Addr::from_bits(it).into()).collect();
        for index in 0..1000 {
            found.note(&format!("{index}.example"), Ok(&many), None, start + index * SECOND);
        }
        let names = found.names();
        assert_eq!(names.len(), MOST_NAMES);
        assert!(names.values().all(|found| found.addresses.len() == MOST_ADDRESSES));
        assert!(names.contains_key("999.example") && !names.contains_key("1.example"));
        Ok(())
    }
}
