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
mod unwinds;

use std::collections::BTreeSet;

use wasmtime::{ImportType, Linker, Module};

use super::WasockCtx;
use super::call_mode::CallMode;
use super::stub::is_defined;
use crate::abi::{FUNCTIONS, Function, Imports, Interface, OTHER_TYPES, env, linkage, mixture};

include!(concat!(env!("OUT_DIR"), "/link.rs"));

/// Adds the functions that `module` imports to `linker`, for a store that runs async. Each import
/// is served by the function that it means in the dialect of `module`, by its module, name and
/// type.
///
/// Calls that may wait are async functions; the others are not, which is faster. Imports
/// that no dialect has are left to you, or to
/// [`link_unknown_imports`](super::link_unknown_imports). A few that compilers make from `env` are served (`abort`, `trace` and `seed` of
/// AssemblyScript, Emscripten's notice that the memory has grown), where `linker` has none of that name: define yours before.
///
/// One linker serves several modules of one dialect and generation: call this for each of them.
/// Those of another dialect need a linker of their own, since one name may mean another function
/// to them.
///
/// One [`WasockCtx`] is one program: its descriptors, its signals. Instances that are made
/// in one store share it, but each call reads and writes the memory of the instance that
/// makes it: the one that this instance exports as `memory`, or else the shared memory
/// that [`WasockCtx::set_shared_memory`] names.
///
/// A program that wants threads gets `ENOTSUP` in an embedder's own store: a thread needs a store
/// of its own, and [`Guest::run`](super::Guest::run) makes them.
///
/// ```no_run
/// # async fn serve() -> wasmtime::Result<()> {
/// use wasmtime::{Engine, Linker, Module, Store};
/// use wasock::WasockCtx;
///
/// let engine = Engine::default();
/// let module = Module::from_file(&engine, "server.wasm")?;
/// let mut linker: Linker<WasockCtx> = Linker::new(&engine);
/// wasock::add_to_linker(&mut linker, &module, |ctx| ctx)?;
/// let ctx = WasockCtx::builder().listen(&"127.0.0.1:8080".parse()?).build_for(&module)?;
/// let mut store = Store::new(&engine, ctx);
/// let instance = linker.instantiate_async(&mut store, &module).await?;
/// instance.get_typed_func::<(), ()>(&mut store, "_start")?.call_async(&mut store, ()).await
/// # }
/// ```
///
/// # Errors
///
/// When `linker` serves a module of another dialect or generation already; when `module` imports what
/// only one dialect has and what only another one has; and when `linker` has one of the functions from elsewhere, as after `wasmtime_wasi`'s
/// `add_to_linker`: [`Linker::allow_shadowing`] lets the later one win.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    module: &Module,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    link(linker, module, get, CallMode::Async)
}

/// Adds the functions that `module` imports to `linker`, for a store that does not run
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
/// wasock::add_to_linker_blocking(&mut linker, &module, |ctx| ctx)?;
/// let ctx = WasockCtx::builder().listen(&"127.0.0.1:8080".parse()?).build_for(&module)?;
/// let mut store = Store::new(&engine, ctx);
/// let instance = linker.instantiate(&mut store, &module)?;
/// instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`add_to_linker`].
pub fn add_to_linker_blocking<T: Send + 'static>(
    linker: &mut Linker<T>,
    module: &Module,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    link(linker, module, get, CallMode::Blocking)
}

/// As [`add_to_linker_blocking`], for a thread that is the guest's own and inside of a reactor. It is how
/// [`Guest::run`](super::Guest::run) links such a guest, for the benchmark of calls.
///
/// # Errors
///
/// Those of [`add_to_linker`].
pub fn add_to_linker_on_own_thread(linker: &mut Linker<WasockCtx>, module: &Module) -> wasmtime::Result<()> {
    link(linker, module, |ctx| ctx, CallMode::OwnThread)
}

/// As [`add_to_linker`], for a linker that serves `module` alone. What it has already is kept.
///
/// They are for a store that runs as `calls` says, or async where `linker` has something that the
/// module imports: that may be an async function. Returns which it is.
pub(super) fn add_missing_to_linker(
    linker: &mut Linker<WasockCtx>,
    module: &Module,
    calls: CallMode,
) -> wasmtime::Result<CallMode> {
    refuse_mixture(module)?;
    let mut taken = linker.clone();
    let mut names = BTreeSet::new();
    // In the copy a name is taken once it was asked for.
    let mut is_embedders = |import: &ImportType<'_>| {
        names.insert((import.module().to_owned(), import.name().to_owned())) && is_defined(&mut taken, import)
    };
    let embedders: Vec<_> = module.imports().filter(&mut is_embedders).collect();
    let calls = if embedders.is_empty() { calls } else { CallMode::Async };
    for (import, function) in functions_of(module) {
        let is_it =
            |other: &ImportType<'_>| (other.module(), other.name()) == (import.module(), import.name());
        if !embedders.iter().any(is_it) {
            link_function(linker, |ctx| ctx, calls, &import, function)?;
        }
    }
    Ok(calls)
}

