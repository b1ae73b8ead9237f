//! The registry of dialects.
//!
//! A dialect is a value: the import modules that are its own, how it recognises a program, which
//! function an import means, and the personality of its programs. The list of them is
//! that of `build.rs`; the first one that recognises a program has it.
//!
//! To add one: a folder here with its `DIALECT` and what wiggle makes of its witx, the line in
//! `abi/mod.rs` that makes it a module, the witx, and its line in `build.rs`.

use super::detect::{Dialect, Import};
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
    /// Is a program with this interface one of its own?
    pub(crate) recognizes: fn(&Interface) -> bool,
    /// The function that an import of its modules means, by name and type.
    pub(crate) function: fn(&ImportItem) -> Option<&'static Function>,
    /// What calls with several meanings mean to its programs.
    pub(crate) personality: fn(&Interface) -> Personality,
}

/// A generation, and the import that tells it; without one it is a guess.
type FoundGeneration = (WasixGeneration, Option<Import>);

include!(concat!(env!("OUT_DIR"), "/dialects.rs"));

/// The dialect of a program: the first one that recognises it.
pub(super) fn of(dialects: &[&'static Definition], interface: &Interface) -> &'static Definition {
    dialects
        .iter()
        .find(|dialect| (dialect.recognizes)(interface))
        .copied()
        .unwrap_or(&super::preview1::DIALECT)
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

/// The function that `item` means, by its module, name and type.
pub(super) fn resolve(dialects: &[&'static Definition], item: &ImportItem) -> Option<&'static Function> {
    let module = item.import.module.as_str();
    let mut owners = dialects.iter().filter(|dialect| dialect.modules.contains(&module));
    owners.find_map(|dialect| (dialect.function)(item))
}

/// Does the host know the import module `name`?
pub(super) fn knows(name: &str) -> bool {
    DIALECTS.iter().any(|dialect| dialect.modules.contains(&name))
}

/// The function of an import that has its name and type.
pub(super) fn by_name(item: &ImportItem) -> Option<&'static Function> {
    by_other_name(item, &item.import.module, &item.import.name)
}

/// The function `name` of `module` for an import that has its type.
pub(super) fn by_other_name(item: &ImportItem, module: &str, name: &str) -> Option<&'static Function> {
    Function::of_type(module, name, item.signature()?)
}

/// Does a program import anything from `module`?
pub(super) fn imports_from(interface: &Interface, module: &str) -> bool {
    interface.imports.iter().any(|item| item.import.module == module)
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
        recognizes: |interface| imports_from(interface, "test_net"),
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
            interface.imports.iter().map(|item| resolve(&dialects, item).map(|it| it.name)).collect();
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
