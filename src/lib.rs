//! wasock: the socket host for WebAssembly servers on Wasmtime.

pub mod error;
pub mod file;
pub mod observe;
