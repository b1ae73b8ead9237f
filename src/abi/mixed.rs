//! Modules that mix dialects in a way that nobody means.
//!
//! Several dialects have functions of one name, which differ in their types; and WASIX has import
//! modules of its own. So a module that imports what only one of them has and what only
//! another one has was put together by mistake, and whatever the host made of it would be wrong for
//! one half.

use std::fmt;

use super::detect::Import;
use super::dialect::DIALECTS;
use super::interface::Interface;
use super::wasix::MODULE as WASIX;

/// Two imports of one module, each of which only one dialect has. Its `Display` is the rest of a sentence
/// about that module.
pub(crate) struct Mixture<'a> {
    first: (String, &'a Import),
    second: (String, &'a Import),
}

impl fmt::Display for Mixture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((first, import), (second, other)) = (&self.first, &self.second);
        write!(
            f,
            "mixes dialects: it imports {import} as {first} has it, and {other} as {second} has it; \
             link its parts against one of them"
        )
    }
}

/// What shows that a module mixes dialects.
pub(crate) fn mixture(interface: &Interface) -> Option<Mixture<'_>> {
    let mut signs = DIALECTS.iter().filter_map(|dialect| {
        let is_exclusive = !dialect.adds_to.is_empty() || dialect.modules.contains(&WASIX);
        let sign = is_exclusive.then(|| (dialect.sign)(interface)).flatten()?;
        Some((dialect.dialect.to_string(), sign))
    });
    let (first, second) = (signs.next()?, signs.next()?);
    Some(Mixture { first, second })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::preview1::MODULE as PREVIEW1;
    use wasmtime::{Engine, Module};

    /// What is said of a module with these imports: each a module, a name and how many parameters.
    fn said(imports: &[(&str, &str, usize)]) -> wasmtime::Result<Option<String>> {
        let mut wat = String::from("(module ");
        for (module, name, params) in imports {
            let params = " i32".repeat(*params);
            wat += &format!("(import {module:?} {name:?} (func (param{params}) (result i32)))");
        }
        let interface = Interface::of(&Module::new(&Engine::default(), wat + ")")?);
        Ok(mixture(&interface).map(|mixture| mixture.to_string()))
    }

    #[test]
    fn names_both_imports() -> wasmtime::Result<()> {
        let edge = (PREVIEW1, "sock_open", 3);
        assert_eq!(
            said(&[edge, (WASIX, "fd_close", 1)])?.as_deref(),
            Some(
                "mixes dialects: it imports wasix_32v1.fd_close as WASIX has it, and \
                 wasi_snapshot_preview1.sock_open as WasmEdge has it; link its parts against one of them"
            )
        );
        let with_wamr = said(&[edge, (PREVIEW1, "sock_addr_resolve", 6)])?.unwrap_or_default();
        assert!(with_wamr.contains("sock_open as WasmEdge"), "{with_wamr}");
        assert!(with_wamr.contains("sock_addr_resolve as WAMR"), "{with_wamr}");
        assert!(said(&[(PREVIEW1, "sock_bind", 2), (PREVIEW1, "sock_connect", 3)])?.is_some());
        let with_wasix = said(&[(PREVIEW1, "sock_open", 4), (WASIX, "sock_open", 4)])?.unwrap_or_default();
        assert!(with_wasix.contains("wasi_snapshot_preview1.sock_open as WAMR has it"), "{with_wasix}");
        Ok(())
    }

    #[test]
    fn what_belongs_together_is_no_mixture() -> wasmtime::Result<()> {
        let whole: &[&[(&str, &str, usize)]] = &[
            &[(PREVIEW1, "sock_open", 3), (PREVIEW1, "sock_accept", 2), (PREVIEW1, "sock_recv_from_v2", 8)],
            &[(PREVIEW1, "sock_open", 4), (PREVIEW1, "sock_recv_from", 6), ("wasi", "thread-spawn", 1)],
            &[(PREVIEW1, "sock_open", 3), (PREVIEW1, "sock_recv_from", 6), (PREVIEW1, "sock_listen", 2)],
            &[(PREVIEW1, "sock_accept", 3), (WASIX, "sock_open", 4), ("wasi", "thread-spawn", 1)],
            &[(PREVIEW1, "fd_close", 1), ("wasi_unstable", "fd_close", 1)],
        ];
        for imports in whole {
            assert_eq!(said(imports)?, None, "{imports:?}");
        }
        Ok(())
    }
}
