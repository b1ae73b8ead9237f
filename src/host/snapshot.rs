//! A module as an instance of it is now: its memory and its globals become the module's own data.
//!
//! What is kept is one memory and the globals that hold numbers. All else that an instance can change (tables,
//! which segments were dropped) it must not be able to change: then a module that is instantiated from its
//! snapshot is as that instance was. Only the sections of which something changes are written anew; the code
//! is the same, byte for byte.

pub(super) mod encode;

use wasmparser::{DataKind, ExternalKind, Operator, Parser, Payload, SectionLimited, TypeRef, ValType};
use wasmtime::{AsContextMut, Instance, Val};

use encode::{name, section, signed, unsigned};

/// The name under which the memory is exported to be read. No toolchain's.
const MEMORY: &str = "wasock:memory";

/// What the names of globals begin with; their index follows.
const GLOBAL: &str = "wasock:global:";

// The sections, as the core specification numbers them.
const MEMORIES: u8 = 5;
const GLOBALS: u8 = 6;
const EXPORTS: u8 = 7;
const START: u8 = 8;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;

const PAGE: usize = 4096;
const MEMORY_PAGE: usize = 64 << 10;

/// So many pages of zeros between two that are not end a segment of data.
const GAP: usize = 4;

/// Why there can be no snapshot.
pub(super) enum Refusal {
    /// The bytes are no module: that is for the engine to say.
    Invalid,
    /// In words, after "it".
    Because(String),
}

impl From<wasmparser::BinaryReaderError> for Refusal {
    fn from(_: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid
    }
}

fn because<T>(why: &str) -> Result<T, Refusal> {
    Err(Refusal::Because(why.to_owned()))
}

/// What a snapshot reads of an instance.
#[derive(Clone, Debug, Default)]
struct State {
    /// The mutable globals of the module's own, by their index.
    globals: Vec<(u32, ValType)>,
    imported_globals: u32,
    memories: u32,
}

/// The module `bytes`, which exports besides all that a snapshot reads.
///
/// # Errors
///
/// Where a snapshot would not be all that an instance is.
pub(super) fn exporting(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let state = State::of(bytes)?;
    let mut written = bytes.get(..8).ok_or(Refusal::Invalid)?.to_vec();
    let mut has_exports = false;
    each_section(bytes, |id, body, whole| {
        if id != EXPORTS {
            written.extend_from_slice(whole);
            return Ok(());
        }
        has_exports = true;
        let exports = SectionLimited::<wasmparser::Export<'_>>::new(wasmparser::BinaryReader::new(body, 0))?;
        let mut count = exports.count();
        let mut entries = body.get(encode::length(body)..).unwrap_or_default().to_vec();
        let mut add = |export: String, kind: u8, index: u32| {
            name(&mut entries, &export);
            entries.push(kind);
            unsigned(&mut entries, index.into());
            count = count.saturating_add(1);
        };
        add(MEMORY.to_owned(), 2, 0);
        for (index, _) in &state.globals {
            add(format!("{GLOBAL}{index}"), 3, *index);
        }
        let mut body = Vec::new();
        unsigned(&mut body, count.into());
        body.extend(entries);
        section(&mut written, EXPORTS, &body);
        Ok(())
    })?;
    if has_exports { Ok(written) } else { because("exports nothing") }
}

