//! When a guest that failed is started again.

use std::time::Duration;

/// The delay after the second failure; it doubles from there.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// The longest delay.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(10);

/// An instance that lived this long was good: the failure after it is a first one.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// An instance that lived less than this achieved nothing.
pub(super) const SHORT_LIFE: Duration = Duration::from_secs(1);

/// So many instances in a row that achieved nothing end it.
pub(super) const MAX_SHORT_LIVES: u32 = 5;

/// The delays between the instances of one guest: none at first, then 100 ms, doubling to
/// 10 s, and none again after an instance that lived for 10 s.
///
/// A guest that fails as soon as a peer sends it the wrong bytes would otherwise use
/// a whole processor for starting, for as long as the peer sends them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    next_delay: Duration,
    short_lives: u32,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start again after this time.
    StartAfter(Duration),
    /// Five instances in a row, or more, lived less than a second each: there is no use in another
    /// one soon.
    GiveUp,
}

impl Backoff {
    /// Records the failure of an instance that had `lived` this long, its delay not included.
    pub(super) fn failed(&mut self, lived: Duration) -> Next {
        self.short_lives = if lived < SHORT_LIFE { self.short_lives.saturating_add(1) } else { 0 };
        if self.short_lives >= MAX_SHORT_LIVES {
            return Next::GiveUp;
        }
        let delay = if lived >= GOOD_LIFE { Duration::ZERO } else { self.next_delay };
        self.next_delay = if delay.is_zero() { FIRST_DELAY } else { delay.saturating_mul(2).min(MAX_DELAY) };
        Next::StartAfter(delay)
    }

    /// Has it come to five short lives in a row just now?
    pub(super) fn has_just_given_up(&self) -> bool {
        self.short_lives == MAX_SHORT_LIVES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// What follows failures of instances that lived so many milliseconds.
    fn after(lives: &[u64]) -> Vec<Next> {
        let mut backoff = Backoff::default();
        lives.iter().map(|lived| backoff.failed(MS(*lived))).collect()
    }

    fn delays(delays: &[u64]) -> Vec<Next> {
        delays.iter().map(|delay| Next::StartAfter(MS(*delay))).collect()
    }

    #[test]
    fn delays_double_up_to_ten_seconds() {
        let expected = [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        assert_eq!(after(&[1000; 10]), delays(&expected));
        assert_eq!(after(&[9999; 10]), delays(&expected));
    }

    #[test]
    fn a_good_life_begins_anew() {
        assert_eq!(after(&[2000, 2000, 2000, 10_000, 2000, 2000]), delays(&[0, 100, 200, 0, 100, 200]));
    }

    #[test]
    fn five_short_lives_in_a_row_are_the_end() {
        let mut expected = delays(&[0, 100, 200, 400]);
        expected.push(Next::GiveUp);
        assert_eq!(after(&[999; 5]), expected);
        assert_eq!(after(&[0; 5]), expected);
        // One that lived longer stands between them.
        assert_eq!(after(&[0, 0, 0, 0, 1000, 0, 0, 0]), delays(&[0, 100, 200, 400, 800, 1600, 3200, 6400]));
    }
}
