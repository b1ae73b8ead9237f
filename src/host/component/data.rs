//! What the store of a component holds.

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::super::WasockCtx;
use super::view::{WasockCtxView, WasockView};

/// The data of a store that [`Guest::run`](super::super::Guest::run) makes for a component.
pub(super) struct Data {
    /// The sockets, the policy, the limits: what a module has.
    pub(super) ctx: WasockCtx,
    /// The rest of WASI, made of the same settings. Its own sockets are denied, and not linked.
    pub(super) wasi: WasiCtx,
    pub(super) table: ResourceTable,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasockView for Data {
    fn wasock(&mut self) -> WasockCtxView<'_> {
        WasockCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}