/// The module `bytes` as `instance` is now, which is one of the same module [`exporting`] its state.
///
/// # Errors
///
/// Where `instance` is none of it.
pub(super) fn frozen(
    bytes: &[u8],
    mut store: impl AsContextMut,
    instance: &Instance,
) -> Result<Vec<u8>, Refusal> {
    let state = State::of(bytes)?;
    let memory = instance.get_memory(&mut store, MEMORY).ok_or(Refusal::Invalid)?;
    let mut values = Vec::new();
    for (index, _) in &state.globals {
        let global = instance.get_global(&mut store, &format!("{GLOBAL}{index}")).ok_or(Refusal::Invalid)?;
        values.push((*index, global.get(&mut store)));
    }
    let contents = memory.data(&store);
    let mut written = bytes.get(..8).ok_or(Refusal::Invalid)?.to_vec();
    let segments = segments(contents);
    let mut has_data = false;
    each_section(bytes, |id, body, whole| {
        match id {
            MEMORIES => section(&mut written, MEMORIES, &memories(body, contents.len() / MEMORY_PAGE)?),
            GLOBALS => section(&mut written, GLOBALS, &globals(body, &state, &values)?),
            // It has been called.
            START => {}
            DATA_COUNT => {
                let mut count = Vec::new();
                unsigned(&mut count, u64::try_from(segments.len()).unwrap_or(0));
                section(&mut written, DATA_COUNT, &count);
            }
            DATA => {
                has_data = true;
                section(&mut written, DATA, &data(contents, &segments));
            }
            // What is told of the code comes last, and before it the data where there was none.
            0 if !has_data && is_after_code(body) => {
                has_data = true;
                section(&mut written, DATA, &data(contents, &segments));
                written.extend_from_slice(whole);
            }
            _ => written.extend_from_slice(whole),
        }
        Ok(())
    })?;
    if !has_data {
        section(&mut written, DATA, &data(contents, &segments));
    }
    Ok(written)
}

