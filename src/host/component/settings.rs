//! What the operator chose, as `wasmtime_wasi` takes it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use rand_core::TryRng;
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::{FsPerms, HostMonotonicClock, HostWallClock, OpenMode, WasiCtx};

use super::stdio::{Stdin, Stdout};
use crate::file::Access;
use crate::process::{Output, Process};

/// The context of everything but sockets and the granted directories.
pub(super) fn wasi_of(process: &Arc<Process>) -> WasiCtx {
    let settings = process.settings();
    let given = || Given(Arc::clone(process));
    let output = |stream: &Arc<Output>| Stdout(Arc::clone(stream), Arc::clone(process.host_memory()));
    let mut builder = WasiCtx::builder();
    process.with_arguments(|arguments| _ = builder.args(arguments));
    process.with_environment(|variables| {
        let pairs: Vec<_> = variables.iter().map(|it| it.split_once('=').unwrap_or((it, ""))).collect();
        builder.envs(&pairs);
    });
    if settings.working_directory != "/" {
        builder.initial_cwd(&settings.working_directory);
    }
    builder
        .stdin(Stdin(Arc::clone(&settings.stdin)))
        .stdout(output(&settings.stdout))
        .stderr(output(&settings.stderr))
        .wall_clock(given())
        .monotonic_clock(given())
        .secure_random(given())
        .insecure_random(given())
        .insecure_random_seed(given().seed())
        .allow_blocking_current_thread(settings.blocks_on_files)
        .build()
}

/// The granted directories, and the names that they have for the guest.
///
/// # Errors
///
/// Where the host has no descriptors for them.
pub(super) fn directories_of(process: &Process) -> io::Result<Vec<(Descriptor, String)>> {
    let settings = process.settings();
    let granted = settings.directories.iter().filter_map(|it| Some((&it.dir, it.preopened_as.clone()?)));
    let opened = granted.map(|(dir, name)| {
        let (file, access) = dir.duplicate()?;
        let (permissions, mode) = match access {
            Access::ReadOnly => (FsPerms::ReadOnly, OpenMode::READ),
            Access::ReadWrite => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
        };
        Ok((Descriptor::Dir(Dir::new(file, permissions, mode, settings.blocks_on_files)), name))
    });
    opened.collect()
}

/// The clocks and the randomness of a guest.
struct Given(Arc<Process>);

impl Given {
    fn seed(&self) -> u128 {
        let mut bytes = [0; 16];
        self.0.fill_random(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

impl HostWallClock for Given {
    fn resolution(&self) -> std::time::Duration {
        self.0.wall_resolution()
    }

    fn now(&self) -> std::time::Duration {
        self.0.wall_time()
    }
}

impl HostMonotonicClock for Given {
    fn resolution(&self) -> u64 {
        self.0.monotonic_resolution()
    }

    fn now(&self) -> u64 {
        self.0.monotonic_time()
    }
}

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill_random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill_random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_random(bytes);
        Ok(())
    }
}
