//! Places for instances that are made beforehand: Wasmtime's pooling allocator, sized for one module.
//!
//! An instance on demand maps its memory and its stack from the kernel and gives them back, which is most of
//! what a short life costs. In a pool both are there: a memory gets the module's data by a copy-on-write
//! mapping that stays, and what an instance has changed is reset when it ends.

use std::fmt;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use wasmparser::{MemoryType, Parser, Payload, TableType, TypeRef};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::Guest;
use super::copyable::is_of_processes;
use super::load::{LoadError, binary, read};
use crate::io::mappings_left;

/// The instances besides those that serve: one that proves that a program can be instantiated.
const SPARE: u32 = 8;

/// How much address space one memory has unless that is too much: with it, code needs no check of its
/// addresses. What 32 bits can name.
const RESERVATION: u64 = 4 << 30;

/// Wasmtime's own guard after a memory.
const GUARD: u64 = 32 << 20;

/// How much address space all memories may have. A process has 128 TiB, and a reload needs the same once more.
const MOST_ADDRESSES: u64 = 48 << 40;

/// A table that declares no maximum may have so many elements, or what it has at its start.
const TABLE_ELEMENTS: u64 = 64 << 10;

/// The mappings that the kernel keeps for one instance: three of its memory, two of its stack.
const MAPPINGS: u64 = 5;

/// The mappings that are left for all else.
const OTHER_MAPPINGS: u64 = 2048;

/// How many bytes of a memory are reset by writing to them, which keeps their pages: to reset what is beyond by the
/// kernel takes a page fault each time it is used again.
const KEPT_OF_MEMORY: usize = 256 << 10;

/// The same of a table.
const KEPT_OF_TABLE: usize = 16 << 10;

/// More than the description of any module's instance takes.
const INSTANCE_SIZE: usize = 64 << 20;

/// Why instances are made on demand, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPool(String);

impl fmt::Display for NoPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoPool {}

/// What an instance of a module has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Needs {
    memories: u32,
    tables: u32,
    /// The largest that a memory may become; `None` where one declares none.
    memory_bytes: Option<u64>,
    /// The largest that a memory is at the start.
    start_bytes: u64,
    table_elements: u64,
    has_shared: bool,
    has_exceptions: bool,
    /// Has a memory addresses of 64 bits?
    is_wide: bool,
    /// Does it begin processes, which are instances of any module?
    has_processes: bool,
}

/// How large a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    reservation: u64,
    memory_bytes: u64,
}

impl Guest {
    /// Sizes a pool of `instances` places in `config` for the module in the file `path`, whose memories
    /// have `max_memory` bytes at most: for an engine of a service that makes [an instance for each
    /// connection](super::ServiceBuilder::per_connection), where it saves most of what an instance costs.
    ///
    /// The pool is made with the engine, and is that module's alone: each generation has its own. Tables that
    /// declare no maximum grow to 65,536 elements at most in it.
    ///
    /// # Errors
    ///
    /// Where there can be no pool, and why: `config` is as it was then, and instances are made on
    /// demand. The file is not judged here: one that is no module gets a pool, and an error when it is
    /// [loaded](Self::load).
    pub fn set_pool(config: &mut Config, path: &Path, instances: u32, max_memory: u64) -> Result<(), NoPool> {
        if !std::fs::metadata(path).is_ok_and(|file| file.is_file()) {
            // To look at it would take it from who loads it.
            return Err(NoPool("the module is read from no regular file".to_owned()));
        }
        match Needs::of(path) {
            Ok(needs) => set(config, needs, instances, max_memory),
            Err(_) => Ok(()),
        }
    }

    /// The same for a module that is in no file, or its text.
    ///
    /// # Errors
    ///
    /// As for [`set_pool`](Self::set_pool).
    pub fn set_pool_for_bytes(
        config: &mut Config,
        bytes: &[u8],
        instances: u32,
        max_memory: u64,
    ) -> Result<(), NoPool> {
        match Needs::of_bytes(Path::new(""), bytes) {
            Ok(needs) => set(config, needs, instances, max_memory),
            Err(_) => Ok(()),
        }
    }
}

