//! WAMR: the socket calls that it adds to `wasi_snapshot_preview1`.
//!
//! A file for each noun of the witx, with the trait that wiggle made of it; `address.rs` has the addresses,
//! whose port comes last. Threads are those of wasi-threads.

pub(crate) mod address;
pub(crate) mod bindings;
mod look_up;
mod message;
mod multicast;
mod names;
mod option;
mod socket;
mod tcp;

use super::detect::{Dialect, Import};
use super::dialect::{Definition, added};
use super::interface::{ImportItem, Interface};
use crate::process::Personality;
use bindings::types;

crate::abi::errno::error_numbers!(types);

/// The import module to which it adds its calls.
const MODULE: &str = "wasi_snapshot_preview1";

const ID: &str = "wamr";

/// WAMR, of every version.
pub(crate) const DIALECT: Definition = Definition {
    dialect: Dialect::new(ID, "WAMR"),
    generation: |_| None,
    modules: &[],
    adds_to: &[MODULE],
    sign: |interface| find(interface, is_sign),
    hint: |interface| find(interface, is_hint),
    function: |item| added(item, ID, &item.import.name),
    personality: |_| Personality { socket_rights_of_wamr: true, ..Personality::PREVIEW1 },
};

fn find(interface: &Interface, is_it: fn(&str, usize) -> bool) -> Option<&Import> {
    let is_it = |item: &&ImportItem| {
        item.import.module == MODULE
            && item.signature().is_some_and(|signature| is_it(&item.import.name, signature.params.len()))
    };
    interface.imports.iter().find(is_it).map(|item| &item.import)
}

/// What no other dialect has in this import module.
fn is_sign(name: &str, params: usize) -> bool {
    match name {
        "sock_open" => params == 4,
        "sock_bind" | "sock_connect" => params == 2,
        "sock_addr_local" | "sock_addr_remote" | "sock_addr_resolve" | "sock_close" => true,
        name => name.starts_with("sock_get_") || name.starts_with("sock_set_"),
    }
}

/// What an early version of another dialect has too, which opens its sockets by a call that tells it.
fn is_hint(name: &str, params: usize) -> bool {
    match name {
        "sock_recv_from" | "sock_send_to" => params == 6,
        "sock_listen" => params == 2,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::detect::{Detected, detect};
    use wasmtime::{Engine, Module};

    /// Of a module with these imports: each a name and the letters of its parameters, `I` for 64 bits.
    fn detected(imports: &[(&str, &str)]) -> wasmtime::Result<Detected> {
        let mut wat = String::from("(module ");
        for (name, params) in imports {
            let params: String = params.chars().map(|ty| if ty == 'I' { " i64" } else { " i32" }).collect();
            wat += &format!("(import {MODULE:?} {name:?} (func (param{params}) (result i32)))");
        }
        Ok(detect(&Module::new(&Engine::default(), wat + ")")?))
    }

    #[test]
    fn is_told_by_an_import_of_its_own() -> wasmtime::Result<()> {
        for (name, params) in [
            ("sock_open", "iiii"),
            ("sock_bind", "ii"),
            ("sock_connect", "ii"),
            ("sock_addr_resolve", "iiiiii"),
            ("sock_addr_local", "ii"),
            ("sock_addr_remote", "ii"),
            ("sock_close", "i"),
            ("sock_set_recv_timeout", "iI"),
            ("sock_get_linger", "iii"),
        ] {
            let found = detected(&[("fd_close", "i"), (name, params), ("sock_listen", "ii")])?;
            assert_eq!(found.dialect.id(), ID, "{name}");
            assert_eq!(found.told_by.map(|import| import.name).as_deref(), Some(name));
            assert_eq!((found.supported.len(), found.stubbed.len()), (3, 0), "{name}");
        }
        Ok(())
    }

    #[test]
    fn what_others_have_too_is_a_hint_where_nothing_else_tells() -> wasmtime::Result<()> {
        for (name, params) in
            [("sock_recv_from", "iiiiii"), ("sock_send_to", "iiiiii"), ("sock_listen", "ii")]
        {
            let found = detected(&[("sock_accept", "iii"), (name, params)])?;
            assert_eq!((found.dialect.id(), found.stubbed.len()), (ID, 0), "{name}");
            assert_eq!(found.told_by.map(|import| import.name).as_deref(), Some(name));
            let found = detected(&[(name, params), ("sock_open", "iii")])?;
            assert_eq!((found.dialect.id(), found.stubbed.len()), ("wasmedge", 0), "{name}");
        }
        let found = detected(&[("sock_accept", "iii"), ("sock_recv", "iiiiii"), ("sock_shutdown", "ii")])?;
        assert_eq!((found.dialect.id(), found.told_by), (MODULE, None));
        Ok(())
    }

    #[test]
    fn another_type_is_another_function() -> wasmtime::Result<()> {
        let found =
            detected(&[("sock_open", "iiii"), ("sock_set_recv_timeout", "ii"), ("sock_get_nothing", "ii")])?;
        assert_eq!(found.dialect.id(), ID);
        assert_eq!((found.supported.len(), found.stubbed.len()), (1, 2), "{found:?}");
        Ok(())
    }
}
