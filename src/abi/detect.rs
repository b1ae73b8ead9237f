//! What a module speaks, and which of its imports the host has.

use std::fmt;

use wasmtime::{ExternType, ImportType, MemoryType, Module};

use super::interface::{ImportItem, Interface, ItemType};
use super::table::Function;
use crate::observe::Escaped;
use crate::process::Numbering;

const PREVIEW1: &str = "wasi_snapshot_preview1";
const WASIX: &str = "wasix_32v1";
const UNSTABLE: &str = "wasi_unstable";
const THREADS: &str = "wasi";

/// The import modules whose functions the host knows, if it does not have them all.
pub(crate) const KNOWN_MODULES: &[&str] = &[PREVIEW1, WASIX, UNSTABLE, THREADS];

/// The calls that a module was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// `wasi_unstable`, the snapshot before preview 1, alone.
    Unstable,
    /// `wasi_snapshot_preview1`, and maybe `wasi_unstable` beside it.
    Preview1,
    /// `wasix_32v1`, with or without the others beside it.
    Wasix,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unstable => "WASI snapshot 0 (wasi_unstable)",
            Self::Preview1 => "WASI preview 1",
            Self::Wasix => "WASIX",
        })
    }
}

/// The generation of WASIX. There is no version in a module; its imports tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Generation {
    /// May 2022 to March 2023.
    V1,
    /// March to May 2023: `proc_join` has three parameters.
    V1Late,
    /// May 2023 on.
    V2,
    /// The second with functions that came later; [`Detected::since`] says when.
    V2Later,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "1 (May 2022 to March 2023)",
            Self::V1Late => "1, late (March to May 2023)",
            Self::V2 => "2 (since May 2023)",
            Self::V2Later => "2 with additions",
        })
    }
}

impl Generation {
    /// Is it the first, late or not?
    pub fn is_first(self) -> bool {
        matches!(self, Self::V1 | Self::V1Late)
    }
}

/// Where a module's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryKind {
    /// The module exports it.
    Exported,
    /// The module exports it, and threads may share it.
    ExportedShared,
    /// The host must make it: the shared memory of a program with threads, which tools call
    /// `env.memory`.
    ImportedShared,
    /// There is none that the host could use.
    None,
}

/// An import, by its two names, which are the module's to choose: they are printed
/// [escaped](Escaped).
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

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Escaped(&self.module), Escaped(&self.name))
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
    /// The import that told the generation; without one it is a guess.
    pub told_by: Option<Import>,
    /// The memory.
    pub memory: MemoryKind,
    /// The name of a shared memory that the host must make.
    pub memory_import: Option<Import>,
    /// May the module start threads? It imports a call for it, and the memory that they
    /// share.
    pub threads: bool,
    /// The numbers that its signals have.
    pub(crate) numbering: Numbering,
    /// Imports that the host has, with the same type.
    pub supported: Vec<Import>,
    /// Functions that the host knows and refuses: they answer `ENOTSUP`.
    pub refused: Vec<Import>,
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
    Refused,
    Stubbed,
    Missing,
}

/// What came to the second generation later, in this order.
const ADDITIONS: &[(&str, &[&str])] = &[
    ("June 2023", &["epoll_create", "epoll_ctl", "epoll_wait"]),
    ("May 2024", &["proc_exec2"]),
    (
        "February 2025",
        &[
            "fd_dup2",
            "fd_fdflags_get",
            "fd_fdflags_set",
            "path_open2",
            "proc_exec3",
            "proc_signals_get",
            "proc_signals_sizes_get",
            "proc_spawn2",
            "sock_pair",
        ],
    ),
    ("May 2025", &["dl_invalid_handle", "dlopen", "dlsym"]),
    ("June 2025", &["call_dynamic", "closure_allocate", "closure_free", "closure_prepare"]),
    ("July 2025", &["reflect_signature"]),
];

/// Which of the additions `name` is of.
fn addition(name: &str) -> Option<usize> {
    ADDITIONS.iter().position(|(_, names)| names.contains(&name))
}

/// The month in which WASIX got the function `name`, where that was after its second
/// generation began.
pub fn added_in(name: &str) -> Option<&'static str> {
    addition(name).and_then(|index| ADDITIONS.get(index)).map(|(month, _)| *month)
}

