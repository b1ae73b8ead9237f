//! Medians, spreads and percentiles.

/// A median, and the least and the greatest of what it is the median of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Nothing where there are no values, or where one of them is no number.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        if sorted.iter().any(|value| !value.is_finite()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        // Of two in the middle, what lies between them.
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self { median: f64::midpoint(lower, upper), min, max })
    }
}

/// The median alone.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

/// The smallest value that at least so many of a thousand values do not exceed.
pub(super) fn percentile(sorted: &[u64], of_thousand: usize) -> Option<f64> {
    let place = (sorted.len() * of_thousand).div_ceil(1000).checked_sub(1)?;
    sorted.get(place).map(|value| *value as f64)
}

#[cfg(test)]
mod tests {
    use super::{Spread, median, percentile};

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([7.0]), Some(7.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn what_is_no_number_has_no_median() {
        assert_eq!(median([1.0, f64::NAN, 2.0]), None);
        assert_eq!(median([1.0, f64::INFINITY]), None);
    }

    #[test]
    fn a_spread_reaches_from_the_least_to_the_greatest() {
        assert_eq!(Spread::of([0.9, 1.1, 0.8]), Some(Spread { median: 0.9, min: 0.8, max: 1.1 }));
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 500), Some(50.0));
        assert_eq!(percentile(&hundred, 990), Some(99.0));
        assert_eq!(percentile(&hundred, 1000), Some(100.0));
        assert_eq!(percentile(&[5], 990), Some(5.0));
        assert_eq!(percentile(&[], 500), None);
    }
}
