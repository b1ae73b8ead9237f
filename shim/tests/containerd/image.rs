//! Images, as archives in the layout of OCI.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What a layer with a module, or a component, is.
pub(crate) const WASM_LAYER: &str = "application/wasm";
pub(crate) const COMPONENT_LAYER: &str = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";

/// An image that is still to be written.
#[derive(Clone)]
pub(crate) struct Image {
    /// Paths, what the files have, and their modes.
    files: Vec<(String, Vec<u8>, u32)>,
    /// Layers that are no file systems: what they are, and what they have.
    layers: Vec<(String, Vec<u8>)>,
    pub(crate) entrypoint: Vec<String>,
    settings: Vec<(&'static str, Value)>,
    platform: (String, String),
    /// Does a list of images name it with its platform, as registries have it?
    is_listed: bool,
}

impl Image {
    /// `FROM scratch`, with the program `module` as `/server.wasm`.
    pub(crate) fn of_module(module: &[u8]) -> Self {
        Self::empty().file("server.wasm", module, 0o644).entrypoint(&["/server.wasm"])
    }

    /// The same with a program for this machine as `/server`.
    pub(crate) fn of_native(program: &[u8]) -> Self {
        Self::empty().file("server", program, 0o755).entrypoint(&["/server"])
    }

    /// Layers with modules in place of a file system, as registries of modules have them.
    pub(crate) fn of_layers(layers: &[(&str, &[u8])]) -> Self {
        let layers = layers.iter().map(|(kind, bytes)| ((*kind).to_owned(), bytes.to_vec())).collect();
        let image = Self { layers, ..Self::empty() };
        image.entrypoint(&["server.wasm"]).platform("wasip1", "wasm")
    }

    pub(crate) fn empty() -> Self {
        let platform = ("linux".to_owned(), architecture().to_owned());
        let (files, layers, entrypoint, settings) = Default::default();
        Self { files, layers, entrypoint, settings, platform, is_listed: false }
    }

    pub(crate) fn file(mut self, path: &str, bytes: &[u8], mode: u32) -> Self {
        self.files.push((path.to_owned(), bytes.to_vec(), mode));
        self
    }

    pub(crate) fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// A key of the image's configuration: `Env`, `Cmd`, `WorkingDir`.
    pub(crate) fn setting(mut self, key: &'static str, value: Value) -> Self {
        self.settings.push((key, value));
        self
    }

    /// What its configuration says of the machine that it is for.
    pub(crate) fn platform(mut self, os: &str, architecture: &str) -> Self {
        self.platform = (os.to_owned(), architecture.to_owned());
        self
    }

    /// The same as the only one of a list.
    pub(crate) fn listed(mut self) -> Self {
        self.is_listed = true;
        self
    }

    /// The whole as one tar.
    pub(crate) fn archive(&self) -> Result<Vec<u8>> {
        let mut layout = Layout::default();
        let mut layers = Vec::new();
        let mut sums = Vec::new();
        if self.layers.is_empty() {
            let files = tar_of(
                self.files.iter().map(|(path, bytes, mode)| (path.as_str(), bytes.as_slice(), *mode)),
            )?;
            let layer = layout.add(LAYER, files);
            // Of file systems alone: containerd counts those of other layers as missing.
            sums.push(layer.get("digest").cloned().unwrap_or_default());
            layers.push(layer);
        }
        for (kind, bytes) in &self.layers {
            layers.push(layout.add(kind, bytes.clone()));
        }
        let mut settings = json!({ "Entrypoint": self.entrypoint });
        for (key, value) in &self.settings {
            insert(&mut settings, key, value.clone());
        }
        let (os, architecture) = &self.platform;
        let config = json!({
            "architecture": architecture,
            "os": os,
            "config": settings,
            "rootfs": { "type": "layers", "diff_ids": sums },
        });
        let config = layout.add(CONFIG, serde_json::to_vec(&config)?);
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        let mut named = layout.add(MANIFEST, serde_json::to_vec(&manifest)?);
        if self.is_listed {
            insert(&mut named, "platform", json!({ "os": os, "architecture": architecture }));
            let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [named] });
            named = layout.add(INDEX, serde_json::to_vec(&list)?);
        }
        insert(&mut named, "annotations", json!({ "org.opencontainers.image.ref.name": "v1" }));
        let index = json!({ "schemaVersion": 2, "manifests": [named] });
        layout.file("index.json", serde_json::to_vec(&index)?);
        layout.file("oci-layout", serde_json::to_vec(&json!({ "imageLayoutVersion": "1.0.0" }))?);
        tar_of(layout.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice(), 0o644)))
    }
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = object {
        map.insert(key.to_owned(), value);
    }
}

/// The files of an archive.
#[derive(Default)]
struct Layout {
    files: Vec<(String, Vec<u8>)>,
}

impl Layout {
    fn file(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.push((path.to_owned(), bytes));
    }

    /// Adds what goes by its sum, and returns its descriptor.
    fn add(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let sum = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
            _ = write!(text, "{byte:02x}");
            text
        });
        let descriptor = json!({ "mediaType": kind, "digest": format!("sha256:{sum}"), "size": bytes.len() });
        self.file(&format!("blobs/sha256/{sum}"), bytes);
        descriptor
    }
}

fn tar_of<'a>(files: impl Iterator<Item = (&'a str, &'a [u8], u32)>) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(bytes.len())?);
        header.set_mode(mode);
        archive.append_data(&mut header, path, bytes)?;
    }
    Ok(archive.into_inner()?)
}

/// This machine's, as images name it.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}
