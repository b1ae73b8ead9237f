//! Components: what their imports are served by, and how they are run.
//!
//! A component is a guest as a module is: a [`WasockCtx`](super::WasockCtx) made by the same builder, with one
//! [`Process`](crate::process::Process). Its store holds that and, besides, what `wasmtime_wasi` needs to
//! serve everything but sockets (`data.rs`). Where it runs and how it ends is as for modules.

mod data;
mod fit;
mod instance;
mod link;
mod run;
mod settings;
mod stdio;
#[cfg(test)]
mod tests;
mod thread;
mod view;

pub(super) use fit::mismatch;
pub use instance::{ComponentInstance, Repeated};
pub(super) use run::run_component;
pub use view::{WasockCtxView, WasockView, add_to_component_linker};
