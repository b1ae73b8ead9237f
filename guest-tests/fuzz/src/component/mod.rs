//! Components that call everything that wasock itself serves of WASI 0.2: `wasi:sockets`, `wasi:io`, the clock.
//!
//! As with modules, one interpreter ([`text`]) makes the calls that it finds in its memory. A trap ends a component,
//! so most operations are none that may trap, a guest is short, and there are many of them.

mod case;
mod coverage;
mod generate;
mod layout;
mod op;
mod run;
mod table;
mod text;

pub(crate) use case::Case;
pub(crate) use coverage::Coverage;
pub(crate) use run::{Interpreter, run};
