//! wasock lets a WebAssembly module be a network server on Wasmtime.
//!
//! A guest calls `sock_open`, `sock_bind`, `sock_listen` and `sock_accept` of WASIX,
//! or the socket calls of WASI preview 1. wasock answers from a descriptor table over
//! the host's sockets, asks a policy that grants nothing by itself, and returns WASI
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
//! wasock::add_to_linker(&mut linker, |ctx| ctx)?;
//!
//! let mut ctx = WasockCtx::builder().listen(&"127.0.0.1:8080".parse()?).build()?;
//! ctx.adapt_to(&module);
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
//! # The rooms
//!
//! Arrows go down this list: a room may use those above it that it names, and nothing
//! below. Every room may use [`error`], [`account`], [`address`] and [`sync`] and call
//! [`observe`]. A test holds them to it.
//!
//! | room | holds | may use |
//! |---|---|---|
//! | [`error`] | [`Errno`] in POSIX names, traps, [`Exit`] | nothing |
//! | [`account`] | how much memory one guest may take: bytes, charged and given back | nothing |
//! | [`address`] | the [`Address`] of a socket | nothing |
//! | [`observe`] | [`Event`]s, their way to the observer, the call trace: called by all, calls none | `error` `address` |
//! | [`sync`] | locks and atomic words, in place of which a model checker has its own | nothing |
//! | [`policy`] | what this guest may do; pure, no I/O | `error` |
//! | [`fd`] | descriptor numbers to open things with rights | `error` |
//! | [`io`] | threads of the host's, and calls that block | `error` |
//! | [`socket`] | the one socket core: states, options, addresses, [what listening means](ListenProfile) | `policy` `io` |
//! | [`file`] | files and directories below what was granted | `error` |
//! | [`ready`] | who waits for what: poll, clocks, blocking calls | `policy` `io` `socket` |
//! | [`service`] | what outlives the instances of a guest: policy, limits, observer | `policy` `io` `socket` `ready` |
//! | [`process`] | the running guest, and what a call acts on | `policy` to `service` |
//! | [`abi`] | the front desk: guest bytes to host values, a folder a dialect | `policy` to `process` |
//! | [`host`] | [`WasockCtx`], its builder, linking, loading, running | `policy` to `abi` |
//!
//! # The walk of one call
//!
//! `sock_listen(fd, backlog)`:
//!
//! 1. The glue of [`host`], which `build.rs` writes from the witx files, takes the
//!    guest's memory from the store and calls what wiggle made of the witx.
//! 2. `abi/wasix/socket.rs` looks the descriptor up in [`fd`]: `EBADF`, then
//!    `ENOTSOCK`, then `ENOTCAPABLE`.
//! 3. [`process`] asks the socket to listen, on the operator's terms: the profile at
//!    its address, the maximum.
//! 4. [`socket`] decides: the state and the profile, then the policy, then the
//!    operating system. What fails changes nothing. What succeeds is told to the
//!    observer before anybody can come in.
//! 5. `abi/wasix/errno.rs` turns the [`Errno`] into the number that the guest reads.
//!
//! # Threads
//!
//! A guest with one thread runs where its embedder polls it, and its sockets wake that
//! one task. A guest that may start threads runs on threads of the host's; `host/threads.rs`
//! says why, which reactor drives their sockets, and how all of them end at once.
//!
//! # Signals
//!
//! A guest that names a callback hears of signals in it: at the end of a call that may
//! wait, which a signal ends with `EINTR`; and, in [`Guest::run`], in the midst of code
//! that computes. `process/signal.rs` has the model and why no signal is lost between a
//! look and a sleep, `host/signal.rs` what a handler may do where, and [`Control::signal`]
//! what becomes of one that nobody handles. A wait is asked to end, not dropped, so a
//! send that was interrupted tells how much it has sent (`ready/interrupt.rs`). A call
//! that does not wait pays one relaxed load.
//!
//! # Rules
//!
//! * Every call checks in one order: descriptor, kind, rights, memory, arguments,
//!   state, policy, operating system.
//! * The policy is asked at every use, on the address in use: at bind and again at
//!   listen, for each accepted peer, for each connect, for each datagram that names an
//!   address, and for each that comes in where senders were narrowed.
//! * Every operation is a `try_` that never waits. One loop makes it wait: try,
//!   forget what was heard before that, sleep until there is news. Calls on host sockets never
//!   block; the guest's blocking mode is ours, and is never read from a socket that others have
//!   too.
//! * A profile is a value: only the table in `socket/listen/profile.rs` knows which
//!   description asks for what.
//! * What creates a descriptor checks first where its number goes, so that a bad
//!   pointer costs no connection.
//! * A guest can do none of this: make the host panic, take host memory without a
//!   bound, stop another guest's thread, or reach what was not granted. A pointer
//!   outside its memory ends that guest by a trap; anything else is an [`Errno`].
//! * Shared memory is copied through a bounded buffer, never borrowed.
//!
//! # Cancel safety
//!
//! Dropping the future of a running guest ends the guest wherever it waits, and closes
//! what it had open. A call that was dropped before it was done took nothing: no
//! connection and no byte is lost. Writes are the exception, for a part may be gone.
//! A file operation that has begun on another thread ends there.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the map names every room; `cargo doc --document-private-items` has them all"
)]

pub mod abi;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod account;
pub mod address;
pub mod error;
#[expect(unreachable_pub, reason = "`pub` in a private room is what it offers to the other rooms")]
mod fd;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod file;
pub mod host;
#[expect(unreachable_pub, reason = "as in `fd`")]
mod io;
pub mod observe;
pub mod policy;
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
pub use error::{Errno, Exit, Terminated, ThreadExit};
pub use file::Access;
pub use host::{
    Control, Guest, OnTrap, WasockCtx, add_to_linker, add_to_linker_blocking, deliver_events,
    deliver_events_blocking,
};
pub use observe::{Event, Observer, TraceLine, TraceSink};
pub use policy::{Grant, NamePattern, Protocol, Publish};
pub use process::Signal;
pub use socket::listen::{Beyond, Holds, ListenProfile, ListenRules, Negative, ParseProfileError, Unbound};
