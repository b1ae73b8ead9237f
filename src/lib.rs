//! wasock: the socket host for WebAssembly servers on Wasmtime.

pub mod abi;
pub mod error;
pub mod host;
pub mod observe;
pub mod process;
pub mod ready;
