//! What stood in the way of more: the server, the client, or the machine.

use super::machine::processors;
use super::run::Load;

/// What part of a processor counts as all of it: the clocks are coarse, and a process
/// begins and ends.
const ALL: f64 = 0.92;

/// What others may use of the machine before a figure is in doubt.
const DISTURBED: f64 = 0.25;

/// What was busy in these runs, in a word or two.
pub(super) fn limit(load: Load) -> String {
    limit_of(load, processors())
}

fn limit_of(load: Load, processors: f64) -> String {
    // Every client here has one thread. A server may have more; one that uses a whole
    // processor has none to wait with, or enough.
    let by = match (load.client >= ALL, load.server >= ALL) {
        (true, true) => "client and server",
        (true, false) => "CLIENT",
        (false, true) => "server",
        (false, false) if load.machine >= ALL * processors => "machine",
        (false, false) => "waiting",
    };
    by.to_owned()
}

/// How many processors other programs used.
pub(super) fn others(load: Load) -> f64 {
    (load.machine - load.client - load.server).max(0.0)
}

/// Whether others used enough to put the figure in doubt.
pub(super) fn is_disturbed(load: Load) -> bool {
    others(load) > DISTURBED
}

#[cfg(test)]
mod tests {
    use super::{Load, is_disturbed, limit_of};

    #[test]
    fn who_is_the_limit() {
        let limit = |client, server, machine| limit_of(Load { client, server, machine }, 2.0);
        assert_eq!(limit(0.5, 0.99, 1.6), "server");
        assert_eq!(limit(0.99, 0.5, 1.6), "CLIENT");
        assert_eq!(limit(0.99, 0.99, 2.0), "client and server");
        assert_eq!(limit(0.8, 0.8, 2.0), "machine");
        assert_eq!(limit(0.4, 0.4, 0.9), "waiting");
    }

    #[test]
    fn others_disturb() {
        assert!(is_disturbed(Load { client: 0.5, server: 0.5, machine: 1.5 }));
        assert!(!is_disturbed(Load { client: 0.9, server: 0.9, machine: 1.9 }));
    }
}
