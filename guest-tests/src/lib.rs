//! The guest programs of the tests, and what runs them.
//!
//! The build script compiles `programs/` and gives each program a constant with
//! the path of its module: [`HTTP_SERVER`] and so on. [`Wasock`] runs one under
//! the command line and watches what it says. On Linux some are compiled for this
//! machine too: [`native`] has their paths.

mod client;
mod held;
mod http;
mod launch;
mod wasock;

pub use client::{Attempt, Client, Silent, is_refused, is_refused_from, let_packets_pass};
pub use held::Held;
pub use http::{HttpClient, Response};
pub use wasock::{Finished, Running, Wasock};

include!(concat!(env!("OUT_DIR"), "/programs.rs"));
