//! What a component is, from the imports and exports in its own bytes.

use std::fmt;

use wasmparser::component_types::ComponentEntityType;
use wasmparser::{Parser, Payload, Validator, WasmFeatures};

use super::interfaces::{Name, is_supported, versions};
use crate::observe::text::Excerpt;

/// The interface that makes a component a program, and its versions that the host calls.
const RUN: &str = "wasi:cli/run";
const RUN_VERSIONS: [(&str, CommandVersion); 2] =
    [("0.2.0", CommandVersion::V0_2), ("0.3.0", CommandVersion::V0_3)];

/// What a server of HTTP exports instead, one of them.
const HTTP_HANDLERS: [&str; 2] = ["wasi:http/incoming-handler", "wasi:http/handler"];

/// What a component imports and exports.
#[derive(Clone, Debug)]
pub struct Outline {
    imports: Vec<ComponentImport>,
    exports: Vec<String>,
    mismatch: Option<String>,
}

/// Something that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentImport {
    /// The interface with its version, or another name that the component has chosen.
    pub name: String,
    /// Has the host what serves it?
    pub is_supported: bool,
}

/// The version of WASI of which a component is a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandVersion {
    /// WASI 0.2: its start function waits by polling.
    V0_2,
    /// WASI 0.3: its start function is async.
    V0_3,
}

impl fmt::Display for CommandVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_2 => "0.2",
            Self::V0_3 => "0.3",
        })
    }
}

/// What a component is to its host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComponentKind {
    /// A program: it exports `wasi:cli/run`.
    Command(CommandVersion),
    /// A program for a version of WASI that the host does not have: its export.
    OtherCommand(String),
    /// A handler of HTTP requests, without a program of its own: its export.
    HttpHandler(String),
    /// Something for other components to use.
    Library,
}

impl Outline {
    /// That of a binary component. The bodies of its functions are passed over.
    ///
    /// # Errors
    ///
    /// What is wrong with it, but for those bodies.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, wasmparser::Error> {
        let mut validator = Validator::new_with_features(features());
        let mut found = Self { imports: Vec::new(), exports: Vec::new(), mismatch: None };
        // How many components and modules enclose what is read.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            validator.payload(&payload)?;
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        found.add_import(import?.name.name, &validator);
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        found.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn add_import(&mut self, name: &str, validator: &Validator) {
        let Some(types) = validator.types(0) else { return };
        let is_code = |ty: &ComponentEntityType| {
            matches!(ty, ComponentEntityType::Func(_) | ComponentEntityType::Module(_))
        };
        // What has types alone is served by nothing.
        let needs_host = match types.component_item_for_import(name).map(|item| item.ty) {
            Some(ComponentEntityType::Instance(id)) => types.get(id).is_none_or(|ty| {
                ty.exports.values().any(|item| is_code(&item.ty)) || !ty.defined_resources.is_empty()
            }),
            Some(ComponentEntityType::Type { .. }) => false,
            _ => true,
        };
        if needs_host {
            self.imports.push(ComponentImport { name: name.to_owned(), is_supported: is_supported(name) });
        }
    }

    /// What it imports, but for what has types alone.
    pub fn imports(&self) -> &[ComponentImport] {
        &self.imports
    }

    /// The names of what it exports.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// What keeps it from starting although the host has all of [`imports`](Self::imports): one of them, or its
    /// `run`, has another type than the host's. That is told of programs alone, and in the words of the engine.
    pub fn mismatch(&self) -> Option<&str> {
        self.mismatch.as_deref()
    }

    /// The same with what was found so.
    pub(crate) fn with_mismatch(self, mismatch: Option<String>) -> Self {
        Self { mismatch, ..self }
    }

    /// The export that makes it a program.
    pub(crate) fn program(&self) -> Option<&str> {
        let of_version = |version: &str| self.exports.iter().find(|export| Name::of(export).is(RUN, version));
        RUN_VERSIONS.iter().find_map(|(version, _)| of_version(version)).map(String::as_str)
    }

    /// What it is.
    pub fn kind(&self) -> ComponentKind {
        let names = || self.exports.iter().map(|export| (export, Name::of(export)));
        for (version, command) in RUN_VERSIONS {
            if names().any(|(_, name)| name.is(RUN, version)) {
                return ComponentKind::Command(command);
            }
        }
        if let Some((export, _)) = names().find(|(_, name)| name.interface == RUN) {
            return ComponentKind::OtherCommand(export.clone());
        }
        match names().find(|(_, name)| HTTP_HANDLERS.contains(&name.interface)) {
            Some((export, _)) => ComponentKind::HttpHandler(export.clone()),
            None => ComponentKind::Library,
        }
    }

    /// Each import that the host lacks, as a line: its name is escaped, and followed by the versions
    /// that the host has.
    pub(crate) fn missing(&self) -> Vec<String> {
        let lacking = self.imports.iter().filter(|import| !import.is_supported);
        lacking.map(|import| format!("{}{}", Excerpt::name(&import.name), versions(&import.name))).collect()
    }
}

/// Does a valid component need the async functions of the component model?
pub(crate) fn needs_async(bytes: &[u8]) -> bool {
    let is_valid = |features| Validator::new_with_features(features).validate_all(bytes).is_ok();
    is_valid(features()) && !is_valid(features().difference(WasmFeatures::CM_ASYNC))
}

/// What engines of the host's have, and more.
fn features() -> WasmFeatures {
    WasmFeatures::default().union(WasmFeatures::CM_ASYNC)
}
