//! WASI preview 1: the 46 functions of `wasi_snapshot_preview1`.

pub(crate) mod bindings;
mod errno;
