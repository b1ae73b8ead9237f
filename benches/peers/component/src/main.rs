//! `component MODULE COMPONENT [reactor]` makes a component of a module that calls WASI 0.2 or 0.3
//! for its sockets and, as its standard library does, preview 1 for the rest. One of 0.2 starts by the export of an
//! adapter, one of 0.3, a reactor, by its own.

use anyhow::{Context, Result, bail};
use std::{env, fs};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let module = arguments.next().context("no module")?;
    let component = arguments.next().context("no component")?;
    let adapter = match arguments.next() {
        Some(kind) if kind == "reactor" => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        Some(kind) => bail!("{}: no kind of component", kind.display()),
        None => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    };
    let module = fs::read(&module).with_context(|| module.display().to_string())?;
    let encoded = ComponentEncoder::default()
        .module(&module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
        .validate(true)
        .encode()?;
    fs::write(&component, encoded).with_context(|| component.display().to_string())
}
