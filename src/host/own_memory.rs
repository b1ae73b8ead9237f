//! Threads in a shared memory that the module makes for itself.
//!
//! Each thread is an instance of its own, so a memory that the module makes would be another one in each. Most
//! programs are linked to import it. Those for WAMR are not, whose threads have the memory of the first one in any case. So such a
//! module is written anew, with its memory as the last of its imports, which the host makes as for any other: its
//! index is 0 as before, and all else is the same, byte for byte. That goes well as long as the module has no data that
//! each instance would put into the memory again: linkers put the data of a shared memory there once, by code.

use crate::abi::{Interface, detect_in, may_share_own_memory};

use super::snapshot::encode::{name, read, section, unsigned};
use super::snapshot::{Refusal, each_section};

/// The import module of the memory, and its name there. No toolchain's.
const MODULE: &str = "wasock";
const NAME: &str = "own shared memory";

// The sections, as the core specification numbers them.
const IMPORTS: u8 = 2;
const MEMORIES: u8 = 5;

/// The kind of an import that is a memory.
const MEMORY: u8 = 2;

/// The module `bytes` with its memory as an import, and what is said of it as it was; `None` where that is not
/// needed, or not possible.
pub(super) fn imported(bytes: &[u8]) -> Option<(Vec<u8>, Interface)> {
    // Most have none, and that is seen at once.
    if !may_share_own_memory(bytes) {
        return None;
    }
    let interface = Interface::read(bytes).ok()?;
    detect_in(&interface).threads.then(|| written(bytes)).flatten().map(|written| (written, interface))
}

fn written(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut memory = None;
    let looked = each_section(bytes, |id, body, _| {
        if id == MEMORIES {
            // Behind their number, which is 1.
            memory = read(body).and_then(|(_, length)| body.get(length..)).map(<[u8]>::to_vec);
        }
        Ok(())
    });
    let memory = looked.ok().and(memory)?;
    let mut written = bytes.get(..8)?.to_vec();
    let done = each_section(bytes, |id, body, whole| {
        match id {
            IMPORTS => {
                let (count, length) = read(body).ok_or(Refusal::Invalid)?;
                let mut imports = Vec::new();
                unsigned(&mut imports, count.saturating_add(1));
                imports.extend_from_slice(body.get(length..).unwrap_or_default());
                name(&mut imports, MODULE);
                name(&mut imports, NAME);
                imports.push(MEMORY);
                imports.extend_from_slice(&memory);
                section(&mut written, IMPORTS, &imports);
            }
            MEMORIES => {}
            _ => written.extend_from_slice(whole),
        }
        Ok(())
    });
    done.ok().map(|()| written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::MemoryKind;
    use wasmtime::{Engine, ExternType, Module};

    const SPAWN: &str = r#"(import "wasi" "thread-spawn" (func (param i32) (result i32)))"#;

    fn rewritten(text: &str) -> wasmtime::Result<Option<(Module, Interface)>> {
        let bytes = wat::parse_str(format!("(module {text})")).map_err(wasmtime::Error::new)?;
        let engine = Engine::new(&crate::Guest::engine_config())?;
        let Some((bytes, interface)) = imported(&bytes) else { return Ok(None) };
        Ok(Some((Module::from_binary(&engine, &bytes)?, interface)))
    }

    #[test]
    fn a_memory_of_its_own_becomes_an_import() -> wasmtime::Result<()> {
        let text = format!(
            r#"{SPAWN} (memory (export "memory") 2 300 shared) (data "passive")
               (func (export "first") (result i32) (i32.load (i32.const 65536))) (start 2)
               (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 7)))"#
        );
        let (module, interface) = rewritten(&text)?.ok_or_else(|| wasmtime::Error::msg("it was left"))?;
        let last = module.imports().last().map(|import| (import.module().to_owned(), import.ty()));
        let Some((module_of, ExternType::Memory(ty))) = last else {
            return Err(wasmtime::Error::msg("no memory"));
        };
        assert_eq!((&*module_of, ty.is_shared(), ty.minimum(), ty.maximum()), (MODULE, true, 2, Some(300)));
        assert!(matches!(module.get_export("memory"), Some(ExternType::Memory(_))));
        let found = detect_in(&interface);
        assert_eq!((found.memory, found.memory_import), (MemoryKind::ExportedShared, None));
        assert!(found.threads);
        Ok(())
    }

    #[test]
    fn what_could_not_share_it_stays_as_it_is() -> wasmtime::Result<()> {
        for text in [
            // Nothing starts a thread.
            r#"(memory 1 2 shared)"#.to_owned(),
            // Each instance would have its data anew.
            format!(r#"{SPAWN} (memory 1 2 shared) (data (i32.const 0) "active")"#),
            format!("{SPAWN} (memory 1 2)"),
            format!("{SPAWN} (memory 1 2 shared) (memory 1)"),
            format!(r#"{SPAWN} (import "env" "memory" (memory 1 2 shared))"#),
            SPAWN.to_owned(),
        ] {
            assert!(rewritten(&text)?.is_none(), "{text}");
        }
        Ok(())
    }

    #[test]
    fn what_is_broken_is_left() -> wasmtime::Result<()> {
        let bytes =
            wat::parse_str(format!("(module {SPAWN} (memory 1 2 shared))")).map_err(wasmtime::Error::new)?;
        for length in 0..bytes.len() {
            // A result or none, and no panic.
            let _any = imported(bytes.get(..length).unwrap_or_default());
        }
        Ok(())
    }
}
