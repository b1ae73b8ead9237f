//! Adding wasock to a linker, loading a module and running it.

mod ctx;
mod link;
mod stub;
#[cfg(test)]
mod tests;

pub use ctx::WasockCtx;
pub use link::{GuestMemoryHandle, add_to_linker_async, add_to_linker_sync};
pub use stub::link_unknown_imports;
