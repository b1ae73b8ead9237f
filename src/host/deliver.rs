//! Events for a guest that does not wait: the host accepts, watches, and calls.

mod event_loop;
mod interest_list;

use std::sync::Arc;

use wasmtime::{Instance, Store};

use super::WasockCtx;
use super::call_mode::CallMode;
use super::outcome::{Ended, ended};
use crate::io::block_on;

pub(super) use event_loop::EventLoop;

/// Calls the handlers of a guest whose start has returned, until nothing can happen
/// any more.
///
/// This is the contract of a server without an accept loop. The module exports one or
/// more of
///
/// | export | called |
/// |---|---|
/// | `wasock_on_listen(fd: i32, errno: i32)` | for each `sock_listen`: 0, or the WASI number of why it failed |
/// | `wasock_on_accept(listener: i32, fd: i32)` | for each connection, which is the guest's from then on |
/// | `wasock_on_readable(fd: i32)` | when a connection has something to read |
/// | `wasock_on_closed(fd: i32)` | once, when the peer has ended a connection or it broke |
///
/// none of which has a result. Its start (`_start`, or `_initialize` in a module without
/// one) opens listeners and connections as any program does, and returns: from then on the host
/// calls. [`Guest::run`](super::Guest::run) does all of this by itself.
///
/// # What a handler may do
///
/// Everything: read, write, listen, connect, close, wait. There is one thread, so while
/// a handler runs no other one does; what happens meanwhile is delivered afterwards. A call that waits
/// delays all clients; a server of many clients has its descriptors nonblocking. `proc_exit`
/// ends the guest, as anywhere.
///
/// # The rules
///
/// * A `sock_listen` is reported before any connection of that listener, those of the start
///   first, in their order. (Of more than 4096 between two rounds the rest is not reported.)
/// * Every listening socket is accepted for, if there is a `wasock_on_accept`: those of the
///   start, those that a handler opens, and those that are another's duplicate, once. The
///   policy is asked for each peer, as in `sock_accept`. A new descriptor blocks.
/// * Sockets are served in the order in which they changed; a listener delivers one
///   connection a round. The backlog plays no role but that of `sock_listen`.
/// * With a full descriptor table, with as many connections as there may be, or on a host
///   without descriptors, no connection is taken: it waits in its queue, and is accepted when
///   that is possible again.
/// * Every connection is watched, accepted or made by the guest itself, if there is a handler
///   for it. `wasock_on_readable` is called again when more has arrived since, or
///   when the handler read some and left some. A handler that reads nothing is not called
///   for the same bytes again.
/// * `wasock_on_closed` comes after what the peer sent was read, or left unread by the
///   handler. It is called for a reset, for an attempt to connect that failed after
///   `EINPROGRESS`, and for a direction that the guest itself shut down. No read is needed
///   for it. The descriptor remains open until the guest closes it.
/// * Without `wasock_on_closed`, the end of a connection is something to read, once: a read
///   returns 0 bytes, or the error.
/// * What the guest closes itself is no longer reported.
/// * A duplicate is the same connection: it is reported once, by the number that the guest
///   has had longest.
///
/// ```no_run
/// # async fn serve(
/// #     mut store: wasmtime::Store<wasock::WasockCtx>,
/// #     linker: wasmtime::Linker<wasock::WasockCtx>,
/// #     module: wasmtime::Module,
/// # ) -> wasmtime::Result<()> {
/// store.data_mut().adapt_to(&module);
/// let instance = linker.instantiate_async(&mut store, &module).await?;
/// let start = instance.get_typed_func::<(), ()>(&mut store, "_initialize")?;
/// start.call_async(&mut store, ()).await?;
/// let ended = wasock::deliver_events(&mut store, &instance, |ctx| ctx).await?;
/// println!("it ended with code {}", ended.code);
/// # Ok(())
/// # }
/// ```
///
/// # The end
///
/// Ends with code 0 when nothing can happen any more: no listener is left, and no
/// connection that a handler would be called for; at once, for a module without handlers. Ends with
/// the guest's code where it called `proc_exit`.
///
/// # In a store of your own
///
/// Call it after the guest's start has returned. [`WasockCtx::adapt_to`] before that lets it report
/// a listen that failed in the start; otherwise the start's listeners are reported as they are
/// found.
///
/// # Cancel safety
///
/// Dropping the future between two handlers loses nothing: called again, it goes on, and
/// reports readable data and ended connections once more. Dropped
/// inside of a handler, it ends the guest.
///
/// # Errors
///
/// Where one of the names stands for anything but its function. A trap of a handler: the
/// connection that the handler was called for is closed, and its peer sees a reset. What
/// then becomes of the instance is the embedder's to decide; to go on with it, call this
/// again. (The operator's choice, [`OnTrap`](super::OnTrap), is for
/// [`Guest::run`](super::Guest::run), which can make a new instance.)
pub async fn deliver_events<T: Send + 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    get: impl Fn(&mut T) -> &mut WasockCtx,
) -> wasmtime::Result<Ended> {
    let process = Arc::clone(get(store.data_mut()).thread.process());
    let mut event_loop = EventLoop::new(store, instance, process, CallMode::Async)?;
    ended(event_loop.run(store).await)
}

/// As [`deliver_events`], for a store that does not run async: stops its thread until
/// the end.
///
/// # Errors
///
/// Those of [`deliver_events`], and where the host can't start its reactor.
pub fn deliver_events_blocking<T: Send + 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    get: impl Fn(&mut T) -> &mut WasockCtx,
) -> wasmtime::Result<Ended> {
    let process = Arc::clone(get(store.data_mut()).thread.process());
    block_on(async {
        let mut event_loop = EventLoop::new(store, instance, process, CallMode::Blocking)?;
        ended(event_loop.run(store).await)
    })?
}
