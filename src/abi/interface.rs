//! What a module imports and exports, from the engine that compiled it, or from its own bytes.

use wasmparser::types::{CoreTypeId, EntityType, TypesRef};
use wasmparser::{
    CompositeInnerType, DataKind, Export, Import as ParsedImport, Parser, Payload, TypeRef, Validator,
    WasmFeatures,
};
use wasmtime::{ExternType, FuncType, ImportType, Module, ValType};

use super::detect::Import;
use super::table::CoreType;

/// The imports and exports of a module, in their order.
#[derive(Debug, Default)]
pub(crate) struct Interface {
    pub(super) imports: Vec<ImportItem>,
    exports: Vec<(String, ItemType)>,
    /// Could its threads share the memory that it makes for itself? Only its bytes say it.
    pub(super) may_share_own_memory: bool,
}

/// An import and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImportItem {
    pub(super) import: Import,
    pub(super) ty: ItemType,
}

/// The type of an import or export, as far as the host uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ItemType {
    Function(Signature),
    Memory { is_shared: bool },
    Other,
}

/// The type of a function. `None` stands for a type of value that no call of the host's has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(super) params: Vec<Option<CoreType>>,
    pub(super) results: Vec<Option<CoreType>>,
}

impl Interface {
    /// That of a compiled module.
    pub(crate) fn of(module: &Module) -> Self {
        let export = |name: &str, ty: &ExternType| (name.to_owned(), ItemType::of(ty));
        Self {
            imports: module.imports().map(|import| ImportItem::of(&import)).collect(),
            exports: module.exports().map(|it| export(it.name(), &it.ty())).collect(),
            may_share_own_memory: false,
        }
    }

