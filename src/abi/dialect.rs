//! The registry of dialects.
//!
//! A dialect is a value: the import modules that are its own, or those of another one that it adds
//! functions to; the import that shows a program to be one of its own; which function an import
//! means, and the personality of its programs. The list of them is that of `build.rs`; the first
//! one whose sign a program has, has the program.
//!
//! To add one: a folder here with its `DIALECT` and what wiggle makes of its witx, the line in
//! `abi/mod.rs` that makes it a module, the witx, and its line in `build.rs`.

use super::detect::{Dialect, Import};
use super::env;
use super::interface::{ImportItem, Interface};
use super::table::Function;
use super::wasix::WasixGeneration;
use crate::process::Personality;

/// A dialect, as the registry has it.
pub(crate) struct Definition {
    /// What it is called.
    pub(crate) dialect: Dialect,
    /// The generation of a program, where it has several.
    pub(crate) generation: fn(&Interface) -> Option<FoundGeneration>,
    /// The import modules whose functions are its own.
    pub(crate) modules: &'static [&'static str],
    /// The import modules of other dialects that it adds functions to. In its own programs, its
    /// meaning of an import comes first.
    pub(crate) adds_to: &'static [&'static str],
    /// The import by which a program shows that it is one of its own.
    pub(crate) sign: fn(&Interface) -> Option<&Import>,
    /// An import by which a program is likely its own, where it has no dialect's sign.
    pub(crate) hint: fn(&Interface) -> Option<&Import>,
    /// The function that an import of its modules means, by name and type.
    pub(crate) function: fn(&ImportItem) -> Option<&'static Function>,
    /// What calls with several meanings mean to its programs.
    pub(crate) personality: fn(&Interface) -> Personality,
}

/// A generation, and the import that tells it; without one it is a guess.
type FoundGeneration = (WasixGeneration, Option<Import>);

include!(concat!(env!("OUT_DIR"), "/dialects.rs"));

/// The dialect of a program: the first one whose sign it has, or else whose hint, or else preview 1.
pub(super) fn of(dialects: &[&'static Definition], interface: &Interface) -> &'static Definition {
    let mut all = dialects.iter();
    let signed = all.find(|dialect| (dialect.sign)(interface).is_some());
    let hinted = || dialects.iter().find(|dialect| (dialect.hint)(interface).is_some());
    signed.or_else(hinted).copied().unwrap_or(&super::preview1::DIALECT)
}

/// What the linker of a program is for. Two programs of one dialect and generation mean the same
/// function by an import of one name; others may not.
pub(crate) fn linkage(interface: &Interface) -> String {
    let definition = of(DIALECTS, interface);
    match (definition.generation)(interface) {
        Some((generation, _)) => format!("{}, generation {}", definition.dialect, generation.linkage()),
        None => definition.dialect.to_string(),
    }
}

/// The function that `item` means in a program of `own`, by its module, name and type.
pub(super) fn resolve(
    dialects: &[&'static Definition],
    own: &'static Definition,
    item: &ImportItem,
) -> Option<&'static Function> {
    let module = item.import.module.as_str();
    let added = own.adds_to.contains(&module).then(|| (own.function)(item)).flatten();
    let mut owners = dialects.iter().filter(|dialect| dialect.modules.contains(&module));
    added.or_else(|| owners.find_map(|dialect| (dialect.function)(item))).or_else(|| env::function(item))
}

/// Does the host know the import module `name`, and answer for what it lacks there?
pub(super) fn knows(name: &str) -> bool {
    DIALECTS.iter().any(|dialect| dialect.modules.contains(&name))
}

/// The function of an import that has its name and type.
pub(super) fn by_name(item: &ImportItem) -> Option<&'static Function> {
    by_other_name(item, &item.import.module, &item.import.name)
}

/// The function `name` of `module` for an import that has its type.
pub(super) fn by_other_name(item: &ImportItem, module: &str, name: &str) -> Option<&'static Function> {
    Function::of_type(module, name, item.signature()?, None)
}

/// The function that the dialect `id` adds to the module of an import under `name`, with the type of
/// the import.
pub(super) fn added(item: &ImportItem, id: &str, name: &str) -> Option<&'static Function> {
    Function::of_type(&item.import.module, name, item.signature()?, Some(id))
}

/// The first import of a program from `module`.
pub(super) fn import_from<'a>(interface: &'a Interface, module: &str) -> Option<&'a Import> {
    interface.imports.iter().map(|item| &item.import).find(|import| import.module == module)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::preview1;
    use wasmtime::{Engine, Module};

    /// All that there is to a dialect whose calls are those of another by other names.
    const TEST: Definition = Definition {
        dialect: Dialect::new("test", "the test's"),
        modules: &["test_net"],
        sign: |interface| import_from(interface, "test_net"),
        function: |item| match item.import.name.as_str() {
            "listen" => by_other_name(item, "wasix_32v1", "sock_listen"),
            _ => None,
        },
        personality: |_| Personality { wide_addresses: true, ..Personality::PREVIEW1 },
        ..preview1::DIALECT
    };

    #[test]
    fn a_dialect_is_a_value() -> wasmtime::Result<()> {
        let dialects: Vec<&'static Definition> =
            std::iter::once(&TEST).chain(DIALECTS.iter().copied()).collect();
        let text = r#"(module
            (import "test_net" "listen" (func (param i32 i32) (result i32)))
            (import "test_net" "listen" (func (param i32) (result i32)))
            (import "test_net" "sock_listen" (func (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32))))"#;
        let interface = Interface::of(&Module::new(&Engine::default(), text)?);
        let found: Vec<_> =
            interface.imports.iter().map(|item| resolve(&dialects, &TEST, item).map(|it| it.name)).collect();
        assert_eq!(found, [Some("sock_listen"), None, None, Some("fd_close")]);
        let found = of(&dialects, &interface);
        assert_eq!(found.modules, TEST.modules);
        assert!((found.personality)(&interface).wide_addresses);
        assert_eq!((found.dialect.id(), found.dialect.to_string()), ("test", "the test's".to_owned()));
        // No other one has it for its own.
        assert_eq!(of(DIALECTS, &interface).modules, preview1::DIALECT.modules);
        assert!(!knows("test_net") && knows("wasi"));
        Ok(())
    }

    /// A name and a type have one meaning, and each import module one owner.
    #[test]
    fn no_module_has_two_owners() {
        let mut modules: Vec<_> = DIALECTS.iter().flat_map(|dialect| dialect.modules).collect();
        modules.sort_unstable();
        let count = modules.len();
        modules.dedup();
        assert_eq!(modules.len(), count);
    }
}
