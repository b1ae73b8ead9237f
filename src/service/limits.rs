//! Limits that an operator changes while guests run.

use super::ServiceState;
use crate::error::ParseError;
use crate::observe::{Event, Limit};

/// A limit, and what it is to allow; `None` is as much as comes.
pub(crate) type Change = (Limit, Option<u32>);

/// Why the others stay as they are.
const FIXED: [(&str, &str); 13] = [
    ("max-memory", "the memories of an instance are made with it"),
    ("max-stack", "the threads of an instance are made with it"),
    ("max-threads", OF_INSTANCE),
    ("max-processes", OF_INSTANCE),
    ("max-fds", OF_INSTANCE),
    ("max-host-memory", OF_INSTANCE),
    ("max-socket-buffer", OF_INSTANCE),
    ("max-cpu-time", OF_INSTANCE),
    ("timeout", OF_INSTANCE),
    ("handler-timeout", OF_INSTANCE),
    ("idle-timeout", OF_INSTANCE),
    ("accept-rate", OF_INSTANCE),
    ("max-instances", "the service is made with it"),
];

const OF_INSTANCE: &str = "an instance has it from its start on, and a reload gives the next ones another";

/// Reads the name of a limit and what it is to allow.
///
/// # Errors
///
/// For a name that is none, a limit that can't be changed, and a number that is none for it.
pub(crate) fn change(name: &str, most: Option<u64>) -> Result<Change, ParseError> {
    let changeable = || Limit::ALL.into_iter().filter(|limit| limit.is_changeable());
    let Some(limit) = changeable().find(|limit| limit.name() == name) else {
        return Err(ParseError::new(match FIXED.iter().find(|(fixed, _)| *fixed == name) {
            Some((_, why)) => format!("{name} can't be changed while the service runs: {why}"),
            None => {
                let names: Vec<_> = changeable().map(Limit::name).collect();
                format!("{name} is no limit that can be changed; those are {}", names.join(", "))
            }
        }));
    };
    match (limit, most) {
        (Limit::Backlog, None) => Err(ParseError::new("max-backlog needs a number")),
        (_, None) => Ok((limit, None)),
        (Limit::Backlog, Some(most)) | (_, Some(most @ 1..)) => match u32::try_from(most) {
            Ok(most) => Ok((limit, Some(most))),
            Err(_) => Err(ParseError::new(format!("{name}: expected a number up to {}", u32::MAX))),
        },
        (_, Some(0)) => Err(ParseError::new(format!("{name}: expected a number from 1 on, or none"))),
    }
}

impl ServiceState {
    /// Allows something else from now on. Connections that are open stay.
    pub(crate) fn change_limit(&self, (limit, most): Change) {
        if let (Limit::Backlog, Some(most)) = (limit, most) {
            self.set_max_backlog(most);
        }
        if let Some(limiter) = &self.config.connection_limiter {
            limiter.change(|limits| match limit {
                Limit::Connections => limits.in_all = most,
                Limit::ConnectionsPerListener => limits.per_listener = most,
                Limit::ConnectionsPerPeer => limits.per_peer = most,
                _ => {}
            });
        }
    }

    /// Reports that a limit was changed.
    pub(crate) fn report_change(&self, (limit, most): Change) {
        self.report().tell(Event::LimitChanged { limit, most });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_changed_is_said_by_name() {
        assert_eq!(change("max-connections", Some(5)), Ok((Limit::Connections, Some(5))));
        assert_eq!(change("max-connections-per-peer", None), Ok((Limit::ConnectionsPerPeer, None)));
        assert_eq!(change("max-backlog", Some(0)), Ok((Limit::Backlog, Some(0))));
        for (name, most, why) in [
            ("max-memory", Some(1), "the memories of an instance are made with it"),
            ("max-fds", Some(1), "a reload gives the next ones another"),
            ("max-connections", Some(0), "from 1 on"),
            ("max-connections", Some(1 << 40), "up to 4294967295"),
            ("max-backlog", None, "needs a number"),
            ("max-everything", Some(1), "those are max-connections, "),
        ] {
            let refused = change(name, most);
            assert!(
                refused.as_ref().is_err_and(|error| error.to_string().contains(why)),
                "{name}: {refused:?}"
            );
        }
    }
}
