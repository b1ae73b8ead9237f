//! What a module speaks, and which of its imports the host has.

use wasmtime::{ExternType, ImportType, Module};

use super::table::Function;
use crate::process::Numbering;

const PREVIEW1: &str = "wasi_snapshot_preview1";
const WASIX: &str = "wasix_32v1";
const THREADS: &str = "wasi";

/// The import modules whose functions the host knows, if it does not have them all.
pub(crate) const KNOWN_MODULES: &[&str] = &[PREVIEW1, WASIX, THREADS];

/// The calls that a module was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// `wasi_snapshot_preview1` alone.
    Preview1,
    /// `wasix_32v1`, with or without preview 1 beside it.
    Wasix,
}

/// The generation of WASIX. There is no version in a module; its imports tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Generation {
    /// May 2022 to May 2023.
    V1,
    /// May 2023 on.
    V2,
}

/// Where a module's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryKind {
    /// The module exports it.
    Exported,
    /// The module exports it, and threads may share it.
    ExportedShared,
    /// The host must make it: the shared `env.memory` of a program with threads.
    ImportedShared,
    /// There is none that the host could use.
    None,
}

/// An import, by its two names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Import {
    /// The import module.
    pub module: String,
    /// The name in it.
    pub name: String,
}

impl Import {
    pub(crate) fn of(import: &ImportType<'_>) -> Self {
        Self { module: import.module().to_owned(), name: import.name().to_owned() }
    }
}

impl std::fmt::Display for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// What [`detect`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Detected {
    /// The dialect.
    pub dialect: Dialect,
    /// The generation, where the dialect has several.
    pub generation: Generation,
    /// The memory.
    pub memory: MemoryKind,
    /// May the module start threads? It imports a call for it, and the memory that they
    /// share.
    pub threads: bool,
    /// The numbers that its signals have.
    pub(crate) numbering: Numbering,
    /// Imports that the host has, with the same type.
    pub supported: Vec<Import>,
    /// Functions of a known module that the host lacks, or has with another type;
    /// they are linked as functions that answer `ENOSYS`.
    pub stubbed: Vec<Import>,
    /// Imports that the host knows nothing about; an embedder may.
    pub missing: Vec<Import>,
}

/// How the host serves an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    Supported,
    Stubbed,
    Missing,
}

/// Imports that no C library had before addresses got their present size. Every
/// program of today's library asks for its signals at the start.
const NEW_WITH_WIDE_ADDRESSES: &[&str] = &[
    "fd_dup2",
    "fd_fdflags_get",
    "fd_fdflags_set",
    "path_open2",
    "proc_exec3",
    "proc_signals_get",
    "proc_signals_sizes_get",
    "proc_spawn2",
    "sock_pair",
];

impl Detected {
    /// Is the program known to have room for an IPv6 address with its scope?
    pub(crate) fn has_wide_addresses(&self) -> bool {
        let mut imports = self.supported.iter().chain(&self.stubbed);
        imports
            .any(|import| import.module == WASIX && NEW_WITH_WIDE_ADDRESSES.contains(&import.name.as_str()))
    }
}

