//! What a figure shall reach.

use super::stats::Spread;

/// What a figure shall reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    None,
    /// Guest by twin, where more is better.
    RatioAtLeast(f64),
    /// Guest by twin, where less is better.
    RatioAtMost(f64),
    /// The guest's own figure, in the unit of the row.
    GuestAtMost(f64),
}

impl Goal {
    /// The goal in words.
    pub(super) fn text(self, unit: &str) -> String {
        match self {
            Self::None => String::new(),
            Self::RatioAtLeast(ratio) => format!("at least {ratio:.2}"),
            Self::RatioAtMost(ratio) => format!("at most {ratio:.2}"),
            Self::GuestAtMost(most) => format!("at most {most} {unit}"),
        }
    }

    /// Whether the medians reach it; nothing where there is no goal.
    pub(super) fn is_reached(self, guest: Spread, ratio: Option<Spread>) -> Option<bool> {
        match self {
            Self::None => None,
            Self::RatioAtLeast(least) => Some(ratio.is_some_and(|ratio| ratio.median >= least)),
            Self::RatioAtMost(most) => Some(ratio.is_some_and(|ratio| ratio.median <= most)),
            Self::GuestAtMost(most) => Some(guest.median <= most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Spread};

    fn exactly(value: f64) -> Spread {
        Spread { median: value, min: value, max: value }
    }

    #[test]
    fn a_goal_is_reached_at_its_edge() {
        let reached = |goal: Goal, guest, ratio| goal.is_reached(exactly(guest), Some(exactly(ratio)));
        assert_eq!(reached(Goal::RatioAtLeast(0.9), 1.0, 0.9), Some(true));
        assert_eq!(reached(Goal::RatioAtLeast(0.9), 1.0, 0.89), Some(false));
        assert_eq!(reached(Goal::RatioAtMost(1.25), 1.0, 1.25), Some(true));
        assert_eq!(reached(Goal::RatioAtMost(1.25), 1.0, 1.26), Some(false));
        assert_eq!(reached(Goal::GuestAtMost(30.0), 30.0, 9.0), Some(true));
        assert_eq!(reached(Goal::GuestAtMost(30.0), 31.0, 9.0), Some(false));
        assert_eq!(reached(Goal::None, 1.0, 1.0), None);
    }
}
