//! The compile cache.

use std::path::PathBuf;

use wasmtime::{Cache, CacheConfig};

/// How what is in the cache is compressed, from 1 to 21: what is quick to unpack, for that
/// is much of a start. Wasmtime by itself takes 3, and after 256 starts, in the midst of
/// the last, takes seconds to compress anew by 20, which is slower to unpack.
const QUICK: i32 = 1;

/// What Wasmtime's own folders are called.
const NAME: &str = "wasmtime";

/// The compile cache, as the user's file for Wasmtime has it.
pub(crate) fn cache() -> wasmtime::Result<Cache> {
    let mut config = CacheConfig::from_file(None)?;
    let default = CacheConfig::new();
    let levels =
        |config: &CacheConfig| (config.baseline_compression_level(), config.optimized_compression_level());
    if levels(&config) == levels(&default) {
        config.with_baseline_compression_level(QUICK).with_optimized_compression_level(QUICK);
    }
    if config.directory().is_none()
        && let Some(directory) = default_directory()
    {
        config.with_directory(directory);
    }
    Cache::new(config)
}

/// Where it is: what its [settings](settings) say, or else below the user's folder for caches.
pub(crate) fn directory() -> Option<PathBuf> {
    let config = CacheConfig::from_file(None).ok()?;
    config.directory().cloned().or_else(default_directory)
}

/// The folder of the user's file for Wasmtime.
pub(crate) fn settings() -> Option<PathBuf> {
    Some(user_folder("XDG_CONFIG_HOME", ".config")?.join(NAME))
}

fn default_directory() -> Option<PathBuf> {
    Some(user_folder("XDG_CACHE_HOME", ".cache")?.join(NAME))
}

/// "All paths set in these environment variables must be absolute. If an implementation encounters
/// a relative path in any of these variables it should consider the path invalid and ignore
/// it." - XDG Base Directory Specification
fn user_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(std::env::home_dir()?.join(below_home)))
}
