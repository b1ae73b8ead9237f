//! Durations that are counted by how long they were.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds. An instance of a small module takes tens of microseconds, one that
/// copies a large memory some milliseconds.
const BOUNDS_US: [u64; 12] = [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// Counts durations. A duration costs two additions.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len()],
    /// Those beyond the last bound.
    longer: AtomicU64,
    sum_ns: AtomicU64,
}

/// How many durations there were, by how long they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DurationHistogram {
    /// How many were at most this long and longer than the bound before.
    pub buckets: Vec<(Duration, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long all of them together were.
    pub sum: Duration,
}

impl Histogram {
    /// Counts one.
    pub(crate) fn add(&self, duration: Duration) {
        let micros = duration.as_micros();
        let place = BOUNDS_US.iter().position(|bound| micros <= u128::from(*bound));
        let bucket = place.and_then(|place| self.buckets.get(place)).unwrap_or(&self.longer);
        bucket.fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn read(&self) -> DurationHistogram {
        let buckets: Vec<_> = BOUNDS_US
            .iter()
            .zip(&self.buckets)
            .map(|(bound, bucket)| (Duration::from_micros(*bound), bucket.load(Relaxed)))
            .collect();
        let within = buckets.iter().map(|(_, count)| *count).fold(0, u64::saturating_add);
        let count = within.saturating_add(self.longer.load(Relaxed));
        DurationHistogram { buckets, count, sum: Duration::from_nanos(self.sum_ns.load(Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_one_bucket() {
        let histogram = Histogram::default();
        for micros in [0, 25, 26, 1_000, 2_000_000] {
            histogram.add(Duration::from_micros(micros));
        }
        let read = histogram.read();
        assert_eq!((read.count, read.sum), (5, Duration::from_micros(2_001_051)));
        let filled: Vec<_> = read.buckets.iter().filter(|(_, count)| *count > 0).collect();
        let of = |micros, count| (Duration::from_micros(micros), count);
        assert_eq!(filled, [&of(25, 2), &of(50, 1), &of(1_000, 1)]);
    }
}
