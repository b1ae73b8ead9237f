//! wasock: the socket host for WebAssembly servers on Wasmtime.

pub mod abi;
pub mod cli;
pub mod error;
pub mod fd;
pub mod file;
pub mod host;
pub mod observe;
pub mod policy;
pub mod process;
pub mod ready;
pub mod socket;

pub use host::{Guest, WasockCtx, add_to_linker, add_to_linker_blocking};
