//! Can an instance of a module be copied as it is now?
//!
//! What can be copied is its memory and its globals that hold numbers, if it exports them or they are those of
//! `--asyncify`, which are set anew. All else that an instance can change it must not be able to change.

use wasmparser::{ExternalKind, Operator, Parser, Payload, TypeRef, ValType};
use wasmtime::Module;

/// The import that needs it.
const FORK: &str = "proc_fork";

/// The export that sets the two globals of `--asyncify`.
const START_UNWIND: &str = "asyncify_start_unwind";

/// Why an instance can't be copied, of a module of which that is not known.
pub(super) const UNKNOWN: &str =
    "it was compiled elsewhere, and what it keeps besides its memory is not known";

/// The imports that begin a process, or have it become another program.
const OF_PROCESSES: [&str; 9] = [
    FORK,
    "proc_fork_env",
    "proc_spawn",
    "proc_spawn2",
    "proc_spawn3",
    "proc_exec",
    "proc_exec2",
    "proc_exec3",
    "proc_exec4",
];

/// Is the import `name` one with which a guest has more than one process, or more than one program?
pub(super) fn is_of_processes(name: &str) -> bool {
    OF_PROCESSES.contains(&name)
}

/// Does the module copy itself?
pub(super) fn forks(module: &Module) -> bool {
    module.imports().any(|import| import.name() == FORK)
}

/// Why an instance of the module `bytes` can't be copied, if it can't, in words.
pub(super) fn obstacle(bytes: &[u8]) -> Option<&'static str> {
    // The engine has found it valid.
    look(bytes).unwrap_or(Some(UNKNOWN))
}

#[derive(Default)]
struct Found {
    imported_functions: u32,
    imported_globals: u32,
    start_unwind: Option<u32>,
    exported: Vec<u32>,
    /// Those that change.
    globals: Vec<u32>,
    /// Those that `asyncify_start_unwind` sets.
    of_asyncify: Vec<u32>,
}

fn look(bytes: &[u8]) -> Result<Option<&'static str>, wasmparser::BinaryReaderError> {
    let mut found = Found::default();
    let mut function = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) => {
                            found.imported_functions = found.imported_functions.saturating_add(1);
                        }
                        TypeRef::Global(global) if global.mutable => {
                            return Ok(Some("it imports a global that changes"));
                        }
                        TypeRef::Global(_) => {
                            found.imported_globals = found.imported_globals.saturating_add(1);
                        }
                        TypeRef::Table(_) => return Ok(Some("it imports a table")),
                        _ => {}
                    }
                }
                function = found.imported_functions;
            }
            Payload::GlobalSection(globals) => {
                for (index, global) in (found.imported_globals..).zip(globals) {
                    let ty = global?.ty;
                    if ty.mutable && matches!(ty.content_type, ValType::Ref(_)) {
                        return Ok(Some("it has a global that holds a reference"));
                    }
                    if ty.mutable {
                        found.globals.push(index);
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Global => found.exported.push(export.index),
                        ExternalKind::Func if export.name == START_UNWIND => {
                            found.start_unwind = Some(export.index);
                        }
                        _ => {}
                    }
                }
            }
            Payload::CodeSectionEntry(code) => {
                let mut operators = code.get_operators_reader()?;
                while !operators.eof() {
                    match operators.read()? {
                        Operator::TableSet { .. }
                        | Operator::TableGrow { .. }
                        | Operator::TableFill { .. }
                        | Operator::TableCopy { .. }
                        | Operator::TableInit { .. } => return Ok(Some("its code can change its table")),
                        Operator::GlobalSet { global_index } if found.start_unwind == Some(function) => {
                            found.of_asyncify.push(global_index);
                        }
                        _ => {}
                    }
                }
                function = function.saturating_add(1);
            }
            _ => {}
        }
    }
    let is_known = |global: &u32| found.exported.contains(global) || found.of_asyncify.contains(global);
    Ok((!found.globals.iter().all(is_known)).then_some("it has a global that changes and is not exported"))
}

#[cfg(all(test, feature = "wat"))]
mod tests {
    use super::*;

    fn why(text: &str) -> Result<Option<&'static str>, wat::Error> {
        Ok(obstacle(&wat::parse_str(text)?))
    }

    #[test]
    fn globals_must_be_exported_or_those_of_asyncify() -> Result<(), wat::Error> {
        let asyncify = r#"(import "e" "f" (func))
            (global $state (mut i32) (i32.const 0)) (global $data (mut i32) (i32.const 0))
            (global (export "__stack_pointer") (mut i32) (i32.const 9)) (global i32 (i32.const 1))
            (func) (func (export "asyncify_start_unwind") (param i32)
                (global.set $state (i32.const 1)) (global.set $data (local.get 0)))"#;
        assert_eq!(why(&format!("(module {asyncify})"))?, None);
        let more = format!("(module {asyncify} (global (mut i64) (i64.const 0)))");
        assert_eq!(why(&more)?, Some("it has a global that changes and is not exported"));
        let reference = "(module (global (export \"g\") (mut funcref) (ref.null func)))";
        assert_eq!(why(reference)?, Some("it has a global that holds a reference"));
        Ok(())
    }

    #[test]
    fn a_table_must_stay_as_it_is() -> Result<(), wat::Error> {
        assert_eq!(why("(module (table 2 funcref) (elem (i32.const 0) 0) (func))")?, None);
        let sets = "(module (table 2 funcref) (func (table.set (i32.const 0) (ref.null func))))";
        assert_eq!(why(sets)?, Some("its code can change its table"));
        assert_eq!(why(r#"(module (import "e" "t" (table 1 funcref)))"#)?, Some("it imports a table"));
        Ok(())
    }
}