impl Detected {
    /// The month in which WASIX got the latest function that the program imports, where that was
    /// after its second generation began.
    pub fn since(&self) -> Option<&'static str> {
        self.told_by.as_ref().and_then(|import| added_in(&import.name))
    }

    /// Does the program look for preopened directories, and open files below them?
    pub(crate) fn opens_paths(&self) -> bool {
        let has = |names: &[&str]| self.supported.iter().any(|import| names.contains(&import.name.as_str()));
        has(&["fd_prestat_get"]) && has(&["path_open", "path_open2"])
    }

    /// Has the program room for an IPv6 address with its flow and scope?
    ///
    /// The second generation has, and its C library reads them from memory that it did not
    /// fill. Its first hundred days, May to September 2023, had 20 bytes still; nothing in a
    /// module tells these programs from later ones, and none was ever published.
    pub(crate) fn has_wide_addresses(&self) -> bool {
        self.dialect == Dialect::Wasix && !self.generation.is_first()
    }
}

/// Says what `module` speaks, and which of its imports the host has.
pub fn detect(module: &Module) -> Detected {
    detect_in(&Interface::of(module))
}

/// The same of a module with this interface.
pub(crate) fn detect_in(interface: &Interface) -> Detected {
    let (mut supported, mut refused) = (Vec::new(), Vec::new());
    let (mut stubbed, mut missing) = (Vec::new(), Vec::new());
    let memory_import =
        interface.imports.iter().find(|item| item.is_shared_memory()).map(|item| item.import.clone());
    for item in &interface.imports {
        let list = match support_of(item, memory_import.as_ref()) {
            Support::Supported => &mut supported,
            Support::Refused => &mut refused,
            Support::Stubbed => &mut stubbed,
            Support::Missing => &mut missing,
        };
        list.push(item.import.clone());
    }
    let (generation, told_by) = generation(interface);
    let dialect = dialect(interface);
    // WASIX's own numbers came together with the new type of `proc_join`.
    let has_old_numbers = dialect != Dialect::Wasix || generation == Generation::V1;
    Detected {
        dialect,
        generation,
        told_by,
        numbering: if has_old_numbers { Numbering::Preview1 } else { Numbering::Linux },
        memory: memory(interface),
        threads: memory_import.is_some() && starts_threads(interface),
        memory_import,
        supported,
        refused,
        stubbed,
        missing,
    }
}

/// The shared memory that `module` imports, and its name. Tools call it `env.memory`, but
/// nothing says that they must. Of several the first counts: it is the one that a module's
/// instructions mean where they name none.
pub(crate) fn imported_memory(module: &Module) -> Option<(Import, MemoryType)> {
    module.imports().find_map(|import| match import.ty() {
        ExternType::Memory(ty) if ty.is_shared() => Some((Import::of(&import), ty)),
        _ => None,
    })
}

/// Whether the host has `import`; `memory` is the [`imported_memory`] of its module.
pub(crate) fn support(import: &ImportType<'_>, memory: Option<&Import>) -> Support {
    support_of(&ImportItem::of(import), memory)
}

fn support_of(item: &ImportItem, memory: Option<&Import>) -> Support {
    let import = &item.import;
    match &item.ty {
        ItemType::Function(ty) if KNOWN_MODULES.contains(&import.module.as_str()) => {
            let function = Function::find(&import.module, &import.name);
            match function.filter(|function| function.has_type(ty)).or_else(|| same_as_item(item)) {
                Some(function) if function.refused.is_some() => Support::Refused,
                Some(_) => Support::Supported,
                None => Support::Stubbed,
            }
        }
        ItemType::Memory { is_shared: true } if memory == Some(import) => Support::Supported,
        _ => Support::Missing,
    }
}

/// The function that `import` means, where the host has it by other names: two types
/// have one name, and the reference host has some functions in more modules.
pub(crate) fn same_as(import: &ImportType<'_>) -> Option<&'static Function> {
    same_as_item(&ImportItem::of(import))
}

fn same_as_item(item: &ImportItem) -> Option<&'static Function> {
    let ty = item.signature()?;
    let (module, name) = match (item.import.module.as_str(), item.import.name.as_str()) {
        (WASIX, "thread_spawn") => (WASIX, "thread_spawn_v2"),
        (WASIX, "proc_join") => (WASIX, "proc_join_v1"),
        (PREVIEW1 | UNSTABLE, "thread-spawn") => (THREADS, "thread-spawn"),
        _ => return None,
    };
    Function::find(module, name).filter(|function| function.has_type(ty))
}

/// Does `module` import a memory that threads share, or a call that starts threads, whether
/// or not the host has it in this type?
pub(crate) fn wants_threads(module: &Module) -> bool {
    module.imports().any(|import| match import.ty() {
        ExternType::Memory(ty) => ty.is_shared(),
        ExternType::Func(_) => {
            KNOWN_MODULES.contains(&import.module())
                && matches!(import.name(), "thread-spawn" | "thread_spawn" | "thread_spawn_v2")
        }
        _ => false,
    })
}

