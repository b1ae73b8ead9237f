//! Building a guest's context, linking it, loading a module and running it.
//!
//! An embedder takes as much of it as it likes: [`WasockCtx::builder`] and
//! [`add_to_linker`] are enough for a store of one's own; [`Guest`] does the rest.

mod asyncify;
mod backtrace;
mod builder;
mod call_mode;
#[cfg(feature = "components")]
mod component;
mod connection_options;
mod copyable;
mod ctx;
mod deliver;
mod epoch;
mod epoch_interrupt;
mod family;
mod guest_memory;
mod handle;
mod handlers;
mod idle;
pub mod inspect;
mod interrupt;
mod kept;
mod limiter;
mod limits;
mod link;
mod linked;
mod live_instances;
mod load;
mod on_trap;
mod outcome;
mod own_memory;
mod per_connection;
mod pool;
mod restart;
mod run;
mod service;
mod shared_memories;
mod signal;
mod snapshot;
mod steps;
mod stub;
mod supervision;
mod supervisor;
mod template;
#[cfg(test)]
mod tests;
mod threads;
mod unwinder;
mod uptime;
mod wall_clock;

pub use builder::{BuildError, WasockCtxBuilder};
#[cfg(feature = "components")]
pub use component::{ComponentInstance, Repeated, WasockCtxView, WasockView, add_to_component_linker};
pub use ctx::WasockCtx;
pub use deliver::{deliver_events, deliver_events_blocking};
pub use epoch::Epochs;
pub use handle::Handle;
pub use link::{add_to_linker, add_to_linker_blocking, add_to_linker_on_own_thread};
pub use load::{Compile, Guest, LoadError, Loader};
pub use on_trap::OnTrap;
pub use outcome::Ended;
pub use per_connection::{ConnectionInstances, OneConnection};
pub use pool::NoPool;
pub use service::Service;
pub use stub::{MissingImports, link_unknown_imports};
pub use supervision::{ReloadError, ReloadMode, Restart};
pub use supervisor::ServiceBuilder;
