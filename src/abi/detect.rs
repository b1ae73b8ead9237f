//! What a module speaks, and which of its imports the host has.

use std::fmt;

use wasmtime::{ExternType, ImportType, MemoryType, Module};

use super::dialect::{self, DIALECTS, Definition};
use super::interface::{ImportItem, Interface, ItemType};
use super::table::Function;
use super::wasix::{self, WasixGeneration, added_in};
use crate::observe::text::Excerpt;
use crate::process::Personality;

/// The calls that a module was written for. It is printed as people write its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    id: &'static str,
    title: &'static str,
}

impl Dialect {
    pub(super) const fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title }
    }

    /// Its name for programs to read: `wasi_unstable`, the snapshot before preview 1, alone;
    /// `wasi_snapshot_preview1`, maybe with `wasi_unstable` beside it; `wasmedge` and `wamr`, which are that
    /// with the sockets of WasmEdge or WAMR; `wasix`, with or without preview 1 beside it; `wasix_64v1`, of which
    /// nothing is served.
    pub fn id(self) -> &'static str {
        self.id
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title)
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
/// [escaped](crate::observe::Escaped), and cut where they are long.
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
        write!(f, "{}.{}", Excerpt::name(&self.module), Excerpt::name(&self.name))
    }
}

/// What [`detect`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Detected {
    /// The dialect.
    pub dialect: Dialect,
    /// The generation, where the dialect has several.
    pub generation: Option<WasixGeneration>,
    /// The import that shows the generation; without one it is a guess. Of a dialect that shares its import
    /// modules with another one, or is not served: the import that shows the dialect.
    pub told_by: Option<Import>,
    /// The memory.
    pub memory: MemoryKind,
    /// The name of a shared memory that the host must make.
    pub memory_import: Option<Import>,
    /// May the module start threads? It imports a call for it, and the memory that they
    /// share; or that is its own, and a [`Guest`](crate::Guest) was loaded from its bytes.
    pub threads: bool,
    personality: Personality,
    /// Imports that the host has, with the same type; what compilers import from `env` and does no harm
    /// is among them.
    pub supported: Vec<Import>,
    /// Functions that the host knows and refuses: they fail with `ENOTSUP`.
    pub refused: Vec<Import>,
    /// Functions of a known module that the host lacks, or has with another type;
    /// they are linked as functions that fail with `ENOSYS`.
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

