//! The shim under a real containerd: images, containers, clients, signals, and what is left.
//!
//! Each test has a containerd of its own ([`host::Host`]), with its files in a folder of its own and its containers in a
//! namespace of its own. That takes root, and the programs that [`host::PROGRAMS`] lists; where they are missing a
//! test says so and is passed over, unless `WASOCK_TEST_KUBERNETES` is set, as `cargo xtask test --kubernetes` does.

mod artifacts;
mod bench;
mod cri;
mod ends;
mod front;
mod hooks;
mod host;
mod image;
mod kept;
mod left;
mod many;
mod mistakes;
mod network;
mod page;
mod policy;
mod programs;
mod run;
mod runs;
mod update;
