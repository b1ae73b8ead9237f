//! Small modules on both linkers, with each kind of memory.

#![expect(clippy::expect_used, reason = "a test may fail")]

use std::sync::{Arc, Mutex};

use wasmtime::{Config, Engine, Instance, Linker, MemoryType, Module, SharedMemory, Store};

use super::call_mode::CallMode;
use super::link::add_missing_to_linker;
use super::{BuildError, WasockCtx, add_to_linker, add_to_linker_blocking, link_unknown_imports};
use crate::abi::{FUNCTIONS, Function};
use crate::error::{Errno, Exit, Terminated};
use crate::observe::TraceLine;

const EXPORTED: &str = r#"(memory (export "memory") 1)"#;
const EXPORTED_SHARED: &str = r#"(memory (export "memory") 1 2 shared)"#;
const IMPORTED_SHARED: &str = r#"(import "env" "memory" (memory 1 2 shared))"#;

fn engine() -> wasmtime::Result<Engine> {
    Engine::new(Config::new().shared_memory(true))
}

/// A module that passes calls on, with `memory` as its memory.
fn module(engine: &Engine, memory: &str) -> wasmtime::Result<Module> {
    // Imports come first in the text format.
    let (import, definition) = if memory == IMPORTED_SHARED { (memory, "") } else { ("", memory) };
    Module::new(
        engine,
        format!(
            r#"(module
                {import}
                (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
                (import "wasix_32v1" "sched_yield" (func $yield (result i32)))
                (import "wasix_32v1" "sock_bind" (func $bind (param i32 i32) (result i32)))
                {definition}
                (data (i32.const 64) "\01\00\90\1f\7f\00\00\01")
                (func (export "args") (param i32) (result i32)
                    (call $args (local.get 0) (i32.const 4)))
                (func (export "yield") (param i32) (result i32) (call $yield))
                (func (export "bind") (param i32) (result i32)
                    (call $bind (i32.const 3) (local.get 0))))"#
        ),
    )
}

struct Traced {
    store: Store<WasockCtx>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Traced {
    fn new(engine: &Engine) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let to = lines.clone();
        let sink = move |line: &TraceLine<'_>| {
            let line = line.to_string();
            if let (Ok(mut to), Some((call, _))) = (to.lock(), line.split_once(" <")) {
                to.push(call.to_owned());
            }
        };
        let ctx = WasockCtx::builder().arg("guest").trace(sink).build_for_any_module().expect("a context");
        Self { store: Store::new(engine, ctx), lines }
    }

    /// Makes the memory that the module imports, if it does.
    fn give_memory(&mut self, linker: &mut Linker<WasockCtx>, memory: &str) -> wasmtime::Result<()> {
        if memory == IMPORTED_SHARED {
            let shared = SharedMemory::new(linker.engine(), MemoryType::shared(1, 2))?;
            linker.define(&self.store, "env", "memory", shared.clone())?;
            self.store.data_mut().set_shared_memory(shared);
        }
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().map(|lines| lines.clone()).unwrap_or_default()
    }
}

/// Export, argument and result of each call.
const CALLS: [(&str, i32, i32); 3] = [("args", 0, 0), ("yield", 0, 0), ("bind", 64, 8)];

const LINES: [&str; 3] = [
    "args_sizes_get() = 0 argc=1 buf_size=6",
    "sched_yield() = 0",
    "sock_bind(fd=3, addr=127.0.0.1:8080) = EBADF",
];

#[test]
fn sync_calls_reach_every_kind_of_memory() -> wasmtime::Result<()> {
    for memory in [EXPORTED, EXPORTED_SHARED, IMPORTED_SHARED] {
        let engine = engine()?;
        let mut traced = Traced::new(&engine);
        let mut linker = Linker::new(&engine);
        let module = module(&engine, memory)?;
        add_to_linker_blocking(&mut linker, &module, |ctx| ctx)?;
        traced.give_memory(&mut linker, memory)?;
        let instance = linker.instantiate(&mut traced.store, &module)?;
        for (name, argument, answer) in CALLS {
            let call = instance.get_typed_func::<i32, i32>(&mut traced.store, name)?;
            assert_eq!(call.call(&mut traced.store, argument)?, answer, "{name} on {memory}");
        }
        assert_eq!(traced.lines(), LINES, "{memory}");
    }
    Ok(())
}

