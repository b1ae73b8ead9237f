//! `compose COMPONENT PART... MADE`: a component whose imports are what the parts export, as far as they export it.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use wasm_compose::composer::ComponentComposer;
use wasm_compose::config::Config;

fn main() -> Result<()> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let component = paths.next().context("no component")?;
    let mut definitions: Vec<PathBuf> = paths.collect();
    let made = definitions.pop().context("no name for what is made")?;
    let config = Config { definitions, ..Config::default() };
    let bytes = ComponentComposer::new(&component, &config).compose()?;
    fs::write(&made, bytes).with_context(|| made.display().to_string())
}
