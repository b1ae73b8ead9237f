//! WASI preview 1: the 46 functions of `wasi_snapshot_preview1`; and snapshot 0, which
//! is preview 1 but for the few functions in `unstable.rs`.
//!
//! A file for each noun of the witx, with the trait that wiggle made of it.

pub(crate) mod bindings;
mod clock;
mod environment;
mod fd;
mod path;
mod poll;
mod process;
mod random;
mod socket;
mod stat;
mod unstable;

use super::detect::Dialect;
use super::dialect::{Definition, by_name, by_other_name, import_from};
use super::interface::ImportItem;
use super::table::Function;
use crate::process::Personality;
use bindings::types;
/// The numbers of errors.
pub(crate) use bindings::types::Errno as Number;

crate::abi::errno::error_numbers!(types);

/// The import module of preview 1.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// The import module of snapshot 0.
pub(crate) const UNSTABLE_MODULE: &str = "wasi_unstable";

/// Preview 1: the programs that have no dialect's sign.
pub(crate) const DIALECT: Definition = Definition {
    dialect: Dialect::new(MODULE, "WASI preview 1"),
    generation: |_| None,
    modules: &[MODULE],
    adds_to: &[],
    sign: |_| None,
    hint: |_| None,
    function: with_threads,
    personality: |_| Personality::PREVIEW1,
};

/// Snapshot 0, by itself.
pub(crate) const UNSTABLE: Definition = Definition {
    dialect: Dialect::new(UNSTABLE_MODULE, "WASI snapshot 0 (wasi_unstable)"),
    modules: &[UNSTABLE_MODULE],
    sign: |interface| match import_from(interface, MODULE) {
        Some(_) => None,
        None => import_from(interface, UNSTABLE_MODULE),
    },
    ..DIALECT
};

/// The reference host has the call of wasi-threads in these modules too.
fn with_threads(item: &ImportItem) -> Option<&'static Function> {
    match item.import.name.as_str() {
        "thread-spawn" => by_other_name(item, "wasi", "thread-spawn"),
        _ => by_name(item),
    }
}