#[tokio::test]
async fn async_calls_reach_every_kind_of_memory() -> wasmtime::Result<()> {
    for memory in [EXPORTED, EXPORTED_SHARED, IMPORTED_SHARED] {
        let engine = engine()?;
        let mut traced = Traced::new(&engine);
        let mut linker = Linker::new(&engine);
        let module = module(&engine, memory)?;
        add_to_linker(&mut linker, &module, |ctx| ctx)?;
        traced.give_memory(&mut linker, memory)?;
        let instance = linker.instantiate_async(&mut traced.store, &module).await?;
        for (name, argument, answer) in CALLS {
            let call = instance.get_typed_func::<i32, i32>(&mut traced.store, name)?;
            assert_eq!(call.call_async(&mut traced.store, argument).await?, answer, "{name} on {memory}");
        }
        assert_eq!(traced.lines(), LINES, "{memory}");
    }
    Ok(())
}

fn instantiate(wat: &str) -> wasmtime::Result<(Traced, Instance, Vec<String>)> {
    let engine = engine()?;
    let mut traced = Traced::new(&engine);
    let mut linker = Linker::new(&engine);
    let module = Module::new(&engine, wat)?;
    add_to_linker_blocking(&mut linker, &module, |ctx| ctx)?;
    let stubbed = link_unknown_imports(&mut linker, &module)?;
    let instance = linker.instantiate(&mut traced.store, &module)?;
    Ok((traced, instance, stubbed.iter().map(ToString::to_string).collect()))
}

#[test]
fn a_guest_without_memory_traps() -> wasmtime::Result<()> {
    let (mut traced, instance, _) = instantiate(
        r#"(module (import "wasix_32v1" "sched_yield" (func $yield (result i32)))
            (func (export "run") (result i32) (call $yield)))"#,
    )?;
    let run = instance.get_typed_func::<(), i32>(&mut traced.store, "run")?;
    let error = run.call(&mut traced.store, ()).map(drop).expect_err("a trap");
    assert!(format!("{error:?}").contains("the guest has no memory"), "{error:?}");
    Ok(())
}

#[test]
fn the_end_of_the_only_thread_is_the_end_of_the_guest() -> wasmtime::Result<()> {
    let (mut traced, instance, _) = instantiate(
        r#"(module (import "wasix_32v1" "thread_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "run") (call $exit (i32.const 3))))"#,
    )?;
    let run = instance.get_typed_func::<(), ()>(&mut traced.store, "run")?;
    let error = run.call(&mut traced.store, ()).expect_err("the exit");
    assert_eq!(error.downcast_ref::<Exit>(), Some(&Exit(0)));
    Ok(())
}

#[test]
fn a_call_that_ends_the_guest_has_no_outcome() -> wasmtime::Result<()> {
    let (mut traced, instance, _) = instantiate(
        r#"(module (import "wasix_32v1" "proc_exit2" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "run") (call $exit (i32.const 3))))"#,
    )?;
    let run = instance.get_typed_func::<(), ()>(&mut traced.store, "run")?;
    let error = run.call(&mut traced.store, ()).expect_err("the exit");
    assert_eq!(error.downcast_ref::<Exit>(), Some(&Exit(3)));
    assert_eq!(traced.lines(), ["proc_exit2(code=3) = ?"]);
    Ok(())
}

