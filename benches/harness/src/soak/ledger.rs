//! The accounts: which client was lost, and what ended its connection.
//!
//! A connection that was made before a host ended is over by that, however late its client notices. One that
//! a host ended while it went on is in that host's own count, and no more clients are lost by it than that
//! says. So nothing depends on how quickly a client runs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// A client that got no answer.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// Just before its connection was made, or was to be made.
    pub(super) made: SystemTime,
    /// When it saw that there is no answer.
    pub(super) at: SystemTime,
    pub(super) how: How,
}

/// How a client was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    Refused,
    /// Its connection was reset or ended at its first request.
    Cut,
    /// A connection that it kept was reset or ended, with a request on it or between two.
    Gone,
    NoAnswer,
}

/// Something that ends connections, or refuses them.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
    /// Nobody is lost by it before.
    pub(super) from: SystemTime,
    /// Connections that are made later have nothing to do with it.
    pub(super) until: SystemTime,
    /// How many it has ended, where the host counts them.
    pub(super) most: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Refuses,
    /// Ends connections.
    Ends,
    /// Ends those on which nothing was answered yet.
    EndsWaiting,
}

impl Cause {
    fn explains(&self, loss: &Loss) -> bool {
        let is_of_kind = match self.effect {
            Effect::Refuses => loss.how == How::Refused,
            Effect::Ends => matches!(loss.how, How::Cut | How::Gone),
            Effect::EndsWaiting => loss.how == How::Cut,
        };
        is_of_kind && loss.made <= self.until && loss.at >= self.from
    }
}

/// The cause of each loss, by its place among the causes: as many losses as possible have one.
pub(super) fn settle(losses: &[Loss], causes: &[Cause]) -> Vec<Option<usize>> {
    let mut books =
        Books { losses, causes, of: vec![None; losses.len()], by: vec![Vec::new(); causes.len()] };
    for loss in 0..losses.len() {
        books.place(loss, &mut vec![false; causes.len()]);
    }
    books.of
}

struct Books<'a> {
    losses: &'a [Loss],
    causes: &'a [Cause],
    of: Vec<Option<usize>>,
    /// The losses that each cause with a count has been given.
    by: Vec<Vec<usize>>,
}

impl Books<'_> {
    /// Finds a cause for this loss; one that has as many as it may have gives one to another cause.
    fn place(&mut self, loss: usize, seen: &mut [bool]) -> bool {
        let causes = self.causes;
        let Some(lost) = self.losses.get(loss) else { return false };
        let explains = |cause: &&(usize, &Cause)| cause.1.explains(lost);
        let able: Vec<_> = causes.iter().enumerate().filter(|cause| explains(&cause)).collect();
        if let Some((free, _)) = able.iter().find(|(_, cause)| cause.most.is_none()) {
            return self.give(loss, *free);
        }
        for (number, cause) in able {
            let Some(is_seen) = seen.get_mut(number).filter(|is_seen| !**is_seen) else { continue };
            *is_seen = true;
            let given = self.by.get(number).cloned().unwrap_or_default();
            if (given.len() as u64) < cause.most.unwrap_or(u64::MAX) {
                return self.give(loss, number);
            }
            if let Some(moved) = given.into_iter().find(|other| self.place(*other, seen)) {
                if let Some(given) = self.by.get_mut(number) {
                    given.retain(|other| *other != moved);
                }
                return self.give(loss, number);
            }
        }
        false
    }

    fn give(&mut self, loss: usize, cause: usize) -> bool {
        if let Some(of) = self.of.get_mut(loss) {
            *of = Some(cause);
        }
        if let Some(by) = self.by.get_mut(cause) {
            by.push(loss);
        }
        true
    }
}

/// Says who was lost by what; returns those who were lost by nothing.
pub(super) fn report<'a>(losses: &'a [Loss], causes: &[Cause]) -> Vec<&'a Loss> {
    let settled = settle(losses, causes);
    let mut lost: BTreeMap<(&str, How), u64> = BTreeMap::new();
    let (mut unexplained, mut latest) = (Vec::new(), Duration::ZERO);
    for (loss, by) in losses.iter().zip(settled) {
        let cause = by.and_then(|number| causes.get(number));
        match cause {
            Some(cause) => latest = latest.max(loss.at.duration_since(cause.until).unwrap_or_default()),
            None => unexplained.push(loss),
        }
        *lost.entry((cause.map_or("NOTHING", |cause| cause.name), loss.how)).or_default() += 1;
    }
    lost.iter().for_each(|((by, how), count)| println!("lost by {by}: {count} {how:?}"));
    println!("noticed at the latest {latest:.1?} after its cause was over");
    unexplained
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn gone(made: u64, seen: u64) -> Loss {
        Loss { made: at(made), at: at(seen), how: How::Gone }
    }

    fn cause(from: u64, until: u64, most: Option<u64>) -> Cause {
        Cause { name: "it", effect: Effect::Ends, from: at(from), until: at(until), most }
    }

    #[test]
    fn a_client_that_notices_late_is_explained_by_the_end_of_its_host() {
        let killed = [cause(10, 11, None)];
        assert_eq!(settle(&[gone(9, 500)], &killed), [Some(0)]);
        // It was lost before, or was made at the next host.
        assert_eq!(settle(&[gone(1, 9), gone(12, 13)], &killed), [None, None]);
    }

    #[test]
    fn a_count_explains_no_more_than_it_says() {
        let counted = [cause(10, 11, Some(2))];
        let settled = settle(&[gone(9, 12), gone(9, 12), gone(9, 12)], &counted);
        assert_eq!(settled.iter().flatten().count(), 2);
    }

    #[test]
    fn what_fits_two_causes_leaves_the_one_that_another_needs() {
        let counted = [cause(10, 11, Some(1)), cause(20, 21, Some(1))];
        // The first loss fits both, and the second one only the first cause.
        assert_eq!(settle(&[gone(9, 30), gone(9, 12)], &counted), [Some(1), Some(0)]);
    }

    #[test]
    fn a_cause_explains_what_it_does_alone() {
        let refuses = Cause { effect: Effect::Refuses, ..cause(10, 11, None) };
        let waiting = Cause { effect: Effect::EndsWaiting, ..cause(10, 11, None) };
        let mut loss = gone(10, 11);
        assert_eq!(settle(std::slice::from_ref(&loss), &[refuses.clone(), waiting.clone()]), [None]);
        loss.how = How::Cut;
        assert_eq!(settle(std::slice::from_ref(&loss), &[refuses, waiting]), [Some(1)]);
        loss.how = How::NoAnswer;
        assert_eq!(settle(&[loss], &[cause(10, 11, None)]), [None]);
    }
}