/// Says what `module` speaks, and which of its imports the host has.
pub fn detect(module: &Module) -> Detected {
    let (mut supported, mut stubbed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for import in module.imports() {
        let list = match support(&import) {
            Support::Supported => &mut supported,
            Support::Stubbed => &mut stubbed,
            Support::Missing => &mut missing,
        };
        list.push(Import::of(&import));
    }
    let wasix = module.imports().any(|import| import.module() == WASIX);
    let generation = generation(module);
    Detected {
        dialect: if wasix { Dialect::Wasix } else { Dialect::Preview1 },
        generation,
        numbering: if wasix { numbering(module, generation) } else { Numbering::Preview1 },
        memory: memory(module),
        threads: starts_threads(module),
        supported,
        stubbed,
        missing,
    }
}

pub(crate) fn support(import: &ImportType<'_>) -> Support {
    match import.ty() {
        ExternType::Func(ty) if KNOWN_MODULES.contains(&import.module()) => {
            let function = Function::find(import.module(), import.name());
            if function.is_some_and(|function| function.has_type(&ty)) || same_as(import).is_some() {
                Support::Supported
            } else {
                Support::Stubbed
            }
        }
        ExternType::Memory(ty) if ty.is_shared() && (import.module(), import.name()) == ("env", "memory") => {
            Support::Supported
        }
        _ => Support::Missing,
    }
}

/// The name that a function has here, where `import` calls it otherwise: today's
/// reference host knows the second `thread_spawn` by the name of the first, too.
pub(crate) fn same_as(import: &ImportType<'_>) -> Option<&'static str> {
    const SPAWN: &str = "thread_spawn_v2";
    let ExternType::Func(ty) = import.ty() else { return None };
    let is_second = (import.module(), import.name()) == (WASIX, "thread_spawn")
        && Function::find(WASIX, SPAWN).is_some_and(|function| function.has_type(&ty));
    is_second.then_some(SPAWN)
}

fn starts_threads(module: &Module) -> bool {
    let is_spawn = |import: &ImportType<'_>| {
        matches!(
            (import.module(), import.name()),
            (THREADS, "thread-spawn") | (WASIX, "thread_spawn" | "thread_spawn_v2")
        ) && support(import) == Support::Supported
    };
    let is_memory = |import: &ImportType<'_>| {
        (import.module(), import.name()) == ("env", "memory")
            && matches!(import.ty(), ExternType::Memory(ty) if ty.is_shared())
    };
    module.imports().any(|import| is_spawn(&import)) && module.imports().any(|import| is_memory(&import))
}

/// The generation: a function that only one of them has decides; without any, the
/// module from which preview 1's names come.
fn generation(module: &Module) -> Generation {
    let any = |is: fn(&str, &str, usize) -> bool| {
        module.imports().any(|import| match import.ty() {
            ExternType::Func(ty) => is(import.module(), import.name(), ty.params().len()),
            _ => false,
        })
    };
    if any(is_only_v2) {
        Generation::V2
    } else if any(is_only_v1) || (any(is_preview1_of_wasix) && !any(|module, _, _| module == PREVIEW1)) {
        Generation::V1
    } else {
        Generation::V2
    }
}

/// The numbers of WASIX's signals changed in March 2023, together with the type of
/// `proc_join` and before the second generation.
fn numbering(module: &Module, generation: Generation) -> Numbering {
    let is_late = |import: ImportType<'_>| {
        (import.module(), import.name()) == (WASIX, "proc_join")
            && matches!(import.ty(), ExternType::Func(ty) if ty.params().len() == 3)
    };
    match generation {
        Generation::V1 if !module.imports().any(is_late) => Numbering::Preview1,
        _ => Numbering::Linux,
    }
}

fn is_only_v2(module: &str, name: &str, params: usize) -> bool {
    match (module, name) {
        (THREADS, "thread-spawn") => true,
        // Today's reference host has the old name with the new type.
        (WASIX, "thread_spawn") => params == 2,
        (WASIX, "thread_spawn_v2" | "sock_accept_v2" | "sock_pair" | "fd_dup2" | "path_open2") => true,
        (WASIX, "proc_exec2" | "proc_exec3" | "proc_exit2" | "proc_spawn2" | "proc_signals_get") => true,
        (WASIX, name) => name.starts_with("epoll_") || name.starts_with("fd_fdflags_"),
        _ => false,
    }
}

fn is_only_v1(module: &str, name: &str, params: usize) -> bool {
    match (module, name) {
        (WASIX, "thread_spawn") => params == 5,
        (WASIX, "proc_join") => params == 2,
        (WASIX, "sock_accept") => params == 4,
        (WASIX, "ws_connect" | "callback_reactor") => true,
        (WASIX, name) => {
            ["thread_local_", "bus_", "http_", "callback_thread"].iter().any(|start| name.starts_with(start))
        }
        _ => false,
    }
}

fn is_preview1_of_wasix(module: &str, name: &str, _: usize) -> bool {
    module == WASIX && Function::find(PREVIEW1, name).is_some()
}