fn starts_threads(interface: &Interface) -> bool {
    let is_spawn = |item: &ImportItem| {
        matches!(
            (item.import.module.as_str(), item.import.name.as_str()),
            (THREADS | PREVIEW1 | UNSTABLE, "thread-spawn") | (WASIX, "thread_spawn" | "thread_spawn_v2")
        ) && support_of(item, None) == Support::Supported
    };
    interface.imports.iter().any(is_spawn)
}

fn dialect(interface: &Interface) -> Dialect {
    let imports_from = |name| interface.imports.iter().any(|item| item.import.module == name);
    if imports_from(WASIX) {
        Dialect::Wasix
    } else if imports_from(UNSTABLE) && !imports_from(PREVIEW1) {
        Dialect::Unstable
    } else {
        Dialect::Preview1
    }
}

/// The generation, and the import that told it: a function that only one of them has;
/// without any, the module from which preview 1's names come.
fn generation(interface: &Interface) -> (Generation, Option<Import>) {
    let first = |is: fn(&str, &str, usize) -> bool| {
        let is_it = |item: &&ImportItem| {
            let params = item.signature().map(|ty| ty.params.len());
            params.is_some_and(|params| is(&item.import.module, &item.import.name, params))
        };
        interface.imports.iter().find(is_it).map(|item| item.import.clone())
    };
    let of_wasix = interface.imports.iter().map(|item| &item.import).filter(|import| import.module == WASIX);
    let latest = of_wasix.max_by_key(|import| addition(&import.name));
    if let Some(latest) = latest.filter(|import| addition(&import.name).is_some()) {
        return (Generation::V2Later, Some(latest.clone()));
    }
    if let Some(told_by) = first(is_only_v2) {
        return (Generation::V2, Some(told_by));
    }
    let of_wasix = || match first(|module, _, _| module == PREVIEW1) {
        None => first(is_preview1_of_wasix),
        Some(_) => None,
    };
    let Some(told_by) = first(is_only_v1).or_else(of_wasix) else { return (Generation::V2, None) };
    match first(is_proc_join_of_three) {
        Some(join) => (Generation::V1Late, Some(join)),
        None => (Generation::V1, Some(told_by)),
    }
}

