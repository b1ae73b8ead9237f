//! Layers that are compiled once: containerd keeps what this host has compiled beside the layers of the image, and every
//! container of it has its code at once.
//!
//! What runs outside of the guest's sandbox is not believed because containerd has it, but by a seal of this host.

use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use containerd_shim_wasm::sandbox::context::WasmLayer;
use containerd_shim_wasm::shim::Compiler;
use tokio::task;
use wasock_cli::Precompiler;

/// Where the secret of this host is, and its [code](crate::keeper).
const FOLDER: &str = "/var/lib/containerd-shim-wasock";

/// The variable of containerd's own environment that names another place; where it is empty, there is none.
const VARIABLE: &str = "WASOCK_SHIM_FOLDER";

static PRECOMPILER: OnceLock<Option<Arc<Precompiler>>> = OnceLock::new();

/// Reads the secret, which the processes of containers can't any more.
pub(crate) fn open() {
    let folder = std::env::var_os(VARIABLE).map_or_else(|| FOLDER.into(), PathBuf::from);
    // Without it everything is compiled at its start.
    let opened = folder.is_absolute().then(|| Precompiler::open(&folder).ok()).flatten();
    _ = PRECOMPILER.set(opened.map(Arc::new));
}

/// What this host's code is known by, if it keeps any.
pub(crate) fn precompiler() -> Option<Arc<Precompiler>> {
    PRECOMPILER.get()?.clone()
}

/// What compiles layers.
pub(crate) fn layers() -> Option<Layers> {
    precompiler().map(Layers)
}

/// Compiles layers, each by itself.
pub(crate) struct Layers(Arc<Precompiler>);

impl Compiler for Layers {
    fn cache_key(&self) -> impl Hash {
        self.0.identity()
    }

    async fn compile(&self, layers: &[WasmLayer]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut compiled = Vec::new();
        for layer in layers {
            compiled.push(self.compiled(layer).await?);
        }
        Ok(compiled)
    }
}

impl Layers {
    /// A layer with its code; `None` for one that has it.
    async fn compiled(&self, layer: &WasmLayer) -> Result<Option<Vec<u8>>> {
        if layer.precompiled {
            return Ok(None);
        }
        let (precompiler, name, bytes) =
            (Arc::clone(&self.0), layer.config.digest().to_string(), layer.layer.clone());
        // It takes its time.
        task::spawn_blocking(move || precompiler.compile(&name, &bytes)).await?.map(Some)
    }
}