impl Detected {
    /// The month in which WASIX got the latest function that the program imports, where that was
    /// after its second generation began.
    pub fn since(&self) -> Option<&'static str> {
        self.generation?;
        self.told_by.as_ref().and_then(|import| added_in(&import.name))
    }

    /// What calls with several meanings mean to the program.
    pub(crate) fn personality(&self) -> Personality {
        self.personality
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
    let definition = dialect::of(DIALECTS, interface);
    for item in &interface.imports {
        let list = match support_of(definition, item, memory_import.as_ref()) {
            Support::Supported if lacks_asyncify(interface, &item.import) => &mut refused,
            Support::Supported => &mut supported,
            Support::Refused => &mut refused,
            Support::Stubbed => &mut stubbed,
            Support::Missing => &mut missing,
        };
        list.push(item.import.clone());
    }
    let (generation, told_by) = (definition.generation)(interface).unzip();
    let is_told = definition.modules.is_empty();
    let sign =
        || is_told.then(|| (definition.sign)(interface).or_else(|| (definition.hint)(interface))).flatten();
    Detected {
        dialect: definition.dialect,
        generation,
        told_by: told_by.flatten().or_else(|| sign().cloned()),
        personality: (definition.personality)(interface),
        memory: memory(interface),
        threads: (memory_import.is_some() || interface.may_share_own_memory)
            && starts_threads(definition, interface),
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

/// What the imports of a module mean, which its dialect decides.
pub(crate) struct Imports {
    dialect: &'static Definition,
    memory: Option<Import>,
}

impl Imports {
    /// Those of `module`.
    pub(crate) fn of(module: &Module) -> Self {
        let dialect = dialect::of(DIALECTS, &Interface::of(module));
        Self { dialect, memory: imported_memory(module).map(|(import, _)| import) }
    }

    /// Whether the host has `import`.
    pub(crate) fn support(&self, import: &ImportType<'_>) -> Support {
        support_of(self.dialect, &ImportItem::of(import), self.memory.as_ref())
    }

    /// The function that `import` means.
    pub(crate) fn resolve(&self, import: &ImportType<'_>) -> Option<&'static Function> {
        dialect::resolve(DIALECTS, self.dialect, &ImportItem::of(import))
    }
}

fn support_of(dialect: &'static Definition, item: &ImportItem, memory: Option<&Import>) -> Support {
    let import = &item.import;
    match &item.ty {
        ItemType::Function(_) => match dialect::resolve(DIALECTS, dialect, item) {
            Some(function) if function.refused.is_some() => Support::Refused,
            Some(_) => Support::Supported,
            None if dialect::knows(&import.module) => Support::Stubbed,
            None => Support::Missing,
        },
        ItemType::Memory { is_shared: true } if memory == Some(import) => Support::Supported,
        _ => Support::Missing,
    }
}

/// Is `import` a call that copies the stack of the program that makes it, and the program none that can hand its stack over?
fn lacks_asyncify(interface: &Interface, import: &Import) -> bool {
    import.name == "proc_fork" && interface.export("asyncify_start_unwind").is_none()
}

/// Does `module` import a memory that threads share, or a call that starts threads, whether
/// or not the host has it in this type?
pub(crate) fn wants_threads(module: &Module) -> bool {
    module.imports().any(|import| match import.ty() {
        ExternType::Memory(ty) => ty.is_shared(),
        ExternType::Func(_) => {
            dialect::knows(import.module())
                && matches!(import.name(), "thread-spawn" | "thread_spawn" | "thread_spawn_v2")
        }
        _ => false,
    })
}

fn starts_threads(dialect: &'static Definition, interface: &Interface) -> bool {
    let is_spawn = |item: &ImportItem| {
        matches!(
            (item.import.module.as_str(), item.import.name.as_str()),
            (_, "thread-spawn") | (wasix::MODULE, "thread_spawn" | "thread_spawn_v2")
        ) && support_of(dialect, item, None) == Support::Supported
    };
    interface.imports.iter().any(is_spawn)
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
    use crate::abi::preview1::{MODULE as PREVIEW1, UNSTABLE_MODULE as UNSTABLE};
    use crate::abi::wasi_threads::MODULE as THREADS;
    use crate::abi::wasix::MODULE as WASIX;
    use crate::process::Numbering;

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
                (import "wasix_32v1" "proc_snapshot" (func (result i32)))
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
        assert_eq!(names(&found.refused), "wasix_32v1.proc_snapshot");
        assert_eq!(
            names(&found.stubbed),
            "wasi_snapshot_preview1.fd_sync wasix_32v1.thread_exit wasix_32v1.proc_join \
             wasi_unstable.sock_accept"
        );
        assert!(found.threads);
        assert_eq!(names(&found.missing), "wasi_ephemeral.fd_close env.table");
        assert_eq!((found.dialect.id(), found.memory), ("wasix", MemoryKind::ImportedShared));
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

    fn holds(functions: Functions<'_>, generation: WasixGeneration, told_by: &str) -> wasmtime::Result<()> {
        let found = importing(functions)?;
        let found_by = found.told_by.map(|import| import.name).unwrap_or_default();
        assert_eq!((found.dialect.id(), found.generation), ("wasix", Some(generation)), "{functions:?}");
        assert_eq!(found_by, told_by, "{functions:?}");
        Ok(())
    }

    #[test]
    fn distinguishes_the_generations() -> wasmtime::Result<()> {
        let close = (PREVIEW1, "fd_close", 1);
        holds(&[close, (WASIX, "sock_accept", 4)], WasixGeneration::V1, "sock_accept")?;
        holds(&[(WASIX, "fd_close", 1)], WasixGeneration::V1, "fd_close")?;
        holds(&[(WASIX, "proc_join", 2)], WasixGeneration::V1, "proc_join")?;
        holds(&[close, (WASIX, "thread_spawn", 5)], WasixGeneration::V1, "thread_spawn")?;
        holds(&[close, (WASIX, "bus_poll", 5)], WasixGeneration::V1, "bus_poll")?;
        holds(&[(WASIX, "fd_close", 1), (WASIX, "proc_join", 3)], WasixGeneration::V1Late, "proc_join")?;
        holds(&[(WASIX, "proc_join", 3), close], WasixGeneration::V2, "")?;
        holds(
            &[(WASIX, "fd_close", 1), (WASIX, "sock_accept_v2", 4)],
            WasixGeneration::V2,
            "sock_accept_v2",
        )?;
        holds(&[(WASIX, "sock_open", 4), close], WasixGeneration::V2, "")?;
        holds(&[(WASIX, "sock_open", 4), (THREADS, "thread-spawn", 1)], WasixGeneration::V2, "thread-spawn")?;
        let later = [(WASIX, "thread_spawn_v2", 2), (WASIX, "fd_dup2", 4), (WASIX, "epoll_create", 1)];
        holds(&later, WasixGeneration::V2Later, "fd_dup2")?;
        for (functions, dialect) in [
            (&[(UNSTABLE, "fd_close", 1)][..], "wasi_unstable"),
            (&[(UNSTABLE, "fd_close", 1), close], "wasi_snapshot_preview1"),
        ] {
            let found = importing(functions)?;
            assert_eq!((found.dialect.id(), found.generation, found.told_by), (dialect, None, None));
        }
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
    fn detects_programs_with_wide_addresses() -> wasmtime::Result<()> {
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
            assert_eq!(found.personality().wide_addresses, is_wide, "{name}");
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
            detected(&(wat + ")")).map(|found| found.personality().numbering)
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