/// Adds the functions that `module` imports.
fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    module: &Module,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
    calls: CallMode,
) -> wasmtime::Result<()> {
    let mut functions = functions_of(module);
    // There the embedder's own go first.
    let mut taken = linker.clone();
    taken.allow_shadowing(false);
    functions.retain(|(import, _)| import.module() != env::MODULE || !is_defined(&mut taken, import));
    if functions.is_empty() {
        return Ok(());
    }
    refuse_mixture(module)?;
    let linkage = linkage(&Interface::of(module));
    let serves_it = check_linkage(linker, &linkage)?;
    for (import, function) in functions {
        let linked = link_function(linker, get, calls, &import, function);
        // What another module of this dialect imports, too, is there already.
        if !serves_it {
            linked?;
        }
    }
    if !serves_it {
        linker.func_wrap(MARKS, &linkage, || ())?.func_wrap(MARKS, ANY_LINKAGE, || ())?;
    }
    Ok(())
}

/// # Errors
///
/// When `module` is of two dialects that no program is of at once.
fn refuse_mixture(module: &Module) -> wasmtime::Result<()> {
    match mixture(&Interface::of(module)) {
        Some(mixture) => Err(wasmtime::Error::msg(format!("the module {mixture}"))),
        None => Ok(()),
    }
}

/// The functions that `module` imports and the host has, under each name once.
fn functions_of(module: &Module) -> Vec<(ImportType<'_>, &'static Function)> {
    let mut names = BTreeSet::new();
    let mut functions = Vec::new();
    let imports = Imports::of(module);
    for import in module.imports() {
        if let Some(function) = imports.resolve(&import)
            && names.insert((import.module(), import.name()))
        {
            functions.push((import, function));
        }
    }
    functions
}

/// Marks which modules a linker serves. It does not show what it has, and an import by itself does
/// not say what it means: so there is a function in it that does nothing, named after the
/// linkage. A module that imports it gains nothing.
const MARKS: &str = "wasock";
const ANY_LINKAGE: &str = "linked";

/// Does `linker` serve modules of `linkage`?
///
/// # Errors
///
/// When it serves others.
fn check_linkage<T: 'static>(linker: &Linker<T>, linkage: &str) -> wasmtime::Result<bool> {
    // It only shows that a name is taken by refusing it.
    let mut taken = linker.clone();
    taken.allow_shadowing(false);
    let mut has = |mark: &str| taken.func_wrap(MARKS, mark, || ()).is_err();
    if has(linkage) {
        return Ok(true);
    }
    if has(ANY_LINKAGE) {
        return Err(wasmtime::Error::msg(format!(
            "this linker serves modules of another dialect or generation: a module of {linkage} needs a \
             linker of its own"
        )));
    }
    Ok(false)
}

/// Adds one function, under the names of `import`.
fn link_function<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
    calls: CallMode,
    import: &ImportType<'_>,
    function: &'static Function,
) -> wasmtime::Result<()> {
    let index = function.index();
    let wants = |at: usize| index == Some(at);
    // Each call is a constant: a closure in this function would be compiled once more for
    // every `T`, whether it uses it or not.
    macro_rules! now {
        ($function:expr, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            const CALL: edge::GeneratedCall<($($ty,)*), $result> =
                |call, memory, ($($arg,)*)| $call(call, memory, $($arg),*);
            edge::link_now(linker, get, import, &$function, CALL)?;
        }};
    }
    macro_rules! may_wait {
        ($function:expr, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            const CALL: edge::GeneratedCall<($($ty,)*), $result> =
                |call, memory, ($($arg,)*)| $call(call, memory, $($arg),*);
            edge::link_may_wait(linker, get, import, &$function, calls, CALL)?;
        }};
    }
    macro_rules! unwinds {
        ($function:expr, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            const CALL: edge::GeneratedCall<($($ty,)*), $result> =
                |call, memory, ($($arg,)*)| $call(call, memory, $($arg),*);
            unwinds::link_unwinds(linker, get, import, &$function, calls, CALL)?;
        }};
    }
    macro_rules! refused {
        ($function:expr, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            const CALL: edge::GeneratedCall<($($ty,)*), $result> = |_, _, _| edge::refuse();
            edge::link_now(linker, get, import, &$function, CALL)?;
        }};
    }
    every_function!(wants, now, may_wait, unwinds, refused);
    Ok(())
}