/// Calls `look` with each section: its number, its content, and both as they are written.
pub(super) fn each_section(
    bytes: &[u8],
    mut look: impl FnMut(u8, &[u8], &[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut rest = bytes.get(8..).ok_or(Refusal::Invalid)?;
    while let Some((id, after)) = rest.split_first() {
        let (size, length) = encode::read(after).ok_or(Refusal::Invalid)?;
        let head = length.saturating_add(1);
        let end = head.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        let whole = rest.get(..end).ok_or(Refusal::Invalid)?;
        look(*id, whole.get(head..).unwrap_or_default(), whole)?;
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(())
}

/// Is this custom section one that toolchains write after the code?
fn is_after_code(body: &[u8]) -> bool {
    let Some((size, length)) = encode::read(body) else { return false };
    let name = body.get(length..length.saturating_add(usize::try_from(size).unwrap_or(0)));
    matches!(name, Some(b"name" | b"producers" | b"target_features"))
}

/// Runs of pages that are not all zero.
fn segments(contents: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    for (number, page) in contents.chunks(PAGE).enumerate() {
        if page.iter().all(|byte| *byte == 0) {
            continue;
        }
        let (begin, end) =
            (number.saturating_mul(PAGE), number.saturating_mul(PAGE).saturating_add(page.len()));
        match found.last_mut() {
            Some(last) if begin.saturating_sub(last.end) <= GAP * PAGE => last.end = end,
            _ => found.push(begin..end),
        }
    }
    found
}

fn data(contents: &[u8], segments: &[std::ops::Range<usize>]) -> Vec<u8> {
    let mut body = Vec::new();
    unsigned(&mut body, u64::try_from(segments.len()).unwrap_or(0));
    for segment in segments {
        // Active, of the memory 0, at a constant.
        body.extend([0, 0x41]);
        signed(&mut body, i64::from(u32::try_from(segment.start).unwrap_or(0).cast_signed()));
        body.push(0x0b);
        let bytes = contents.get(segment.clone()).unwrap_or_default();
        unsigned(&mut body, u64::try_from(bytes.len()).unwrap_or(0));
        body.extend_from_slice(bytes);
    }
    body
}

/// The one memory, as large as it is now.
fn memories(body: &[u8], pages: usize) -> Result<Vec<u8>, Refusal> {
    let reader = wasmparser::BinaryReader::new(body, 0);
    let memory = SectionLimited::<wasmparser::MemoryType>::new(reader)?.into_iter().next();
    let memory = memory.ok_or(Refusal::Invalid)??;
    let mut written = vec![1, u8::from(memory.maximum.is_some())];
    unsigned(&mut written, u64::try_from(pages).unwrap_or(u64::MAX));
    if let Some(maximum) = memory.maximum {
        unsigned(&mut written, maximum);
    }
    Ok(written)
}

/// The globals, with the values that they have now.
fn globals(body: &[u8], state: &State, values: &[(u32, Val)]) -> Result<Vec<u8>, Refusal> {
    let reader = wasmparser::BinaryReader::new(body, 0);
    let globals = SectionLimited::<wasmparser::Global<'_>>::new(reader)?;
    let mut written = Vec::new();
    unsigned(&mut written, globals.count().into());
    let mut begins: Vec<usize> = Vec::new();
    for global in globals.into_iter_with_offsets() {
        begins.push(global?.0);
    }
    begins.push(body.len());
    for (index, range) in (state.imported_globals..).zip(begins.windows(2)) {
        let [begin, end] = range else { continue };
        match values.iter().find(|(known, _)| *known == index) {
            Some((_, value)) => constant(&mut written, value)?,
            None => written.extend_from_slice(body.get(*begin..*end).ok_or(Refusal::Invalid)?),
        }
    }
    Ok(written)
}

/// A mutable global with this value.
fn constant(written: &mut Vec<u8>, value: &Val) -> Result<(), Refusal> {
    match value {
        Val::I32(value) => {
            written.extend([0x7f, 1, 0x41]);
            signed(written, i64::from(*value));
        }
        Val::I64(value) => {
            written.extend([0x7e, 1, 0x42]);
            signed(written, *value);
        }
        Val::F32(bits) => {
            written.extend([0x7d, 1, 0x43]);
            written.extend(bits.to_le_bytes());
        }
        Val::F64(bits) => {
            written.extend([0x7c, 1, 0x44]);
            written.extend(bits.to_le_bytes());
        }
        Val::V128(value) => {
            written.extend([0x7b, 1, 0xfd, 0x0c]);
            written.extend(value.as_u128().to_le_bytes());
        }
        _ => return because("has a global that holds a reference"),
    }
    written.push(0x0b);
    Ok(())
}

impl State {
    /// What there is to be read of instances of the module `bytes`.
    fn of(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut state = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        state.add_import(&import?.ty)?;
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        let memory = memory?;
                        state.memories = state.memories.saturating_add(1);
                        if memory.shared || memory.memory64 || memory.page_size_log2.is_some() {
                            return because("has a shared memory, or one of another kind than most");
                        }
                    }
                }
                Payload::GlobalSection(globals) => {
                    for (index, global) in (state.imported_globals..).zip(globals) {
                        let ty = global?.ty;
                        if ty.mutable {
                            state.add_global(index, ty.content_type)?;
                        }
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if export.kind == ExternalKind::Table {
                            return because("exports its table, which others can change");
                        }
                    }
                }
                Payload::DataSection(segments) => {
                    for segment in segments {
                        if !matches!(segment?.kind, DataKind::Active { .. }) {
                            return because("has data that its code copies (memory.init)");
                        }
                    }
                }
                Payload::CodeSectionEntry(code) => {
                    let mut operators = code.get_operators_reader()?;
                    while !operators.eof() {
                        check(&operators.read()?)?;
                    }
                }
                _ => {}
            }
        }
        if state.memories == 1 { Ok(state) } else { because("has not exactly one memory of its own") }
    }

    fn add_import(&mut self, ty: &TypeRef) -> Result<(), Refusal> {
        match ty {
            TypeRef::Memory(_) => because("imports its memory, as modules with threads do"),
            TypeRef::Table(_) => because("imports a table"),
            TypeRef::Global(global) if global.mutable => because("imports a global that changes"),
            TypeRef::Global(_) => {
                self.imported_globals = self.imported_globals.saturating_add(1);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_global(&mut self, index: u32, ty: ValType) -> Result<(), Refusal> {
        if matches!(ty, ValType::Ref(_)) {
            return because("has a global that holds a reference");
        }
        self.globals.push((index, ty));
        Ok(())
    }
}

/// Refuses an instruction that changes what is not kept.
fn check(operator: &Operator<'_>) -> Result<(), Refusal> {
    match operator {
        Operator::TableSet { .. }
        | Operator::TableGrow { .. }
        | Operator::TableFill { .. }
        | Operator::TableCopy { .. }
        | Operator::TableInit { .. }
        | Operator::ElemDrop { .. } => because("can change its table"),
        Operator::DataDrop { .. } => because("can drop data"),
        _ => Ok(()),
    }
}

/// Does the module import randomness?
pub(super) fn draws_randomness(module: &wasmtime::Module) -> bool {
    module.imports().any(|import| import.name() == "random_get")
}

#[cfg(all(test, feature = "wat"))]
mod tests {
    use super::*;
    use wasmtime::{Engine, Module, Store};

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn why(text: &str) -> Result<String, wat::Error> {
        Ok(match exporting(&wat::parse_str(text)?) {
            Err(Refusal::Because(why)) => why,
            Err(Refusal::Invalid) => "invalid".to_owned(),
            Ok(_) => String::new(),
        })
    }

    #[test]
    fn a_copy_is_as_the_instance_was() -> TestResult {
        let bytes = wat::parse_str(
            r#"(module
                (import "e" "f" (func))
                (memory (export "memory") 1 9)
                (global $a (mut i32) (i32.const -1))
                (global $b i64 (i64.const 5))
                (global $c (mut f64) (f64.const 1))
                (global $v (mut v128) (v128.const i64x2 1 2))
                (table 2 funcref)
                (elem (i32.const 0) $get)
                (data (i32.const 10) "before")
                (data (i32.const 65530) "end")
                (start $begin)
                (func $begin (global.set $a (i32.add (global.get $a) (i32.const -99))))
                (func (export "_initialize")
                    (drop (memory.grow (i32.const 2)))
                    (i32.store (i32.const 131080) (i32.const 77))
                    (i32.store8 (i32.const 10) (i32.const 0x42))
                    (global.set $c (f64.const 2.5)))
                (func $get (export "get") (result i32 i64 f64 i32 i32 i32 i64)
                    (global.get $a) (global.get $b) (global.get $c) (memory.size)
                    (i32.load (i32.const 131080)) (i32.load8_u (i32.const 10))
                    (i64x2.extract_lane 1 (global.get $v))))"#,
        )?;
        let plain = |error: wasmtime::Error| format!("{error:?}");
        let engine = Engine::default();
        let refused = |_| "refused";
        let module = Module::new(&engine, exporting(&bytes).map_err(refused)?).map_err(plain)?;
        let mut store = Store::new(&engine, ());
        let nothing = wasmtime::Func::wrap(&mut store, || ());
        let instance = Instance::new(&mut store, &module, &[nothing.into()]).map_err(plain)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_initialize").map_err(plain)?;
        start.call(&mut store, ()).map_err(plain)?;
        let copy = frozen(&bytes, &mut store, &instance).map_err(refused)?;
        let module = Module::new(&engine, copy).map_err(plain)?;
        assert!(module.exports().all(|export| !export.name().starts_with("wasock:")));
        for _ in 0..2 {
            let copied = Instance::new(&mut store, &module, &[nothing.into()]).map_err(plain)?;
            type All = (i32, i64, f64, i32, i32, i32, i64);
            let get = copied.get_typed_func::<(), All>(&mut store, "get").map_err(plain)?;
            let found = get.call(&mut store, ()).map_err(plain)?;
            assert_eq!(found, (-100, 5, 2.5, 3, 77, 0x42, 2));
        }
        Ok(())
    }

    #[test]
    fn what_can_change_more_is_refused() -> TestResult {
        let with =
            |more: &str| why(&format!("(module (memory (export \"memory\") 1) (table $t 1 funcref) {more})"));
        assert_eq!(with("")?, "");
        for (more, said) in [
            ("(func (table.set $t (i32.const 0) (ref.null func)))", "can change its table"),
            ("(global (mut funcref) (ref.null func))", "a global that holds a reference"),
            ("(data \"x\") (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))", "memory.init"),
            ("(export \"t\" (table $t))", "exports its table"),
            ("(memory 1)", "not exactly one memory"),
        ] {
            let why = with(more)?;
            assert!(why.contains(said), "{more}: {why}");
        }
        assert!(
            why("(module (import \"env\" \"memory\" (memory 1 1 shared)))")?.contains("imports its memory")
        );
        Ok(())
    }
}
