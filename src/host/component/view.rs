//! How the calls of a component find their guest in the data of a store.

use wasmtime::component::{Linker, ResourceTable};

use super::super::WasockCtx;
use super::super::load::has_async;
use crate::abi::component::{View, p2, p3};

/// What a store's data has of wasock, for [`add_to_component_linker`]: as
/// [`WasiView`](wasmtime_wasi::WasiView) has of an embedder's own `WasiCtx`.
pub trait WasockView: Send {
    /// The context of the guest, and the resources of its component.
    fn wasock(&mut self) -> WasockCtxView<'_>;
}

/// What [`WasockView`] returns.
#[derive(Debug)]
pub struct WasockCtxView<'a> {
    /// The context of the guest.
    pub ctx: &'a mut WasockCtx,
    /// The resources of its component, one table for all interfaces.
    pub table: &'a mut ResourceTable,
}

/// Adds `wasi:sockets` of WASI 0.2 to `linker`, and of 0.3 where its engine has the async functions of the component
/// model ([`Config::concurrency_support`](wasmtime::Config::concurrency_support)). It is for a store that runs
/// async.
///
/// All other interfaces are the embedder's to link: `wasmtime_wasi`'s are made for that. Its
/// functions that add all of them add sockets too, which ask no policy of wasock's: what is linked
/// here is to take their place, by [`Linker::allow_shadowing`].
///
/// # Errors
///
/// Where `linker` has one of the interfaces and does not allow shadowing.
pub fn add_to_component_linker<T: WasockView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    if has_async(linker.engine()) {
        p3::add_to_linker(linker, view::<T>)?;
    }
    p2::add_to_linker(linker, view::<T>)
}

/// Adds `wasi:sockets` to `linker`, and what wasock serves itself of what its sockets wait by: `wasi:io` and
/// `wasi:clocks/monotonic-clock`.
///
/// # Errors
///
/// As for [`add_to_component_linker`].
pub(super) fn add_all_to_linker<T: WasockView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    p2::add_to_linker(linker, whole_view::<T>)?;
    p2::add_io_to_linker(linker, whole_view::<T>)
}

/// Adds `wasi:sockets` of WASI 0.3 to `linker`.
///
/// # Errors
///
/// Where the engine has no async functions of components; as for [`add_to_component_linker`].
pub(super) fn add_p3_to_linker<T: WasockView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    p3::add_to_linker(linker, whole_view::<T>)
}

fn whole_view<T: WasockView>(data: &mut T) -> View<'_> {
    View { serves_io: true, ..view(data) }
}

fn view<T: WasockView>(data: &mut T) -> View<'_> {
    let WasockCtxView { ctx, table } = data.wasock();
    View {
        thread: &mut ctx.thread,
        state: &mut ctx.component,
        table,
        trace: ctx.trace.as_ref(),
        results: String::new(),
        serves_io: false,
    }
}
