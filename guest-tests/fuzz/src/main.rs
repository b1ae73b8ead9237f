//! Makes guests that call every function of every dialect, and components that call all of
//! `wasi:sockets`, with arguments biased to small descriptors, valid pointers and edges, and
//! looks for panics, hangs, leaks and ends of no known kind. `cargo xtask fuzz` runs it; docs/testing.md has the manual.
//!
//! Everything happens on loopback and below one folder, in this process. A guest is made
//! whole from the seed and its index ([`case`], [`component`]); [`run`] runs it, [`shrink`] makes
//! a short module of one that went wrong.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "the values are the fuzzer's own, and a panic of its own is a failed run"
)]

mod arguments;
mod case;
mod component;
mod coverage;
mod generate;
mod guest;
mod jobs;
mod layout;
mod module;
mod op;
mod options;
mod peers;
mod random;
mod run;
mod sequences;
mod shrink;
mod text;
mod watch;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let done =
        Options::read(std::env::args().skip(1)).and_then(|options| match (options.guest, &options.keep) {
            (Some(guest), None) => shrink::reproduce(&options, guest),
            (Some(guest), Some(keep)) => shrink::run_kept(&options, guest, keep),
            (None, _) => jobs::run(&options),
        });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