#[test]
fn unknown_functions_of_known_modules_answer_nosys() -> wasmtime::Result<()> {
    let (mut traced, instance, stubbed) = instantiate(
        r#"(module
            (import "wasix_32v1" "ws_connect" (func $acquire (result i32)))
            (import "wasix_32v1" "sched_yield" (func $yield (param i64) (result i32)))
            (import "wasix_32v1" "callback_thread" (func $callback (param i32 i32)))
            (import "wasix_32v1" "stack_restore" (func $exit (param i32 i32)))
            (import "wasi" "thread-spawn" (func $spawn (param i64) (result i32)))
            (memory (export "memory") 1)
            (func (export "acquire") (result i32) (call $acquire))
            (func (export "yield") (result i32) (call $yield (i64.const 0)))
            (func (export "spawn") (result i32)
                (call $callback (i32.const 0) (i32.const 0))
                (call $spawn (i64.const 0)))
            (func (export "exit") (result i32) (call $exit (i32.const 0) (i32.const 0)) (i32.const 0)))"#,
    )?;
    assert_eq!(
        stubbed.join(" "),
        "wasix_32v1.ws_connect wasix_32v1.sched_yield wasix_32v1.callback_thread wasix_32v1.stack_restore \
         wasi.thread-spawn"
    );
    for (name, answer) in [("acquire", 52), ("yield", 52), ("spawn", -52)] {
        let call = instance.get_typed_func::<(), i32>(&mut traced.store, name)?;
        assert_eq!(call.call(&mut traced.store, ())?, answer, "{name}");
    }
    let exit = instance.get_typed_func::<(), i32>(&mut traced.store, "exit")?;
    let error = exit.call(&mut traced.store, ()).map(drop).expect_err("a trap");
    assert!(format!("{error:?}").contains("the host lacks wasix_32v1.stack_restore"), "{error:?}");
    Ok(())
}

#[test]
fn imports_of_unknown_modules_are_listed() {
    let error = instantiate(
        r#"(module
            (import "wasi_experimental" "fd_close" (func (param i32) (result i32)))
            (import "env" "memory" (memory 1))
            (import "wasix_32v1" "proc_fork" (func (param i32 i32) (result i32))))"#,
    )
    .map(drop)
    .expect_err("two imports are missing");
    assert_eq!(
        error.to_string(),
        "the module imports what this host does not have:\n  wasi_experimental.fd_close (a function)\n  \
         env.memory (a memory that is not shared)"
    );
}

#[test]
fn an_embedders_own_functions_stay() -> wasmtime::Result<()> {
    let engine = engine()?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("wasix_32v1", "ws_connect", || 7)?;
    linker.func_wrap("app", "seven", || 7)?;
    let module = Module::new(
        &engine,
        r#"(module
            (import "wasix_32v1" "ws_connect" (func $clear (result i32)))
            (import "app" "seven" (func (result i32)))
            (func (export "run") (result i32) (call $clear)))"#,
    )?;
    add_to_linker_blocking::<WasockCtx>(&mut linker, &module, |ctx| ctx)?;
    assert_eq!(link_unknown_imports(&mut linker, &module)?, []);
    let mut store = Store::new(&engine, WasockCtx::builder().build_for_any_module().expect("a context"));
    let instance = linker.instantiate(&mut store, &module)?;
    assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?, 7);
    Ok(())
}

/// How many functions a linker has that was made for `imports` alone, after it gave them.
fn made_for(imports: &str) -> wasmtime::Result<usize> {
    let engine = engine()?;
    let module = Module::new(&engine, format!("(module {imports})"))?;
    let mut linker = Linker::new(&engine);
    add_missing_to_linker(&mut linker, &module, CallMode::Async)?;
    let ctx = WasockCtx::builder().build_for_any_module().expect("a context");
    let mut store = Store::new(&engine, ctx);
    let count = linker.iter(&mut store).count();
    assert_eq!(link_unknown_imports(&mut linker, &module)?, [], "{imports}");
    linker.instantiate_pre(&module)?;
    Ok(count)
}

