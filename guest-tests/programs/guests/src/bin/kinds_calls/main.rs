//! `kinds_calls KIND...`: every call that takes a socket, on these kinds of socket; a line
//! each. Needs `/run`, and grants for all in it.
//!
//! A line says `KIND CALL OUTCOME`: an errno, or `works` where the call did what it is for,
//! or what it did instead.

mod descriptor;
mod socket;
mod way;

use wasix::kind::Kind;
use way::{Call, Trouble};

fn main() {
    let calls: Vec<&Call> = socket::CALLS.iter().chain(descriptor::CALLS).collect();
    for name in std::env::args().skip(1) {
        let kind = Kind::named(&name);
        for call in &calls {
            let outcome = match (call.make)(kind) {
                Ok(()) => "works".to_owned(),
                Err(Trouble::Errno(errno)) => errno.name().to_owned(),
                Err(Trouble::Wrong(what)) => format!("wrong: {what}"),
            };
            println!("{name} {} {outcome}", call.name);
        }
    }
}
