//! Makes the calls of every case, for `cargo xtask bench --instructions`, which counts
//! what the processor does meanwhile.
//!
//! `instructions` lists the cases, a memory and a label a line. `instructions run` makes
//! their calls in that order, under callgrind: it writes its counters down and begins
//! anew whenever [`between`] is called. That is three times for each case, with [`FEW`]
//! and with [`MANY`] calls in between.

#[path = "support/component.rs"]
mod component;
mod support;

use std::env;

use component::{ComponentGuest, ENGINES};
use support::{CASES, Case, Guest, SETUPS};
use wasmtime::Result;

/// How many calls there are in the two stretches of a case. What they differ by is free of
/// what a stretch costs by itself.
const FEW: u64 = 500;
const MANY: u64 = 1500;

/// After so many calls everything is as it will be.
const WARM_UP: u64 = 100;

fn main() -> Result<()> {
    // Cargo adds `--bench`, which says nothing here.
    let is_run = env::args().skip(1).any(|argument| argument == "run");
    for setup in SETUPS {
        if !is_run {
            CASES.iter().map(Case::label).for_each(|label| println!("{} {label}", setup.name()));
            continue;
        }
        let mut guest = Guest::new(setup)?;
        measure(CASES.len(), |case, times| guest.run(case, times))?;
    }
    for (name, has_async) in ENGINES {
        if !is_run {
            component::CASES.iter().for_each(|case| println!("{name} {}", case.label));
            continue;
        }
        let mut guest = ComponentGuest::new(has_async)?;
        measure(component::CASES.len(), |case, times| guest.run(case, times))?;
    }
    Ok(())
}

/// Makes the calls of so many cases.
fn measure(cases: usize, mut run: impl FnMut(usize, u64) -> Result<()>) -> Result<()> {
    for case in 0..cases {
        run(case, WARM_UP)?;
        between();
        run(case, FEW)?;
        between();
        run(case, MANY)?;
        between();
    }
    Ok(())
}

/// Has a name that callgrind finds.
#[inline(never)]
fn between() {
    std::hint::black_box(between as fn());
}
