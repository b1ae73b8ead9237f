//! How a cost grows with the number of connections or of descriptors.

use super::goal::Goal;
use super::measure::Row;
use super::report::{mark, ratio_text};
use super::stats::Spread;

/// The growth between the smallest and the largest of a series.
pub(super) struct Growth {
    name: &'static str,
    sizes: (usize, usize),
    /// How many times as long it takes: the guest's and the twin's, a pair for each round.
    pairs: Vec<(f64, f64)>,
}

/// "No faster than the twin's", give or take what two runs of one program differ by.
const GOAL: Goal = Goal::RatioAtMost(1.05);

impl Growth {
    /// That of each series among the rows.
    pub(super) fn of(rows: &[Row]) -> Vec<Self> {
        let mut names: Vec<&'static str> = rows.iter().filter_map(|row| Some(row.series?.0)).collect();
        names.dedup();
        names.into_iter().filter_map(|name| Self::of_series(rows, name)).collect()
    }

    fn of_series(rows: &[Row], name: &'static str) -> Option<Self> {
        let mut series: Vec<(usize, &Row)> = rows
            .iter()
            .filter_map(|row| row.series.filter(|(of, _)| *of == name).map(|(_, size)| (size, row)))
            .collect();
        series.sort_by_key(|(size, _)| *size);
        let ((small, least), (large, most)) = (series.first()?, series.last()?);
        let rounds = least.pairs.iter().zip(&most.pairs);
        let pairs = rounds.map(|(least, most)| (most.0 / least.0, most.1 / least.1)).collect();
        (small < large).then_some(Self { name, sizes: (*small, *large), pairs })
    }

    pub(super) fn line(&self) -> String {
        let guest = Spread::of(self.pairs.iter().map(|pair| pair.0));
        let twin = Spread::of(self.pairs.iter().map(|pair| pair.1));
        let ratio = Spread::of(self.pairs.iter().map(|pair| pair.0 / pair.1));
        let (Some(guest), Some(twin), Some(ratio)) = (guest, twin, ratio) else {
            return format!("| {} | no figure | | | | |\n", self.name);
        };
        let (from, to) = self.sizes;
        format!(
            "| {}, {from} to {to} | {:.2} x | {:.2} x | {} | {} | {} |\n",
            self.name,
            guest.median,
            twin.median,
            ratio_text(ratio),
            GOAL.text(""),
            mark(GOAL.is_reached(guest, Some(ratio))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Growth, Row};

    #[test]
    fn from_the_smallest_to_the_largest() {
        let row = |size, guest, twin| Row {
            what: String::new(),
            unit: "us",
            goal: Goal::None,
            pairs: vec![(guest, twin)],
            loads: None,
            is_first: true,
            series: Some(("polled", size)),
        };
        let rows = [row(8, 10.0, 10.0), row(4096, 40.0, 50.0), row(64, 11.0, 11.0)];
        let growth = Growth::of(&rows);
        let lines: Vec<String> = growth.iter().map(Growth::line).collect();
        assert_eq!(
            lines,
            ["| polled, 8 to 4096 | 4.00 x | 5.00 x | 0.80 (0.80..0.80) | at most 1.05 | reached |\n"]
        );
    }
}
