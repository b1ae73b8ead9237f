//! WasmEdge: the socket calls that it adds to `wasi_snapshot_preview1`, of both generations.
//!
//! A program chooses V1 or V2 for each import by itself, by the name or by the type. A file for each
//! noun of the witx, with the trait that wiggle made of it; `address.rs` has both forms of
//! addresses, and `list.rs` the list that `sock_getaddrinfo` fills.

pub(crate) mod address;
pub(crate) mod bindings;
mod list;
mod look_up;
mod message;
mod names;
mod option;
mod socket;

use super::detect::{Dialect, Import};
use super::dialect::{Definition, added};
use super::interface::{ImportItem, Interface};
use super::table::Function;
use crate::process::Personality;
use bindings::types;

crate::abi::errno::error_numbers!(types);

/// The import module to which it adds its calls.
const MODULE: &str = "wasi_snapshot_preview1";

const ID: &str = "wasmedge";

/// WasmEdge, of every version.
pub(crate) const DIALECT: Definition = Definition {
    dialect: Dialect::new(ID, "WasmEdge"),
    generation: |_| None,
    modules: &[],
    adds_to: &[MODULE],
    sign,
    hint: |_| None,
    function,
    personality: |interface| Personality {
        counts_from_zero: is_before_0_10(interface),
        ..Personality::PREVIEW1
    },
};

/// Names that no other dialect has in this import module.
const ONLY_HERE: &[&str] = &[
    "epoll_oneoff",
    "sock_getaddrinfo",
    "sock_getlocaladdr",
    "sock_getpeeraddr",
    "sock_getsockopt",
    "sock_setsockopt",
];

fn sign(interface: &Interface) -> Option<&Import> {
    interface.imports.iter().find(|item| is_sign(item)).map(|item| &item.import)
}

fn is_sign(item: &ImportItem) -> bool {
    let Some(signature) = item.signature() else { return false };
    let params = signature.params.len();
    item.import.module == MODULE
        && match item.import.name.as_str() {
            "sock_open" | "sock_bind" | "sock_connect" => params == 3,
            "sock_accept" => params == 2,
            // With 6, they may be another dialect's too.
            "sock_recv_from" => params == 7 || params == 8,
            "sock_send_to" => params == 7,
            name => ONLY_HERE.contains(&name) || name.starts_with("sock_") && name.ends_with("_v2"),
        }
}

/// The function of an import. A name of V1 with the type of V2 means V2, as in the reference host.
fn function(item: &ImportItem) -> Option<&'static Function> {
    let name = item.import.name.as_str();
    added(item, ID, name).or_else(|| match name {
        "sock_getlocaladdr" => added(item, ID, "sock_getlocaladdr_v2"),
        "sock_getpeeraddr" => added(item, ID, "sock_getpeeraddr_v2"),
        _ => None,
    })
}

/// Until 0.10 these two had fewer parameters.
fn is_before_0_10(interface: &Interface) -> bool {
    interface.imports.iter().any(|item| {
        item.import.module == MODULE
            && matches!(item.import.name.as_str(), "sock_recv_from" | "sock_send_to")
            && item.signature().is_some_and(|signature| signature.params.len() == 6)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::detect::{Detected, detect};
    use wasmtime::{Engine, Module};

    fn detected(imports: &[(&str, usize)]) -> wasmtime::Result<Detected> {
        let mut wat = String::from("(module ");
        for (name, params) in imports {
            let params = " i32".repeat(*params);
            wat += &format!("(import {MODULE:?} {name:?} (func (param{params}) (result i32)))");
        }
        Ok(detect(&Module::new(&Engine::default(), wat + ")")?))
    }

    #[test]
    fn is_told_by_an_import_of_its_own() -> wasmtime::Result<()> {
        for (name, params) in [
            ("sock_open", 3),
            ("sock_bind", 3),
            ("sock_connect", 3),
            ("sock_accept", 2),
            ("sock_recv_from", 7),
            ("sock_recv_from", 8),
            ("sock_send_to", 7),
            ("sock_getaddrinfo", 8),
            ("sock_accept_v2", 3),
            ("epoll_oneoff", 4),
        ] {
            let found = detected(&[("fd_close", 1), (name, params), ("sock_listen", 2)])?;
            assert_eq!(found.dialect.id(), ID, "{name}");
            assert_eq!(found.told_by.map(|import| import.name).as_deref(), Some(name));
            assert_eq!((found.supported.len(), found.stubbed.len()), (3, 0), "{name}");
            assert_eq!(found.generation, None);
        }
        Ok(())
    }

    #[test]
    fn what_preview_1_has_too_tells_nothing() -> wasmtime::Result<()> {
        let shared = [("sock_accept", 3), ("sock_recv", 6), ("sock_send", 5), ("sock_shutdown", 2)];
        let found = detected(&shared)?;
        assert_eq!((found.dialect.id(), found.told_by), (MODULE, None));
        // Another one has it with another type.
        assert_eq!(detected(&[("sock_open", 4), ("sock_recv_from", 6)])?.dialect.id(), "wamr");
        Ok(())
    }

    #[test]
    fn each_import_is_of_v1_or_v2_by_itself() -> wasmtime::Result<()> {
        let mixed = [
            ("sock_open", 3),
            ("sock_accept", 2),
            ("sock_getlocaladdr", 4),
            ("sock_getpeeraddr", 3),
            ("sock_recv_from", 8),
            ("sock_recv_from_v2", 8),
            ("sock_send_to_v2", 7),
        ];
        let found = detected(&mixed)?;
        assert_eq!((found.supported.len(), found.stubbed.len()), (mixed.len(), 0), "{found:?}");
        assert!(!found.personality().counts_from_zero);
        Ok(())
    }

    #[test]
    fn the_versions_before_0_10_count_from_zero() -> wasmtime::Result<()> {
        let found = detected(&[("sock_open", 3), ("sock_recv_from", 6), ("sock_send_to", 6)])?;
        assert!(found.personality().counts_from_zero);
        // The order of its arguments is that of later versions.
        assert_eq!((found.supported.len(), found.stubbed.len()), (3, 0), "{found:?}");
        Ok(())
    }
}
