//! wasock: the socket host for WebAssembly servers on Wasmtime.

mod abi;
pub mod error;
pub mod fd;
pub mod file;
pub mod observe;
pub mod policy;
pub mod process;
pub mod ready;
pub mod socket;
