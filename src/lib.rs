//! wasock lets a WebAssembly module be a network server on Wasmtime.
//!
//! A guest calls `sock_open`, `sock_bind`, `sock_listen` and `sock_accept` of WASIX,
//! or the socket calls of WASI preview 1. wasock implements them with a descriptor table
//! over the host's sockets, asks a policy that grants nothing by itself, and returns WASI
//! error numbers. The command `wasock` and an embedder use the same library.
//!
//! ```no_run
//! # async fn serve() -> wasmtime::Result<()> {
//! use wasmtime::{Engine, Linker, Module, Store};
//! use wasock::WasockCtx;
//!
//! let engine = Engine::default();
//! let module = Module::from_file(&engine, "server.wasm")?;
//! let mut linker: Linker<WasockCtx> = Linker::new(&engine);
//! wasock::add_to_linker(&mut linker, &module, |ctx| ctx)?;
//!
//! let ctx = WasockCtx::builder().listen(&"127.0.0.1:8080".parse()?).build_for(&module)?;
//! let mut store = Store::new(&engine, ctx);
//! store.limiter(|ctx| ctx.limiter());
//! let instance = linker.instantiate_async(&mut store, &module).await?;
//! let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
//! start.call_async(&mut store, ()).await
//! # }
//! ```
//!
//! An embedder without an executor takes [`add_to_linker_blocking`]; it works inside
//! a tokio runtime too. [`Guest`] does all of the above in one call, and gives a guest
//! with threads the memory that it imports.
//!
//! # Features
//!
//! Each is on unless you turn it off, and saves something when it is off:
//!
//! | feature | what a program has by it | what you save without |
//! |---|---|---|
//! | `components` | components, whose sockets are those of `wasi:sockets`; without, only modules load | the component model of Wasmtime, with its async functions, and `wasmtime-wasi`'s hosts of WASI 0.2 and 0.3 |
//! | `dns` | names, looked up by the system's resolver; without, a look-up is `ENOTSUP` | `getaddrinfo`, which loads modules into your process and asks servers that you may not know |
//! | `threads` | guests with threads; without, a module with a shared memory or atomic instructions does not load | what Wasmtime supports in its second tier, without security fixes in older releases |
//! | `wat` | modules in text form; without, only binary ones load | the crates `wat` and `wast` |
//!
//! Wasmtime's own features are yours to choose, in a dependency of your own: `cache` keeps what
//! was compiled, `parallel-compilation` compiles on every processor, `addr2line` and `demangle`
//! make backtraces readable. The command `wasock` has all of them.
//!
//! # The inside
//!
//! ARCHITECTURE.md has the map of the modules, the path of one call, and the rules that all
//! of them keep; a test holds the code to that map.
//!
//! # Cancel safety
//!
//! Dropping the future of a running guest ends the guest wherever it waits, and closes
//! what it had open. A call that was dropped before it was done took nothing: no
//! connection and no byte is lost. Writes are the exception, for a part may be gone.
//! A file operation that has begun on another thread ends there.

#![allow(rustdoc::private_intra_doc_links, reason = "documentation for contributors names private items")]

#[cfg(not(target_os = "linux"))]
compile_error!("wasock is for Linux: it waits by epoll, eventfd and timerfd");

mod abi;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod account;
mod address;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod error;
#[expect(unreachable_pub, reason = "`pub` in a private module is what it offers to the others")]
mod fd;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod file;
mod host;
#[doc(hidden)]
pub mod internals;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod io;
pub mod observe;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod policy;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod process;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod ready;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod service;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod socket;
mod sync;

pub use address::{Address, UnixName};
pub use error::{Errno, Exit, ParseError, Terminated};
pub use file::Access;
pub use host::{
    BuildError, Compile, Ended, Epochs, Guest, Handle, LoadError, Loader, MissingImports, NoPool, OnTrap,
    ReloadError, ReloadMode, Restart, Service, ServiceBuilder, WasockCtx, WasockCtxBuilder, add_to_linker,
    add_to_linker_blocking, deliver_events, deliver_events_blocking, inspect, link_unknown_imports,
};
#[cfg(feature = "components")]
pub use host::{WasockCtxView, WasockView, add_to_component_linker};
pub use observe::{Event, Observer};
pub use policy::{Grant, IpNet, NamePattern, Publish, Use};
pub use process::{ConnectionAs, Signal};
pub use socket::listen::ListenProfile;
