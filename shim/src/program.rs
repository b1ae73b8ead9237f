//! What the container is to run: a module or a component, of a file in its root or of a layer of its image.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use containerd_shim_wasm::sandbox::context::{RuntimeContext, Source, WasmLayer};
use wasock_cli::Program;

/// The function that a program begins in.
const START: &str = "_start";

/// What a program of a layer is called where the container has no arguments.
const NAMELESS: &str = "program.wasm";

/// The first bytes of a module. What else there is may be a component, or the text of one.
const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

/// A program, and what it is.
pub(crate) struct Found {
    pub(crate) program: Program,
    pub(crate) is_module: bool,
}

/// What the container of `context` is to run.
///
/// # Errors
///
/// A sentence for whoever made the image.
pub(crate) fn find(context: &impl RuntimeContext) -> Result<Found> {
    let entry = context.entrypoint();
    ensure!(
        entry.func == START,
        "the entry point names the function {}, after #: a program begins in {START}",
        entry.func
    );
    match entry.source {
        Source::Oci([layer]) => Ok(in_layer(layer, context.args().first())),
        Source::Oci(layers) => bail!(
            "the image has {} layers that are modules or components, and a container runs one: leave one",
            layers.len()
        ),
        Source::File(path) => in_file(&path, context.envs()),
    }
}

fn in_layer(layer: &WasmLayer, name: Option<&String>) -> Found {
    let name = name.filter(|name| !name.is_empty()).map_or(NAMELESS, String::as_str).to_owned();
    let program = Program::Image { name, bytes: layer.layer.clone() };
    let is_module = program.starts_with(&MODULE);
    Found { program, is_module }
}

fn in_file(name: &Path, variables: &[String]) -> Result<Found> {
    ensure!(
        !name.as_os_str().is_empty(),
        "the container has nothing to run: its image has neither an entry point nor a layer that is a module, and no \
         argument names a file"
    );
    let path = place_of(name, variables).with_context(|| {
        format!(
            "there is no file {} in the container, which its entry point names; an image whose layers are modules \
             has the architecture wasm in its configuration",
            name.display()
        )
    })?;
    let program = Program::File(path);
    let is_module = program.starts_with(&MODULE);
    Ok(Found { program, is_module })
}

/// Where the file `name` is: from the working directory, or for a bare name in a directory of `PATH` too.
fn place_of(name: &Path, variables: &[String]) -> Option<PathBuf> {
    if name.exists() {
        return Some(name.to_owned());
    }
    let is_bare = name.components().count() == 1 && name.is_relative();
    let path = variables.iter().find_map(|variable| variable.strip_prefix("PATH="))?;
    let mut folders = std::env::split_paths(path).filter(|_| is_bare);
    folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_found_by_the_path_of_the_container() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("server.wasm");
        std::fs::write(&file, MODULE)?;
        let variables = [format!("PATH=/nowhere:{}", folder.path().display())];
        assert_eq!(place_of("server.wasm".as_ref(), &variables), Some(file.clone()));
        assert_eq!(place_of("./server.wasm".as_ref(), &variables), None);
        assert_eq!(place_of("server.wasm".as_ref(), &[]), None);
        assert_eq!(place_of(&file, &[]), Some(file));
        Ok(())
    }

    #[test]
    fn a_module_is_told_from_a_component() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let kind = |content: &[u8]| {
            let file = folder.path().join("a");
            std::fs::write(&file, content)?;
            Ok::<_, anyhow::Error>(in_file(&file, &[])?.is_module)
        };
        assert!(kind(&MODULE)?);
        assert!(!kind(b"\0asm\x0d\0\x01\0")? && !kind(b"(component)")? && !kind(b"")?);
        let missing = in_file(Path::new("/missing.wasm"), &[]).err().map(|error| error.to_string());
        assert!(missing.is_some_and(|it| it.contains("no file /missing.wasm in the container")));
        assert!(in_file(Path::new(""), &[]).is_err());
        Ok(())
    }
}
