//! `wasi:sockets` of WASI 0.2.

use wasmtime::component::Linker;

use super::Getter;

/// Adds the interfaces of `wasi:sockets` 0.2 to `linker`.
///
/// # Errors
///
/// Where `linker` has one of them and does not allow shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    _linker: &mut Linker<T>,
    _view: Getter<T>,
) -> wasmtime::Result<()> {
    Ok(())
}
