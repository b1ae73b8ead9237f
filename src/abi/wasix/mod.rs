//! WASIX: what `wasix_32v1` has beyond preview 1.
//!
//! A file for each noun of the witx, with the trait that wiggle made of it.

pub(crate) mod address;
pub(crate) mod bindings;
mod clock;
mod control;
mod fd;
mod generation;
mod message;
mod multicast;
mod option;
mod path;
mod port;
mod process;
mod program;
mod resolve;
mod signal;
mod socket;
mod spawn;
mod strings;
mod thread;
mod tty;
mod wait;

pub use generation::{WasixGeneration, added_in};

use super::detect::Dialect;
use super::dialect::{Definition, by_name, by_other_name, import_from};
use super::interface::{ImportItem, Interface};
use super::table::Function;
use crate::process::{Numbering, Personality};
use bindings::types;

crate::abi::errno::error_numbers!(types);

/// The import module of WASIX.
pub(crate) const MODULE: &str = "wasix_32v1";

/// WASIX, of both generations.
pub(crate) const DIALECT: Definition = Definition {
    dialect: Dialect::new("wasix", "WASIX"),
    generation: |interface| Some(generation::of(interface)),
    modules: &[MODULE],
    adds_to: &[],
    sign: |interface| import_from(interface, MODULE),
    hint: |_| None,
    function: |item| by_name(item).or_else(|| by_new_name(item)),
    personality,
};

/// The import module of WASIX for memories of 64 bits.
pub(crate) const WIDE_MODULE: &str = "wasix_64v1";

/// WASIX whose pointers have 64 bits: it is told, so that its programs are not taken for others, and none of its
/// calls is served.
pub(crate) const WIDE: Definition = Definition {
    dialect: Dialect::new(WIDE_MODULE, "WASIX for memories of 64 bits, which this host does not serve"),
    generation: |_| None,
    modules: &[],
    adds_to: &[],
    sign: |interface| import_from(interface, WIDE_MODULE),
    hint: |_| None,
    function: |_| None,
    personality,
};

/// Today's reference host has the old name with the new type.
fn by_new_name(item: &ImportItem) -> Option<&'static Function> {
    match item.import.name.as_str() {
        "thread_spawn" => by_other_name(item, MODULE, "thread_spawn_v2"),
        _ => None,
    }
}

fn personality(interface: &Interface) -> Personality {
    let (generation, _) = generation::of(interface);
    let is_first_generation = generation.is_first();
    Personality {
        renumber_duplicates: true,
        root_takes_absolute_paths: true,
        is_first_generation,
        counts_from_zero: false,
        // The second generation has room for them, and its C library reads them from memory that it
        // did not fill. Its first hundred days, May to September 2023, had 20 bytes still; nothing in
        // a module tells these programs from later ones, and none was ever published.
        wide_addresses: !is_first_generation,
        has_devices: opens_paths(interface),
        socket_rights_of_wamr: false,
        reads_raw_status: is_first_generation && !imports_exec(interface),
        // WASIX's own numbers came together with the new type of `proc_join`.
        numbering: if generation == WasixGeneration::V1 { Numbering::Preview1 } else { Numbering::Linux },
    }
}

/// Does the program look for preopened directories, and open files below them?
fn opens_paths(interface: &Interface) -> bool {
    let has = |names: &[&str]| {
        let mut named = interface.imports.iter().filter(|item| names.contains(&item.import.name.as_str()));
        named.any(|item| super::dialect::resolve(super::dialect::DIALECTS, &DIALECT, item).is_some())
    };
    has(&["fd_prestat_get"]) && has(&["path_open", "path_open2"])
}

/// May the program execute another one? Those of the first generation have one call for it.
fn imports_exec(interface: &Interface) -> bool {
    interface.imports.iter().any(|item| item.import.module == MODULE && item.import.name == "proc_exec")
}
