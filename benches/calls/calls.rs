//! What one call of a guest costs: `cargo bench --manifest-path benches/calls/Cargo.toml`.
//!
//! Each case is a loop in a guest, once with each kind of memory. Those called `sync` and
//! `async` ask the kernel for nothing; those called `system` do, and cost what it takes.

#[path = "../support/mod.rs"]
mod support;

use std::time::Instant;

use criterion::Criterion;
use support::{CASES, Guest, SETUPS};

fn main() -> wasmtime::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    for setup in SETUPS {
        let mut guest = Guest::new(setup)?;
        let mut group = criterion.benchmark_group(setup.name());
        for (place, case) in CASES.iter().enumerate() {
            // So that a case that does not work says so.
            guest.run(place, 100)?;
            group.bench_function(case.label(), |bencher| {
                bencher.iter_custom(|times| {
                    let begun = Instant::now();
                    if let Err(error) = guest.run(place, times) {
                        eprintln!("{}: {error:?}", case.name);
                        std::process::exit(1);
                    }
                    begun.elapsed()
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}
