//! `component MODULE COMPONENT` makes a component of a module that calls WASI preview 2
//! for its sockets and, as its standard library does, preview 1 for the rest.

use anyhow::{Context, Result};
use std::{env, fs};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let module = arguments.next().context("no module")?;
    let component = arguments.next().context("no component")?;
    let module = fs::read(&module).with_context(|| module.display().to_string())?;
    let encoded = ComponentEncoder::default()
        .module(&module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)?
        .validate(true)
        .encode()?;
    fs::write(&component, encoded).with_context(|| component.display().to_string())
}