/// Has `config` make a pool for a module that has these needs.
fn set(config: &mut Config, needs: Needs, instances: u32, max_memory: u64) -> Result<(), NoPool> {
    let size = needs.size(instances, max_memory, &Room::here())?;
    let places = instances.saturating_add(SPARE);
    let times = |each: u32| places.saturating_mul(each);
    // An exception is an object of the collector's, which has a memory of its own.
    let heaps = if needs.has_exceptions { places } else { 0 };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(places)
        .total_component_instances(0)
        .total_memories(times(needs.memories).saturating_add(heaps))
        .total_tables(times(needs.tables))
        .total_stacks(places)
        .total_gc_heaps(heaps)
        .max_memories_per_module(needs.memories)
        .max_tables_per_module(needs.tables)
        .max_core_instance_size(INSTANCE_SIZE)
        .max_memory_size(usize::try_from(size.memory_bytes).unwrap_or(usize::MAX))
        .table_elements(usize::try_from(needs.table_elements).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEPT_OF_MEMORY)
        .table_keep_resident(KEPT_OF_TABLE)
        .pagemap_scan(Enabled::Auto);
    config.memory_reservation(size.reservation).gc_heap_reservation(size.reservation);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(())
}

/// What this process may have.
struct Room {
    addresses: Option<u64>,
    mappings: u64,
}

impl Room {
    fn here() -> Self {
        // None where the kernel does not say: a pool that does not fit is an error when it is made.
        let mappings = mappings_left().map_or(u64::MAX, |left| u64::try_from(left).unwrap_or(0));
        Self { addresses: getrlimit(Resource::As).current, mappings }
    }
}

impl Needs {
    /// Those of the module in the file `path`.
    fn of(path: &Path) -> Result<Self, LoadError> {
        Self::of_bytes(path, &read(path)?)
    }

    /// Those of a module; `name` is for messages.
    fn of_bytes(name: &Path, bytes: &[u8]) -> Result<Self, LoadError> {
        let bytes = binary(name, bytes)?;
        let invalid = |error: wasmparser::BinaryReaderError| {
            LoadError::Invalid(name.to_owned(), wasmtime::Error::new(error))
        };
        Self::of_module(&bytes).map_err(invalid)
    }

    fn of_module(bytes: &[u8]) -> wasmparser::Result<Self> {
        let mut needs = Self { memory_bytes: Some(0), ..Self::default() };
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        needs.has_processes |= is_of_processes(import.name);
                        match import.ty {
                            TypeRef::Memory(memory) => needs.has_shared |= memory.shared,
                            TypeRef::Tag(_) => needs.has_exceptions = true,
                            _ => {}
                        }
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        needs.add_memory(&memory?);
                    }
                }
                Payload::TableSection(tables) => {
                    for table in tables {
                        needs.add_table(&table?.ty);
                    }
                }
                Payload::TagSection(_) => needs.has_exceptions = true,
                // What is left does not matter, and is most of it.
                Payload::CodeSectionStart { .. } => break,
                _ => {}
            }
        }
        Ok(needs)
    }

    fn add_memory(&mut self, memory: &MemoryType) {
        let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
        let declared = memory.maximum.map(|pages| pages.saturating_mul(page));
        let at_start = memory.initial.saturating_mul(page);
        self.memories = self.memories.saturating_add(1);
        self.memory_bytes = self.memory_bytes.zip(declared).map(|(one, other)| one.max(other).max(at_start));
        self.start_bytes = self.start_bytes.max(at_start);
        self.has_shared |= memory.shared;
        self.is_wide |= memory.memory64;
    }

    fn add_table(&mut self, table: &TableType) {
        let declared = table.maximum.filter(|maximum| *maximum <= TABLE_ELEMENTS);
        let elements = declared.unwrap_or(TABLE_ELEMENTS).max(table.initial);
        self.tables = self.tables.saturating_add(1);
        self.table_elements = self.table_elements.max(elements);
    }

    /// How large a pool of so many instances is.
    fn size(&self, instances: u32, max_memory: u64, room: &Room) -> Result<Size, NoPool> {
        let refuse = |why: String| Err(NoPool(why));
        if self.has_shared {
            return refuse("a shared memory can't come from a pool".to_owned());
        }
        if self.has_processes {
            return refuse(
                "the module can start processes, and a pool has places for its own instances alone"
                    .to_owned(),
            );
        }
        let needed = u64::from(instances).saturating_mul(MAPPINGS).saturating_add(OTHER_MAPPINGS);
        if needed > room.mappings {
            return refuse(format!(
                "{instances} instances take {needed} mappings, and vm.max_map_count leaves {}: raise it, or lower \
                 --max-instances",
                room.mappings
            ));
        }
        let page = 64 << 10;
        if self.is_wide && self.memory_bytes.unwrap_or(u64::MAX).min(max_memory) > RESERVATION {
            return refuse("a memory of more than 4 GiB can't come from a pool".to_owned());
        }
        // Where the module needs more at its start than it may have, that is for the limit to say.
        let allowed = max_memory.max(self.start_bytes);
        let largest = self.memory_bytes.unwrap_or(RESERVATION).min(allowed).min(RESERVATION);
        let memory_bytes = largest.div_ceil(page).saturating_mul(page);
        let memories = u64::from(instances.saturating_add(SPARE)).saturating_mul(self.memories.into());
        let all = |each: u64| each.saturating_add(GUARD).saturating_mul(memories);
        let most = room.addresses.unwrap_or(u64::MAX).min(MOST_ADDRESSES);
        // With less, each access is checked.
        let fitting = [RESERVATION, memory_bytes.max(page)].into_iter().find(|each| all(*each) <= most);
        match fitting {
            Some(reservation) => Ok(Size { reservation, memory_bytes }),
            None => {
                let (needed, limit) = (all(memory_bytes) >> 30, most >> 30);
                let whose = if room.addresses.is_some_and(|room| room < MOST_ADDRESSES) {
                    "the limit to the address space of this process (ulimit -v) is"
                } else {
                    "there are"
                };
                refuse(format!(
                    "{instances} instances with memories of {} MiB take {needed} GiB of addresses, and {whose} {limit} GiB: \
                     lower --max-memory or --max-instances",
                    memory_bytes >> 20
                ))
            }
        }
    }
}