/// The import that means `function`.
fn import_of(function: &Function) -> String {
    let params: Vec<_> = function.params.iter().map(|ty| ty.name()).collect();
    let result = function.result.map_or("", |ty| ty.name());
    let (module, name, params) = (function.module, function.name, params.join(" "));
    format!(r#"(import "{module}" "{name}" (func (param {params}) (result {result})))"#)
}

/// Compilers import these, and so an embedder may have its own.
#[test]
fn functions_from_env_are_the_embedders_where_it_has_them() -> wasmtime::Result<()> {
    let engine = Engine::default();
    let text = r#"(module
        (import "env" "abort" (func (param i32 i32 i32 i32)))
        (import "env" "seed" (func (result f64)))
        (memory (export "memory") 1))"#;
    let module = Module::new(&engine, text)?;
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    linker.func_wrap("env", "abort", |_: i32, _: i32, _: i32, _: i32| {})?;
    add_to_linker(&mut linker, &module, |ctx| ctx)?;
    // Another module of that dialect.
    add_to_linker(&mut linker, &module, |ctx| ctx)?;
    assert_eq!(link_unknown_imports(&mut linker, &module)?, []);
    linker.instantiate_pre(&module).map(drop)
}

#[test]
fn a_guest_is_given_the_functions_that_it_imports_and_no_others() -> wasmtime::Result<()> {
    let functions = FUNCTIONS.iter().filter(|function| function.added_by.is_none());
    let imports: Vec<String> = functions.map(import_of).collect();
    for import in &imports {
        assert_eq!(made_for(import)?, 1, "{import}");
    }
    assert_eq!(made_for("")?, 0);
    // All that one program may import: those of one dialect, and those of preview 1.
    let import_all = |is_one: fn(&&Function) -> bool| -> wasmtime::Result<()> {
        let all: Vec<&Function> = FUNCTIONS.iter().filter(is_one).collect();
        let imports: String = all.iter().map(|function| import_of(function)).collect();
        assert_eq!(made_for(&imports)?, all.len());
        Ok(())
    };
    import_all(|function| function.added_by.is_none())?;
    import_all(|function| {
        function.module == "wasi_snapshot_preview1" && matches!(function.added_by, None | Some("wamr"))
    })?;
    // A linker has one function for a name, and `sock_accept` has two types here.
    import_all(|function| {
        function.module == "wasi_snapshot_preview1"
            && match function.added_by {
                None => function.name != "sock_accept",
                added_by => added_by == Some("wasmedge"),
            }
    })?;
    // A name may be imported more than once.
    assert_eq!(made_for(&imports.iter().take(2).cloned().collect::<String>().repeat(2))?, 2);
    // By a name that another module has it under.
    let spawn = r#"(import "wasi_snapshot_preview1" "thread-spawn" (func (param i32) (result i32)))"#;
    assert_eq!(made_for(spawn)?, 1);
    // By a name that two types have.
    assert_eq!(made_for(PROC_JOIN_V1)?, 1);
    Ok(())
}

/// The first generation's; later ones have three parameters.
const PROC_JOIN_V1: &str = r#"(import "wasix_32v1" "proc_join" (func (param i32 i32) (result i32)))"#;

/// Links a module for each of these imports, one after the other, and makes an instance of each.
fn link_all(imports: &[&str]) -> wasmtime::Result<()> {
    let engine = engine()?;
    let mut linker: Linker<WasockCtx> = Linker::new(&engine);
    for imports in imports {
        let module = Module::new(&engine, format!("(module {imports})"))?;
        add_to_linker(&mut linker, &module, |ctx| ctx)?;
        linker.instantiate_pre(&module)?;
    }
    Ok(())
}

#[test]
fn a_linker_serves_modules_of_one_dialect_and_generation() -> wasmtime::Result<()> {
    let bind = r#"(import "wasix_32v1" "sock_bind" (func (param i32 i32) (result i32)))"#;
    let dup = r#"(import "wasix_32v1" "fd_dup2" (func (param i32 i32 i32 i32) (result i32)))"#;
    let join = r#"(import "wasix_32v1" "proc_join" (func (param i32 i32 i32) (result i32)))"#;
    let preview1 = r#"(import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))"#;
    // What came to the second generation later is of it; and a module that needs nothing is of all.
    link_all(&["", bind, dup, &format!("{bind} {dup} {join}"), ""])?;
    link_all(&[preview1, preview1])?;
    for (first, second, its) in [
        (bind, PROC_JOIN_V1, "WASIX, generation 1"),
        (PROC_JOIN_V1, join, "WASIX, generation 2"),
        (bind, preview1, "WASI preview 1"),
    ] {
        let error = link_all(&[first, second]).expect_err("another one").to_string();
        let expected = "this linker serves modules of another dialect or generation: a module of";
        assert_eq!(error, format!("{expected} {its} needs a linker of its own"));
    }
    Ok(())
}