fn memory(module: &Module) -> MemoryKind {
    if module.imports().any(|import| matches!(import.ty(), ExternType::Memory(ty) if ty.is_shared())) {
        return MemoryKind::ImportedShared;
    }
    match module.get_export("memory") {
        Some(ExternType::Memory(ty)) if ty.is_shared() => MemoryKind::ExportedShared,
        Some(ExternType::Memory(_)) => MemoryKind::Exported,
        _ => MemoryKind::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(wat: &str) -> wasmtime::Result<Detected> {
        Ok(detect(&Module::new(&wasmtime::Engine::default(), wat)?))
    }

    fn names(imports: &[Import]) -> String {
        imports.iter().map(Import::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sorts_the_imports() -> wasmtime::Result<()> {
        let found = detected(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
                (import "wasi_snapshot_preview1" "fd_sync" (func (param i64) (result i32)))
                (import "wasix_32v1" "proc_fork" (func (param i32 i32) (result i32)))
                (import "wasi" "thread-spawn" (func (param i32) (result i32)))
                (import "wasix_32v1" "thread_spawn" (func (param i32 i32) (result i32)))
                (import "wasix_32v1" "thread_exit" (func (param i32) (result i32)))
                (import "wasi_unstable" "fd_close" (func (param i32) (result i32)))
                (import "env" "memory" (memory 1 2 shared))
                (import "env" "table" (table 1 funcref)))"#,
        )?;
        assert_eq!(
            names(&found.supported),
            "wasi_snapshot_preview1.fd_close wasi.thread-spawn wasix_32v1.thread_spawn env.memory"
        );
        assert_eq!(
            names(&found.stubbed),
            "wasi_snapshot_preview1.fd_sync wasix_32v1.proc_fork wasix_32v1.thread_exit"
        );
        assert!(found.threads);
        assert_eq!(names(&found.missing), "wasi_unstable.fd_close env.table");
        assert_eq!((found.dialect, found.memory), (Dialect::Wasix, MemoryKind::ImportedShared));
        Ok(())
    }

    #[test]
    fn tells_the_generations_apart() -> wasmtime::Result<()> {
        let generation = |imports: &[(&str, &str, usize)]| {
            let mut wat = String::from("(module ");
            for (module, name, params) in imports {
                let params = " i32".repeat(*params);
                wat += &format!("(import {module:?} {name:?} (func (param{params}) (result i32)))");
            }
            detected(&(wat + ")")).map(|found| found.generation)
        };
        assert_eq!(generation(&[(WASIX, "sock_accept", 4)])?, Generation::V1);
        assert_eq!(generation(&[(WASIX, "fd_close", 1)])?, Generation::V1);
        assert_eq!(generation(&[(WASIX, "proc_join", 2)])?, Generation::V1);
        assert_eq!(generation(&[(WASIX, "proc_join", 3), (PREVIEW1, "fd_close", 1)])?, Generation::V2);
        assert_eq!(generation(&[(WASIX, "fd_close", 1), (WASIX, "sock_accept_v2", 4)])?, Generation::V2);
        assert_eq!(generation(&[(WASIX, "sock_open", 4), (PREVIEW1, "fd_close", 1)])?, Generation::V2);
        assert_eq!(generation(&[(THREADS, "thread-spawn", 1)])?, Generation::V2);
        Ok(())
    }

    #[test]
    fn knows_the_numbers_of_signals() -> wasmtime::Result<()> {
        let numbering = |imports: &[(&str, &str, usize)]| {
            let mut wat = String::from("(module ");
            for (module, name, params) in imports {
                let params = " i32".repeat(*params);
                wat += &format!("(import {module:?} {name:?} (func (param{params}) (result i32)))");
            }
            detected(&(wat + ")")).map(|found| found.numbering)
        };
        assert_eq!(numbering(&[(PREVIEW1, "proc_raise", 1)])?, Numbering::Preview1);
        assert_eq!(numbering(&[(WASIX, "proc_raise", 1)])?, Numbering::Preview1);
        assert_eq!(numbering(&[(WASIX, "proc_raise", 1), (WASIX, "proc_join", 3)])?, Numbering::Linux);
        assert_eq!(numbering(&[(WASIX, "epoll_create", 1), (PREVIEW1, "proc_raise", 1)])?, Numbering::Linux);
        Ok(())
    }

    #[test]
    fn finds_the_memory() -> wasmtime::Result<()> {
        let memory = |wat| detected(wat).map(|found| found.memory);
        assert_eq!(memory(r#"(module (memory (export "memory") 1))"#)?, MemoryKind::Exported);
        assert_eq!(memory(r#"(module (memory (export "memory") 1 2 shared))"#)?, MemoryKind::ExportedShared);
        assert_eq!(memory(r#"(module (memory 1))"#)?, MemoryKind::None);
        Ok(())
    }
}
