//! `socket_states FULL`: every call on a TCP socket in every state, a line each.
//! `socket_states KIND`: the same for another kind of socket.
//!
//! FULL is the address of a listener whose queue is full, so that an attempt to
//! connect to it is in progress. The line `make room` asks for space there.
//!
//! A line says `STATE CALL OUTCOME`. Where the call failed, or only asked, the
//! socket is used afterwards: `unchanged` says that it is as good as before. One that
//! came to listen `serves`.
//! Compiled natively, the program tells the same of the kernel.

mod call;
#[cfg(target_os = "wasi")]
mod kind;
mod proof;
mod state;

use call::CALLS;
use state::{STATES, Subject, World};
use wasix::errno::EINPROGRESS;

fn main() {
    let argument = std::env::args().nth(1).expect("a kind, or the address of a full listener");
    #[cfg(target_os = "wasi")]
    if let Some(kind) = wasix::ends::Kind::named(&argument) {
        return kind::tell(kind);
    }
    let world = World::around(argument.parse().expect("an address"));
    for state in STATES {
        if state.name == "connecting" {
            connecting(&world, &state.make);
            continue;
        }
        for call in CALLS {
            let subject = (state.make)(&world);
            let outcome = (call.make)(&world, &subject);
            let after = if outcome == Err(EINPROGRESS) {
                verdict("arrives", proof::arrives(&world, &subject))
            } else if outcome.is_err() || call.only_asks {
                verdict("unchanged", (state.proof)(&world, &subject, &text(&outcome)))
            } else if call.name == "listen" {
                verdict("serves", proof::serves(subject.fd))
            } else {
                String::new()
            };
            println!("{} {} {}{after}", state.name, call.name, text(&outcome));
            drop(subject);
            world.forget_clients();
        }
    }
}

/// The attempts are made together, for together they arrive: a kernel tries again
/// once in a second.
fn connecting(world: &World, make: &fn(&World) -> Subject) {
    let mut waiting = Vec::new();
    for call in CALLS {
        let subject = make(world);
        let outcome = (call.make)(world, &subject);
        let is_to_be_proved = outcome.is_err() || call.only_asks;
        let proof = is_to_be_proved.then(|| proof::still_connecting(world, &subject));
        waiting.push((call.name, outcome, proof, subject));
    }
    println!("make room");
    for (call, outcome, proof, subject) in waiting {
        let after = proof.map_or(String::new(), |still| {
            verdict("unchanged", still.and_then(|()| proof::arrives_at_full(world, &subject)))
        });
        println!("connecting {call} {}{after}", text(&outcome));
    }
}

fn text(outcome: &wasix::Result<&'static str>) -> String {
    match outcome {
        Ok(done) => (*done).to_owned(),
        Err(errno) => errno.name().to_owned(),
    }
}

fn verdict(good: &str, proof: proof::Proof) -> String {
    match proof {
        Ok(()) => format!(" {good}"),
        Err(why) => format!(" changed: {why}"),
    }
}
