//! The same for every other kind of socket: datagrams over a network, and whatever has a
//! name or was born as a pair.

mod call;
mod proof;
mod state;

use crate::{text, verdict};
use call::CALLS;
use state::{STATES, World};
use wasix::ends::Kind;

/// Every call in every state that sockets of this kind have.
pub fn tell(kind: Kind) {
    let world = World::of(kind);
    for state in STATES.iter().filter(|state| (state.is_of)(kind)) {
        for call in CALLS {
            let subject = (state.make)(&world);
            let outcome = (call.make)(&world, &subject);
            let after = if outcome.is_err() || call.only_asks {
                verdict("unchanged", (state.proof)(&world, &subject, &text(&outcome)))
            } else if call.name == "listen" {
                verdict("serves", proof::serves(&world, &subject))
            } else {
                String::new()
            };
            println!("{} {} {}{after}", state.name, call.name, text(&outcome));
            drop(subject);
            world.forget_clients();
        }
    }
}
