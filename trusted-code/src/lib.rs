//! Compiled WebAssembly, kept and loaded again.
//!
//! Wasmtime loads machine code without a look at what it does, so the functions that do it are unsafe:
//! whoever chooses the bytes can run what they like in the host. This crate is a safe way to call them. It is the one crate of its project that
//! has `unsafe`, in one file of four calls, each of which says why it is right.
//!
//! ```
//! use trusted_code::{Code, Folder, Key, Kind};
//! use wasmtime::{Engine, Module};
//!
//! fn load(folder: &Folder, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Module> {
//!     let key = Key::of(engine, Kind::Module, binary);
//!     // A file that is broken is one to be written anew.
//!     if let Ok(Some(module)) = folder.module(engine, &key) {
//!         return Ok(module);
//!     }
//!     let code = Code::compile(engine, Kind::Module, binary)?;
//!     // A disk that is full costs time, not the run.
//!     folder.keep(&key, &code).ok();
//!     code.module(engine)
//! }
//! # let directory = tempfile::tempdir()?;
//! # let folder = Folder::open(&directory.path().join("code"))?;
//! # let engine = Engine::default();
//! # load(&folder, &engine, b"\0asm\x01\0\0\0")?;
//! # load(&folder, &engine, b"\0asm\x01\0\0\0")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The contract
//!
//! What is loaded is what [`Code::compile`] made, in a process of this user on this host, of the same WebAssembly and
//! for an engine of the same settings. That is proven in one of three ways:
//!
//! * **By type.** A [`Code`] is made by the compiler and by nothing else.
//! * **By place.** A [`Folder`] belongs to this user and has mode 0700, and each directory on the way to it belongs to this
//!   user or to root, who alone can put something else there. All are opened one from the other, without following a
//!   link that was not looked at, and are looked at by descriptor: what was looked at is what is used. A file in
//!   there is regular, this user's, of mode 0400 and with one name. It was written under another name and renamed when it
//!   was whole, and is written to by nobody after that. Its length and a digest of its code, and of what it is
//!   the code of, are proven before it is mapped: what a disk has lost or changed is compiled anew.
//! * **By seal.** Code that others keep, as containerd does for its images, bears a message authentication code
//!   ([`Code::seal`]) by a [`Secret`] that only this user's processes on this host can read. So does code that one process
//!   passes to another one, in a [`MemoryFile`], which is mapped: the kernel lets nobody write to it any more, and says so.
//!
//! A [`Key`] is a cryptographic digest of the WebAssembly and of all of an engine that its code depends on, which Wasmtime
//! names (`Engine::precompile_compatibility_hash`): the version, the settings, the processor's features.
//! Wasmtime looks at most of that again when it loads code.
//!
//! Trusted are root, and this user's own processes: these could attach a debugger as well. **Not trusted is what a guest may
//! write.** A directory that is granted to one, and overlaps with the folder, makes all above worthless:
//! ask [`Folder::overlaps`] before, and do without the folder then.
//!
//! It is up to the caller not to mount one file system over two paths of which a guest may write to one, not to change
//! `Config::module_version`, which would have Wasmtime take the code of another version, and to use a
//! file system that keeps to modes and to owners.

mod code;
mod folder;
mod key;
mod memory_file;
mod proof;
mod seal;
mod trailer;
mod walk;

pub use code::{Code, Kind};
pub use folder::{Bounds, Folder, Swept};
pub use key::Key;
pub use memory_file::MemoryFile;
pub use seal::Secret;