    /// That of a binary module, whose bodies of functions are passed over.
    ///
    /// # Errors
    ///
    /// What is wrong with the module, but for those bodies.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, wasmparser::Error> {
        let mut validator = Validator::new_with_features(WasmFeatures::default());
        let mut found = Self { may_share_own_memory: may_share_own_memory(bytes), ..Self::default() };
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            validator.payload(&payload)?;
            match payload {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        found.add_import(&import?, &validator);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        found.add_export(&export?, &validator);
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn add_import(&mut self, import: &ParsedImport<'_>, validator: &Validator) {
        let types = validator.types(0);
        let ty = types.and_then(|types| Some((types, types.entity_type_from_import(import)?)));
        let names = Import { module: import.module.to_owned(), name: import.name.to_owned() };
        self.imports.push(ImportItem { import: names, ty: ItemType::parsed(ty) });
    }

    fn add_export(&mut self, export: &Export<'_>, validator: &Validator) {
        let types = validator.types(0);
        let ty = types.and_then(|types| Some((types, types.entity_type_from_export(export)?)));
        self.exports.push((export.name.to_owned(), ItemType::parsed(ty)));
    }

    /// The type of the export `name`.
    pub(crate) fn export(&self, name: &str) -> Option<&ItemType> {
        self.exports.iter().find(|(export, _)| export == name).map(|(_, ty)| ty)
    }
}

/// Has the module `bytes` one memory, which is shared and its own, and no data that each instance puts there? Then
/// instances may have that memory in common.
pub(crate) fn may_share_own_memory(bytes: &[u8]) -> bool {
    look_at_memory(bytes).unwrap_or(false)
}

fn look_at_memory(bytes: &[u8]) -> Result<bool, wasmparser::Error> {
    let (mut own, mut shared) = (0_u32, false);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if matches!(import?.ty, TypeRef::Memory(_)) {
                        return Ok(false);
                    }
                }
            }
            Payload::MemorySection(section) => {
                own = section.count();
                for memory in section {
                    shared = memory?.shared;
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    if matches!(data?.kind, DataKind::Active { .. }) {
                        return Ok(false);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(own == 1 && shared)
}

impl ImportItem {
    pub(crate) fn of(import: &ImportType<'_>) -> Self {
        Self { import: Import::of(import), ty: ItemType::of(&import.ty()) }
    }

    /// Its type, where it is a function.
    pub(super) fn signature(&self) -> Option<&Signature> {
        match &self.ty {
            ItemType::Function(signature) => Some(signature),
            _ => None,
        }
    }

    pub(super) fn is_shared_memory(&self) -> bool {
        self.ty == ItemType::Memory { is_shared: true }
    }
}

impl ItemType {
    fn of(ty: &ExternType) -> Self {
        match ty {
            ExternType::Func(ty) => Self::Function(Signature::of(ty)),
            ExternType::Memory(ty) => Self::Memory { is_shared: ty.is_shared() },
            _ => Self::Other,
        }
    }

    fn parsed(ty: Option<(TypesRef<'_>, EntityType)>) -> Self {
        match ty {
            Some((types, EntityType::Func(id) | EntityType::FuncExact(id))) => {
                Self::Function(Signature::parsed(types, id))
            }
            Some((_, EntityType::Memory(ty))) => Self::Memory { is_shared: ty.shared },
            _ => Self::Other,
        }
    }
}

impl Signature {
    fn of(ty: &FuncType) -> Self {
        let core = |ty: ValType| match ty {
            ValType::I32 => Some(CoreType::I32),
            ValType::I64 => Some(CoreType::I64),
            ValType::F64 => Some(CoreType::F64),
            _ => None,
        };
        Self { params: ty.params().map(core).collect(), results: ty.results().map(core).collect() }
    }

    fn parsed(types: TypesRef<'_>, id: CoreTypeId) -> Self {
        let core = |ty: &wasmparser::ValType| match ty {
            wasmparser::ValType::I32 => Some(CoreType::I32),
            wasmparser::ValType::I64 => Some(CoreType::I64),
            wasmparser::ValType::F64 => Some(CoreType::F64),
            _ => None,
        };
        match types.get(id).map(|ty| &ty.composite_type.inner) {
            Some(CompositeInnerType::Func(ty)) => Self {
                params: ty.params().iter().map(core).collect(),
                results: ty.results().iter().map(core).collect(),
            },
            // The types of imports and exports are those of functions: the validator has said so.
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Engine;

    const MODULE: &str = r#"(module
        (type $later (func (param f64 (ref null func)) (result i64 i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
        (import "env" "memory" (memory 1 2 shared))
        (import "env" "own" (memory 1))
        (import "env" "table" (table 1 funcref))
        (import "env" "odd" (func (type $later)))
        (import "env" "tag" (tag (param i32)))
        (import "env" "global" (global i64))
        (func (export "run") (param i64 v128) unreachable)
        (export "memory" (memory 1))
        (export "again" (func 0)))"#;

    #[test]
    fn the_bytes_and_the_engine_show_the_same() -> Result<(), Box<dyn std::error::Error>> {
        let bytes = wat::parse_str(MODULE)?;
        let mut config = wasmtime::Config::new();
        config.shared_memory(true).wasm_exceptions(true);
        let compiled = Interface::of(&Module::new(&Engine::new(&config)?, &bytes)?);
        let parsed = Interface::read(&bytes)?;
        assert_eq!(parsed.imports, compiled.imports);
        assert_eq!(parsed.exports, compiled.exports);
        assert_eq!((parsed.imports.len(), parsed.exports.len()), (7, 3));
        assert_eq!(parsed.export("memory"), Some(&ItemType::Memory { is_shared: false }));
        assert_eq!(parsed.export("again"), parsed.imports.first().map(|import| &import.ty));
        assert_eq!(parsed.export("nothing"), None);
        Ok(())
    }

    #[test]
    fn what_is_broken_is_refused_but_for_bodies() -> Result<(), Box<dyn std::error::Error>> {
        let wrong_body = wat::parse_str(r#"(module (func (export "run") (result i32) i64.const 1))"#)?;
        assert_eq!(Interface::read(&wrong_body)?.exports.len(), 1);
        let twice = wat::parse_str(r#"(module (func (export "run")) (func (export "run")))"#)?;
        assert!(Interface::read(&twice).is_err());
        let whole = wat::parse_str(MODULE)?;
        for end in 0..whole.len() {
            // Cut between two sections, what is left may be whole.
            let _read = Interface::read(whole.get(..end).unwrap_or_default());
        }
        assert!(Interface::read(b"").is_err());
        Ok(())
    }
}
