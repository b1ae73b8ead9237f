//! Components: `wasi:sockets` on the calls of `process`.
//!
//! The bindings of a version of WASI are in its folder, which alone names what `bindgen!` made of the
//! WIT text.
//!
//! # What a call acts on
//!
//! A [`View`]: the thread of the guest, by which a call has the descriptors, the policy, the limits and the
//! observer as the calls of every dialect have them, and the resources of the component.
//!
//! # A socket is a descriptor
//!
//! A resource of a socket stands for a number of the process's descriptor table. So the limits
//! (`--max-fds`, connections, what the host holds), events, retirement, drains, idle timeouts and metrics
//! count what a component has open as they count what a module has, and the number is the `fd` in events and in
//! the trace. The resource keeps the socket itself besides, so that a call need not look it up. The
//! descriptor is closed with the last resource that stands for it, in whatever order a guest drops the
//! socket and its streams.
//!
//! # Waiting
//!
//! A call that waits is an async function, whose future is dropped at the end of the guest. All others do what
//! they can at once, and are none. A guest that the host runs has a thread of its own, which parks at
//! what the future waits for, or drives what its many futures wait for.

mod address;
mod calls;
mod code;
mod connection;
mod descriptor;
mod failure;
mod interfaces;
mod name;
mod option;
mod outline;
#[expect(unreachable_pub, reason = "the bindings name them with `pub`")]
pub(crate) mod p2;
#[expect(unreachable_pub, reason = "as in `p2`")]
pub(crate) mod p3;
mod remainder;
mod tcp;
mod trace;
mod udp;

#[cfg(test)]
pub(crate) use interfaces::all as all_interfaces;
pub(crate) use outline::needs_async;
pub use outline::{CommandVersion, ComponentImport, ComponentKind, Outline};

use std::sync::Arc;

use wasmtime::component::{HasData, ResourceTable};

use code::Code;

use crate::observe::TraceSink;
use crate::process::Thread;

/// What the calls of a component act on, for one call.
pub(crate) struct View<'a> {
    /// The guest.
    pub(crate) thread: &'a mut Thread,
    /// What the calls keep for it between calls.
    pub(crate) state: &'a mut State,
    /// The resources of the component, those of other interfaces too.
    pub(crate) table: &'a mut ResourceTable,
    /// Where the call trace goes.
    pub(crate) trace: Option<&'a Arc<TraceSink>>,
    /// What the trace says of the call that is made now besides its outcome.
    pub(crate) results: String,
    /// Does wasock serve `wasi:io` too, and not the embedder? See [`p2`].
    pub(crate) serves_io: bool,
}

/// What the calls of one component keep between calls.
#[derive(Default)]
pub(crate) struct State {
    /// What its waits keep.
    waiting: p2::Waiting,
    /// Where its reads find what has come.
    reading: connection::ReadBuffer,
    /// Where a datagram is received, once one was.
    datagram: Vec<u8>,
}

/// Names [`View`] to the bindings: the traits of a host are implemented for the view.
pub(crate) struct Sockets;

impl HasData for Sockets {
    type Data<'a> = View<'a>;
}

/// Finds the view in the data of a store.
pub(crate) type Getter<T> = for<'a> fn(&'a mut T) -> View<'a>;
