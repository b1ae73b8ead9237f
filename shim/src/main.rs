//! The containerd shim `io.containerd.wasock.v1`: each container is a process that runs one module or component by
//! wasock, as `wasock run` does.
//!
//! containerd starts this program for each container, or pod. What makes containers of processes is the crate
//! `containerd-shim-wasm`: namespaces, control groups, mounts, standard streams, signals. It forks a process for each
//! container, which calls [`sandbox`] once it is inside. A container whose entry point is a program for Linux runs as
//! such.

mod bundle;
mod front;
mod groups;
mod hooks;
mod keeper;
mod leftovers;
mod memory;
mod mounts;
mod policy;
mod precompiled;
mod program;
mod sandbox;
mod streams;

use std::process::exit;

use containerd_shim_wasm::shim::{Cli as _, Compiler, Shim, Version, version};

/// The exit code of a shim that can't answer containerd.
const FAILURE: i32 = 1;

/// What containerd calls `wasock`.
struct Wasock;

impl Shim for Wasock {
    type Sandbox = sandbox::Container;

    fn name() -> &'static str {
        "wasock"
    }

    fn version() -> Version {
        version!()
    }

    async fn compiler() -> Option<impl Compiler> {
        // Once, in the process that is the shim.
        keeper::answer();
        precompiled::layers()
    }
}

fn main() {
    let arguments: Vec<_> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    // Before there is any other process: all that is forked has it.
    precompiled::open();
    if keeper::compiles(&arguments) {
        return;
    }
    keeper::open();
    bundle::read();
    leftovers::delete(&arguments);
    if let Err(error) = front::open(&arguments) {
        eprintln!("wasock: {error:#}");
        exit(FAILURE);
    }
    Wasock::run(None);
}
