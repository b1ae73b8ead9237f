//! What containerd has written about the container for which this process was started, in the working directory.
//!
//! The process of a container can't see it any more.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

/// Where it is: "The configuration file MUST reside in the root of the bundle directory and MUST be named config.json" -
/// the runtime specification of OCI, `bundle.md`
const FILE: &str = "config.json";

/// What takes its place, while that is being written.
const NEXT_FILE: &str = "config.json.next";

/// More than this is not read.
const LARGEST: u64 = 16 << 20;

static SPEC: OnceLock<Spec> = OnceLock::new();

/// The part that is of use.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    linux: Linux,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Linux {
    cgroups_path: Option<String>,
    resources: Resources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    memory: Memory,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Memory {
    /// In bytes; -1 for none.
    limit: Option<i64>,
}

/// Reads it, before there is any other process.
pub(crate) fn read() {
    let spec = text(Path::new(".")).and_then(|text| serde_json::from_slice(&text).ok());
    _ = SPEC.set(spec.unwrap_or_default());
}

/// All that is in that of the folder `bundle`; `None` where there is no such thing.
pub(crate) fn whole(bundle: &Path) -> Option<Value> {
    serde_json::from_slice(&text(bundle)?).ok()
}

fn text(bundle: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    File::open(bundle.join(FILE)).and_then(|file| file.take(LARGEST).read_to_end(&mut text)).ok()?;
    Some(text)
}

/// Puts `spec` in the place of what containerd has written to the folder `bundle`, whole or not at all.
///
/// # Errors
///
/// What the system reports.
pub(crate) fn replace(bundle: &Path, spec: &Value) -> io::Result<()> {
    let (file, next) = (bundle.join(FILE), bundle.join(NEXT_FILE));
    fs::write(&next, serde_json::to_vec(spec)?)?;
    fs::set_permissions(&next, fs::metadata(&file)?.permissions())?;
    fs::rename(next, file)
}

/// How many bytes of memory the container may have; `None` where nothing was said. Of a pod that is its first
/// container, which runs nothing of the user's.
pub(crate) fn memory_limit() -> Option<u64> {
    SPEC.get().and_then(Spec::memory_limit)
}

/// The control group of the container, as it was asked for.
pub(crate) fn control_group() -> Option<String> {
    SPEC.get()?.linux.cgroups_path.clone()
}

impl Spec {
    fn memory_limit(&self) -> Option<u64> {
        u64::try_from(self.linux.resources.memory.limit?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_a_control_group() -> Result<(), serde_json::Error> {
        let spec: Spec = serde_json::from_str(r#"{"linux":{"cgroupsPath":"/default/web"}}"#)?;
        assert_eq!(spec.linux.cgroups_path.as_deref(), Some("/default/web"));
        Ok(())
    }

    #[test]
    fn a_limit_is_found_where_there_is_one() {
        let of = |text: &str| serde_json::from_str::<Spec>(text).ok()?.memory_limit();
        assert_eq!(
            of(r#"{"ociVersion":"1.0.2","linux":{"resources":{"memory":{"limit":67108864}}}}"#),
            Some(64 << 20)
        );
        assert_eq!(of(r#"{"linux":{"resources":{"memory":{"limit":-1}}}}"#), None);
        for none in [r#"{"linux":{"resources":{}}}"#, "{}", "", "{"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