/// Without the [`ADDITIONS`].
fn is_only_v2(module: &str, name: &str, params: usize) -> bool {
    match (module, name) {
        (THREADS | PREVIEW1 | UNSTABLE, "thread-spawn") => true,
        // Today's reference host has the old name with the new type.
        (WASIX, "thread_spawn") => params == 2,
        (WASIX, "thread_spawn_v2" | "sock_accept_v2") => true,
        (WASIX, "proc_exec4" | "proc_exit2" | "proc_fork_env" | "proc_spawn3") => true,
        (WASIX, name) => name.starts_with("context_"),
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

fn is_proc_join_of_three(module: &str, name: &str, params: usize) -> bool {
    (module, name, params) == (WASIX, "proc_join", 3)
}

fn is_preview1_of_wasix(module: &str, name: &str, _: usize) -> bool {
    module == WASIX && Function::find(PREVIEW1, name).is_some()
}

fn memory(interface: &Interface) -> MemoryKind {
    if interface.imports.iter().any(ImportItem::is_shared_memory) {
        return MemoryKind::ImportedShared;
    }
    match interface.export("memory") {
        Some(ItemType::Memory { is_shared: true }) => MemoryKind::ExportedShared,
        Some(ItemType::Memory { is_shared: false }) => MemoryKind::Exported,
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
                (import "wasix_32v1" "proc_join" (func (param i32 i32) (result i32)))
                (import "wasix_32v1" "proc_join" (func (param i32 i32 i32) (result i32)))
                (import "wasix_32v1" "proc_join" (func (param i32) (result i32)))
                (import "wasi_unstable" "fd_close" (func (param i32) (result i32)))
                (import "wasi_unstable" "sock_accept" (func (param i32 i32 i32) (result i32)))
                (import "wasi_ephemeral" "fd_close" (func (param i32) (result i32)))
                (import "env" "memory" (memory 1 2 shared))
                (import "env" "table" (table 1 funcref)))"#,
        )?;
        assert_eq!(
            names(&found.supported),
            "wasi_snapshot_preview1.fd_close wasi.thread-spawn wasix_32v1.thread_spawn \
             wasix_32v1.proc_join wasix_32v1.proc_join wasi_unstable.fd_close env.memory"
        );
        assert_eq!(names(&found.refused), "wasix_32v1.proc_fork");
        assert_eq!(
            names(&found.stubbed),
            "wasi_snapshot_preview1.fd_sync wasix_32v1.thread_exit wasix_32v1.proc_join \
             wasi_unstable.sock_accept"
        );
        assert!(found.threads);
        assert_eq!(names(&found.missing), "wasi_ephemeral.fd_close env.table");
        assert_eq!((found.dialect, found.memory), (Dialect::Wasix, MemoryKind::ImportedShared));
        Ok(())
    }

    type Functions<'a> = &'a [(&'a str, &'a str, usize)];

    /// Of a module that imports these functions, with so many parameters.
    fn importing(functions: Functions<'_>) -> wasmtime::Result<Detected> {
        let mut wat = String::from("(module ");
        for (module, name, params) in functions {
            let params = " i32".repeat(*params);
            wat += &format!("(import {module:?} {name:?} (func (param{params}) (result i32)))");
        }
        detected(&(wat + ")"))
    }

    fn holds(functions: Functions<'_>, generation: Generation, told_by: &str) -> wasmtime::Result<()> {
        let found = importing(functions)?;
        let found_by = found.told_by.map(|import| import.name).unwrap_or_default();
        assert_eq!((found.dialect, found.generation), (Dialect::Wasix, generation), "{functions:?}");
        assert_eq!(found_by, told_by, "{functions:?}");
        Ok(())
    }

    #[test]
    fn tells_the_generations_apart() -> wasmtime::Result<()> {
        let close = (PREVIEW1, "fd_close", 1);
        holds(&[close, (WASIX, "sock_accept", 4)], Generation::V1, "sock_accept")?;
        holds(&[(WASIX, "fd_close", 1)], Generation::V1, "fd_close")?;
        holds(&[(WASIX, "proc_join", 2)], Generation::V1, "proc_join")?;
        holds(&[close, (WASIX, "thread_spawn", 5)], Generation::V1, "thread_spawn")?;
        holds(&[close, (WASIX, "bus_poll", 5)], Generation::V1, "bus_poll")?;
        holds(&[(WASIX, "fd_close", 1), (WASIX, "proc_join", 3)], Generation::V1Late, "proc_join")?;
        holds(&[(WASIX, "proc_join", 3), close], Generation::V2, "")?;
        holds(&[(WASIX, "fd_close", 1), (WASIX, "sock_accept_v2", 4)], Generation::V2, "sock_accept_v2")?;
        holds(&[(WASIX, "sock_open", 4), close], Generation::V2, "")?;
        holds(&[(WASIX, "sock_open", 4), (THREADS, "thread-spawn", 1)], Generation::V2, "thread-spawn")?;
        let later = [(WASIX, "thread_spawn_v2", 2), (WASIX, "fd_dup2", 4), (WASIX, "epoll_create", 1)];
        holds(&later, Generation::V2Later, "fd_dup2")?;
        assert_eq!(importing(&[(UNSTABLE, "fd_close", 1)])?.dialect, Dialect::Unstable);
        assert_eq!(importing(&[(UNSTABLE, "fd_close", 1), close])?.dialect, Dialect::Preview1);
        Ok(())
    }

    #[test]
    fn threads_start_by_any_of_the_names() -> wasmtime::Result<()> {
        for module in [THREADS, PREVIEW1, UNSTABLE] {
            let found = detected(&format!(
                r#"(module
                    (import "{module}" "thread-spawn" (func (param i32) (result i32)))
                    (import "env" "memory" (memory 1 2 shared)))"#
            ))?;
            assert!(found.threads && found.stubbed.is_empty(), "{module}");
        }
        Ok(())
    }

    #[test]
    fn tells_who_has_room_for_wide_addresses() -> wasmtime::Result<()> {
        for (module, name, is_wide) in [
            (WASIX, "sock_open", true),
            (WASIX, "sock_accept_v2", true),
            (WASIX, "epoll_create", true),
            (WASIX, "fd_dup2", true),
            (WASIX, "bus_poll", false),
            (WASIX, "fd_close", false),
            (PREVIEW1, "fd_close", false),
        ] {
            let found = detected(&format!(r#"(module (import "{module}" "{name}" (func)))"#))?;
            assert_eq!(found.has_wide_addresses(), is_wide, "{name}");
        }
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
    fn takes_the_first_shared_memory_whatever_its_name() -> wasmtime::Result<()> {
        let found = detected(
            r#"(module
                (import "wasi" "thread-spawn" (func (param i32) (result i32)))
                (import "foo" "bar" (memory 1 1 shared))
                (import "env" "memory" (memory 1 1 shared))
                (import "foo" "bar" (memory 1 1 shared)))"#,
        )?;
        assert!(found.threads);
        assert_eq!(names(found.memory_import.as_slice()), "foo.bar");
        assert_eq!(names(&found.supported), "wasi.thread-spawn foo.bar foo.bar");
        assert_eq!(names(&found.missing), "env.memory");
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
