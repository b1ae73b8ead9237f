//! One linker with both this crate and `wasmtime-wasi`.

use super::plain;
use anyhow::{Result, ensure};
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_async};
use wasock::WasockCtx;

/// What an embedder's store holds.
struct State {
    wasi: WasiP1Ctx,
    wasock: WasockCtx,
}

/// Returns how many arguments there are, and 100 more if a socket can be opened.
const COUNTS: &str = r#"(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (i32.add (i32.load (i32.const 0))
      (i32.mul (i32.const 100) (i32.eqz (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 8)))))))"#;

/// What the guest returns if `link` made the linker.
async fn told(link: impl FnOnce(&mut Linker<State>, &Module) -> wasmtime::Result<()>) -> Result<i32> {
    let engine = Engine::default();
    let module = Module::new(&engine, COUNTS).map_err(plain)?;
    let mut linker = Linker::new(&engine);
    link(&mut linker, &module).map_err(plain)?;
    let wasock = WasockCtx::builder().args(["a", "b"]).build_for(&module)?;
    let wasi = WasiCtxBuilder::new().args(&["a", "b", "c"]).build_p1();
    let mut store = Store::new(&engine, State { wasi, wasock });
    let instance = linker.instantiate_async(&mut store, &module).await.map_err(plain)?;
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").map_err(plain)?;
    run.call_async(&mut store, ()).await.map_err(plain)
}

fn add_wasi(linker: &mut Linker<State>, _: &Module) -> wasmtime::Result<()> {
    add_to_linker_async(linker, |state| &mut state.wasi)
}

fn add_wasock(linker: &mut Linker<State>, module: &Module) -> wasmtime::Result<()> {
    wasock::add_to_linker(linker, module, |state: &mut State| &mut state.wasock)
}

/// A linker takes a name once: the second crate is refused, whichever it is, and nothing is
/// hidden by accident.
#[test]
fn a_linker_refuses_the_second_of_both() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, COUNTS).map_err(plain)?;
    for both in [[add_wasi, add_wasock], [add_wasock, add_wasi]] {
        let mut linker = Linker::new(&engine);
        let [first, second] = both.map(|add| add(&mut linker, &module).map_err(|error| error.to_string()));
        ensure!(first == Ok(()), "{first:?}");
        ensure!(second.as_ref().is_err_and(|error| error.contains("wasi_snapshot_preview1")), "{second:?}");
    }
    Ok(())
}

/// A linker that may shadow has the later one's preview 1, and this crate's WASIX either way.
#[tokio::test]
async fn the_later_one_wins_where_the_linker_may_shadow() -> Result<()> {
    let wasock_last = told(|linker, module| {
        add_wasi(linker, module)?;
        add_wasock(linker.allow_shadowing(true), module)
    });
    ensure!(wasock_last.await? == 102);
    let wasi_last = told(|linker, module| {
        add_wasock(linker, module)?;
        add_wasi(linker.allow_shadowing(true), module)
    });
    ensure!(wasi_last.await? == 103);
    Ok(())
}
