//! The shared memories that a module makes for itself.
//!
//! Wasmtime calls a limiter when one is made, and not when it grows: so it has to count with
//! its declared maximum from the start. It reports such a memory only if it is exported;
//! the others are found in the module's own bytes.

use wasmtime::{ExternType, MemoryType, Module};

const PAGE_LOG2: u64 = 16;

/// The section of the memories, as the core specification numbers it.
const MEMORY_SECTION: u8 = 5;

/// By how many bytes the shared memories of a binary module may grow, all together. `None` for
/// what is no binary module.
pub(super) fn growth_in_binary(mut bytes: &[u8]) -> Option<u64> {
    bytes = bytes.strip_prefix(b"\0asm")?.get(4..)?;
    while let Some((id, rest)) = bytes.split_first() {
        bytes = rest;
        let size = usize::try_from(number(&mut bytes)?).ok()?;
        let (section, rest) = bytes.split_at_checked(size)?;
        bytes = rest;
        if *id == MEMORY_SECTION {
            return growth_in_section(section);
        }
    }
    Some(0)
}

fn growth_in_section(mut section: &[u8]) -> Option<u64> {
    let mut growth = 0_u64;
    for _ in 0..number(&mut section)? {
        // Bits: it has a maximum, it is shared, it has 64 bits, it has pages of its own size.
        let flags = number(&mut section)?;
        let minimum = number(&mut section)?;
        let maximum = if flags & 1 != 0 { number(&mut section)? } else { minimum };
        let page_log2 = if flags & 8 != 0 { number(&mut section)? } else { PAGE_LOG2 };
        if flags & 2 != 0 {
            let page = 1_u64.checked_shl(u32::try_from(page_log2).ok()?)?;
            growth = growth.saturating_add(maximum.saturating_sub(minimum).saturating_mul(page));
        }
    }
    Some(growth)
}

/// A number in LEB128: seven bits a byte, the low ones first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The same for a module whose bytes are gone: for the memories that it exports, and
/// does not import.
pub(super) fn growth_in_exports(module: &Module) -> u64 {
    let shared = |ty: ExternType| match ty {
        ExternType::Memory(ty) if ty.is_shared() => Some(ty),
        _ => None,
    };
    let imported: Vec<MemoryType> = module.imports().filter_map(|import| shared(import.ty())).collect();
    let own = module.exports().filter_map(|export| shared(export.ty())).filter(|ty| !imported.contains(ty));
    own.fold(0_u64, |growth, ty| {
        let pages = ty.maximum().unwrap_or(0).saturating_sub(ty.minimum());
        growth.saturating_add(pages.saturating_mul(ty.page_size()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Config, Engine};

    const MODULE: &str = r#"(module
        (import "env" "memory" (memory 1 9 shared))
        (memory 1 3)
        (memory 2 300 shared)
        (memory (export "own") i64 1 5 shared)
        (func (export "run")))"#;

    #[test]
    fn shared_memories_are_found_in_the_bytes() -> wasmtime::Result<()> {
        let bytes = wat::parse_str(MODULE).map_err(wasmtime::Error::new)?;
        assert_eq!(growth_in_binary(&bytes), Some((298 + 4) * 65536));
        let none = wat::parse_str("(module (memory 1 3))").map_err(wasmtime::Error::new)?;
        assert_eq!(growth_in_binary(&none), Some(0));
        Ok(())
    }

    #[test]
    fn exports_tell_of_some() -> wasmtime::Result<()> {
        let engine = Engine::new(Config::new().wasm_threads(true).shared_memory(true).wasm_memory64(true))?;
        assert_eq!(growth_in_exports(&Module::new(&engine, MODULE)?), 4 * 65536);
        Ok(())
    }

    #[test]
    fn what_is_broken_is_no_module() -> wasmtime::Result<()> {
        let bytes = wat::parse_str(MODULE).map_err(wasmtime::Error::new)?;
        assert_eq!(growth_in_binary(b"(module)"), None);
        for length in 0..bytes.len() {
            // A result or none, and no panic.
            let _any = growth_in_binary(bytes.get(..length).unwrap_or_default());
        }
        assert_eq!(number(&mut [0x80; 11].as_slice()), None);
        assert_eq!(number(&mut [0xe5, 0x8e, 0x26].as_slice()), Some(624_485));
        Ok(())
    }
}
