//! wasock: the socket host for WebAssembly servers on Wasmtime.

mod abi;
pub mod error;
pub mod observe;
mod process;
