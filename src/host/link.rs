//! The glue between a linker and the ABI layer: one function for each import.
//!
//! wiggle could do this, but its generated code looks an export called `memory` up at every
//! call, which costs more than most calls, and fails for a program with threads, which
//! imports its memory. `build.rs` writes one line a function from the witx files; the
//! macros below define what a line means.
//!
//! An embedder's own type of store data would have each of the two hundred functions
//! compiled once more. So what depends on that type is thin ([`edge`]): one function for
//! each *signature*, which finds the guest ([`memory`]) and calls the function itself,
//! compiled once, by a pointer.

mod edge;
mod memory;

use wasmtime::{Linker, Module};

use super::WasockCtx;
use super::call_mode::CallMode;
use super::stub::is_defined;
use crate::abi::{FUNCTIONS, Function, OTHER_TYPES, preview1, resolve, wasi_threads, wasix};

include!(concat!(env!("OUT_DIR"), "/link.rs"));

/// How many functions there are.
const COUNT: usize = FUNCTIONS.len() + OTHER_TYPES.len();

/// Adds every function of every dialect to `linker`, for a store that runs async.
///
/// Calls that can wait are async functions; the others are not, which is faster.
///
/// One [`WasockCtx`] is one program: its descriptors, its signals. Instances that are made
/// in one store share it, but each call reads and writes the memory of the instance that
/// makes it: the one that this instance exports as `memory`, or else the shared memory
/// that [`WasockCtx::set_shared_memory`] names.
///
/// A program that wants threads gets `ENOTSUP` in an embedder's own store: a thread needs a store
/// of its own, and [`Guest::run`](super::Guest::run) makes them.
///
/// # Errors
///
/// When `linker` has one of the functions already, as after `wasmtime_wasi`'s
/// `add_to_linker`: [`Linker::allow_shadowing`] lets the later one win.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    link(linker, get, CallMode::Async, &[true; COUNT])
}

/// Adds every function of every dialect to `linker`, for a store that does not run
/// async: a call that waits stops its thread. As [`add_to_linker`] otherwise.
///
/// ```no_run
/// # fn serve() -> wasmtime::Result<()> {
/// use wasmtime::{Engine, Linker, Module, Store};
/// use wasock::WasockCtx;
///
/// let engine = Engine::default();
/// let module = Module::from_file(&engine, "server.wasm")?;
/// let mut linker: Linker<WasockCtx> = Linker::new(&engine);
/// wasock::add_to_linker_blocking(&mut linker, |ctx| ctx)?;
/// let ctx = WasockCtx::builder().listen(&"127.0.0.1:8080".parse()?).build_for(&module)?;
/// let mut store = Store::new(&engine, ctx);
/// let instance = linker.instantiate(&mut store, &module)?;
/// instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
/// # }
/// ```
///
/// # Errors
///
/// When `linker` has one of the functions already.
pub fn add_to_linker_blocking<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    link(linker, get, CallMode::Blocking, &[true; COUNT])
}

/// As [`add_to_linker`], but only the functions that `module` imports: of hundreds of
/// functions a program imports some twenty, and to make the others takes as long as half of
/// what else there is to a small module's start. What `linker` has already is kept.
pub(super) fn add_imported_to_linker(
    linker: &mut Linker<WasockCtx>,
    module: &Module,
) -> wasmtime::Result<()> {
    let mut wanted = [false; COUNT];
    let mut taken = linker.clone();
    for import in module.imports() {
        if is_defined(&mut taken, &import) {
            continue;
        }
        let index = resolve(&import).and_then(Function::index);
        if let Some(wanted) = index.and_then(|index| wanted.get_mut(index)) {
            *wanted = true;
        }
    }
    link(linker, |ctx| ctx, CallMode::Async, &wanted)
}

/// Adds the functions that are `wanted`.
fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
    calls: CallMode,
    wanted: &[bool; COUNT],
) -> wasmtime::Result<()> {
    let wants = |index: usize| wanted.get(index).copied().unwrap_or(false);
    // Each call is a constant: a closure in this function would be compiled once more for
    // every `T`, whether it uses it or not.
    macro_rules! now {
        ($function:expr, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            const CALL: edge::Now<($($ty,)*), $result> =
                |call, memory, ($($arg,)*)| $call(call, memory, $($arg),*);
            edge::link_now(linker, get, &$function, CALL)?;
        }};
    }
    macro_rules! waits {
        ($function:expr, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            const CALL: edge::Waits<($($ty,)*), $result> =
                |call, memory, ($($arg,)*)| Box::pin($call(call, memory, $($arg),*));
            edge::link_waits(linker, get, &$function, calls, CALL)?;
        }};
    }
    macro_rules! two_phases {
        ($function:expr, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            const CALL: edge::Now<($($ty,)*), $result> =
                |call, memory, ($($arg,)*)| $call(call, memory, $($arg),*);
            edge::link_two_phases(linker, get, &$function, calls, CALL)?;
        }};
    }
    macro_rules! refused {
        ($function:expr, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            const CALL: edge::Now<($($ty,)*), $result> = |_, _, _| edge::refuse();
            edge::link_now(linker, get, &$function, CALL)?;
        }};
    }
    every_function!(wants, now, two_phases, waits, refused);
    Ok(())
}