#[cfg(all(test, feature = "wat"))]
mod tests {
    use super::*;

    const ROOM: Room = Room { addresses: None, mappings: 65000 };

    fn needs(text: &str) -> Result<Needs, Box<dyn std::error::Error>> {
        Ok(Needs::of_module(&wat::parse_str(text)?)?)
    }

    #[test]
    fn a_module_tells_what_its_instances_need() -> Result<(), Box<dyn std::error::Error>> {
        let found = needs("(module (memory 1 4) (memory 2) (table 7 funcref) (table 3 20 funcref) (tag))")?;
        let expected = Needs {
            memories: 2,
            tables: 2,
            memory_bytes: None,
            start_bytes: 2 << 16,
            table_elements: TABLE_ELEMENTS,
            has_shared: false,
            has_exceptions: true,
            is_wide: false,
            has_processes: false,
        };
        assert_eq!(found, expected);
        assert_eq!(needs("(module (memory 1 4))")?.memory_bytes, Some(4 << 16));
        assert!(needs("(module (import \"env\" \"memory\" (memory 1 2 shared)))")?.has_shared);
        assert_eq!(needs("(module)")?, Needs { memory_bytes: Some(0), ..Needs::default() });
        Ok(())
    }

    #[test]
    fn a_pool_is_as_large_as_it_may_be() -> Result<(), Box<dyn std::error::Error>> {
        let small = needs("(module (memory 1 4))")?;
        let size = small.size(1000, 4 << 30, &ROOM);
        assert_eq!(size, Ok(Size { reservation: RESERVATION, memory_bytes: 4 << 16 }));
        // Too many for addresses without checks.
        let size = small.size(12_500, 4 << 30, &ROOM);
        assert_eq!(size.map(|size| size.reservation), Ok(4 << 16));
        let unbounded = needs("(module (memory 1))")?;
        assert_eq!(unbounded.size(10, 1 << 20, &ROOM).map(|size| size.memory_bytes), Ok(1 << 20));
        // The limit to memory refuses it, in its own words.
        assert_eq!(unbounded.size(10, 1 << 10, &ROOM).map(|size| size.memory_bytes), Ok(1 << 16));
        Ok(())
    }

    #[test]
    fn what_is_in_the_way_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let said = |text: &str, instances, room: &Room| {
            Ok::<_, Box<dyn std::error::Error>>(
                needs(text)?
                    .size(instances, 4 << 30, room)
                    .err()
                    .map(|why| why.to_string())
                    .unwrap_or_default(),
            )
        };
        let narrow = Room { addresses: Some(8 << 30), mappings: 65000 };
        assert!(said("(module (memory 1))", 20_000, &ROOM)?.contains("vm.max_map_count leaves 65000"));
        assert!(said("(module (memory 1))", 100, &narrow)?.contains("(ulimit -v) is 8 GiB"));
        assert!(said("(module (memory 1 2 shared))", 1, &ROOM)?.contains("a shared memory"));
        let spawns = r#"(module (import "wasix_32v1" "proc_spawn2" (func)))"#;
        assert!(said(spawns, 1, &ROOM)?.contains("can start processes"));
        assert_eq!(said("(module (memory 1 1))", 100, &narrow)?, "");
        Ok(())
    }
}
