//! Limits that an operator changes while the service runs.

use super::super::service::Service;
use crate::error::ParseError;
use crate::service::limit_change;

impl Service {
    /// Changes limits while the service runs: all of these, or none. A limit has the name of its flag
    /// (`max-connections`), and `None` is as much as comes.
    ///
    /// `max-connections`, `max-connections-per-listener`, `max-connections-per-peer` and `max-backlog` can be
    /// changed. Connections that are open stay. Of each peer only those count that it has opened under a limit to
    /// peers. A reload with [settings of its own](Self::reload_with) sets what these say.
    /// [`Event::LimitChanged`](crate::Event::LimitChanged) reports each.
    ///
    /// # Errors
    ///
    /// For a limit that can't be changed, and why; for a name or a number that is none.
    pub fn set_limits(&self, wanted: &[(&str, Option<u64>)]) -> Result<(), ParseError> {
        let changes = wanted.iter().map(|(name, most)| limit_change(name, *most));
        let changes = changes.collect::<Result<Vec<_>, _>>()?;
        let (generations, live) = {
            let orders = self.supervision().orders();
            (orders.generations.clone(), orders.live.clone())
        };
        for change in changes {
            // What a generation has of it may be its own, and the next one may go on with the service's.
            self.inner().change_limit(change);
            generations.iter().for_each(|generation| generation.service.change_limit(change));
            live.iter().for_each(|handle| handle.apply_max_backlog());
            self.inner().report_change(change);
        }
        Ok(())
    }
}