/// A module with preview 1's `fd_renumber`, and with an import of `wasix` besides.
fn renumbering(wasix: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
            {wasix}
            (memory (export "memory") 1)
            (func (export "run") (param i32 i32) (result i32)
                (call $renumber (local.get 0) (local.get 1))))"#
    )
}

fn renumbered(wasix: &str) -> wasmtime::Result<(i32, usize)> {
    let (mut traced, instance, _) = instantiate(&renumbering(wasix))?;
    let engine = traced.store.engine().clone();
    let module = Module::new(&engine, renumbering(wasix))?;
    traced.store.data_mut().adapt_to(&module);
    let run = instance.get_typed_func::<(i32, i32), i32>(&mut traced.store, "run")?;
    let answer = run.call(&mut traced.store, (0, 1))?;
    Ok((answer, traced.store.data().open_descriptors()))
}

#[test]
fn renumber_moves_in_a_program_of_preview_1() -> wasmtime::Result<()> {
    assert_eq!(renumbered("")?, (0, 2));
    Ok(())
}

#[test]
fn renumber_duplicates_in_a_program_of_wasix() -> wasmtime::Result<()> {
    let import = r#"(import "wasix_32v1" "sock_listen" (func (param i32 i32) (result i32)))"#;
    assert_eq!(renumbered(import)?, (0, 3));
    Ok(())
}

/// The call returns, and the guest ends with a sentence all the same.
#[tokio::test]
async fn a_panic_in_a_file_operation_ends_the_guest() -> Result<(), BuildError> {
    let ctx = WasockCtx::builder().build_for_any_module()?;
    let done = ctx.thread.on_disk(|| -> Result<(), Errno> { std::panic::resume_unwind(Box::new(())) }).await;
    assert_eq!(done, Err(Errno::EIO.into()));
    let why = ctx.check_end().err().and_then(|error| error.downcast_ref::<Terminated>().copied());
    assert_eq!(why, Some(Terminated::HostPanic("worked on a file")));
    Ok(())
}

/// A guest goes while a thread of the host's binds one of its sockets to a name, and asks the
/// guest what the name means: in one of the rounds it is the last that has the guest.
#[test]
fn a_guest_that_goes_while_a_name_is_bound_is_closed() -> Result<(), Box<dyn std::error::Error>> {
    use crate::address::{Address, UnixName};
    use crate::fd::Rights;
    use crate::file::Access;
    use crate::socket::{Kind, Socket};
    for round in 0..1000_u64 {
        let folder = tempfile::tempdir()?;
        let ctx = WasockCtx::builder()
            .listen(&"unix:*".parse()?)
            .preopened_dir(folder.path(), "/", Access::ReadWrite)?
            .build_for_any_module()?;
        let fd = ctx.thread.insert_socket(Socket::open(ctx.thread.names(), Kind::Stream, 0)?, false)?;
        let socket = Arc::clone(&ctx.thread.socket(fd, Rights::SOCK_BIND)?.socket);
        let policy = Arc::clone(ctx.thread.process().policy());
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let begun = sender.send(());
            _ = socket.bind(Address::Unix(UnixName::new("/s")), &policy, None);
            drop(socket);
            begun.and_then(|()| sender.send(()))
        });
        receiver.recv()?;
        // From no time to a bit longer than it takes.
        for _ in 0..round % 200 * 20 {
            std::hint::spin_loop();
        }
        drop(ctx);
        receiver.recv_timeout(std::time::Duration::from_secs(20))?;
    }
    Ok(())
}
