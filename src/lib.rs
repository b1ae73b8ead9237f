//! wasock: the socket host for WebAssembly servers on Wasmtime.

pub mod error;
pub mod fd;
pub mod observe;
pub mod policy;
pub mod ready;
pub mod socket;
