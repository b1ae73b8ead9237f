//! What the store of a component holds.

use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p3::bindings::filesystem::preopens as preopens3;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::super::WasockCtx;
use super::settings::{directories_of, wasi_of};
use super::view::{WasockCtxView, WasockView};

/// How many resources one descriptor may take: a socket, its streams, and what each of them is polled by.
pub(super) const RESOURCES_PER_DESCRIPTOR: usize = 8;

/// How many there may be besides: timers, standard streams. Files are not counted as descriptors, and have to do
/// with all of these.
const OTHER_RESOURCES: usize = 1024;

/// The data of a store that [`Guest::run`](super::super::Guest::run) makes for a component.
pub(super) struct Data {
    /// The sockets, the policy, the limits: what a module has.
    pub(super) ctx: WasockCtx,
    /// The rest of WASI, made of the same settings. Its own sockets are denied, and not linked.
    wasi: WasiCtx,
    table: ResourceTable,
    /// The granted directories, and their names.
    directories: Vec<(Descriptor, String)>,
}

impl Data {
    /// What the store of the guest of `ctx` holds.
    ///
    /// # Errors
    ///
    /// Where the host has no descriptors for it.
    pub(super) fn new(ctx: WasockCtx) -> wasmtime::Result<Self> {
        let process = Arc::clone(ctx.thread.process());
        let directories = directories_of(&process)?;
        let mut table = ResourceTable::new();
        let descriptors = usize::try_from(process.service().limits().max_fds).unwrap_or(usize::MAX);
        table.set_max_capacity(
            descriptors.saturating_mul(RESOURCES_PER_DESCRIPTOR).saturating_add(OTHER_RESOURCES),
        );
        Ok(Self { ctx, wasi: wasi_of(&process), table, directories })
    }

    /// The granted directories. `wasmtime_wasi` has only those that it opened by a path itself.
    fn give_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let mut given = Vec::new();
        for (directory, name) in &self.directories {
            given.push((self.table.push(directory.clone())?, name.clone()));
        }
        Ok(given)
    }
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

impl preopens::Host for Data {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.give_directories()
    }
}

impl preopens3::Host for Data {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.give_directories()
    }
}
