use super::*;
use crate::observe::Limit;
use wasmtime::{Config, Instance, Store};

const PAGE: usize = 64 * 1024;

fn limiter(most: u64) -> (Arc<Account>, MemoryLimiter) {
    let account = Account::new(Limit::Memory, most);
    let limiter = MemoryLimiter::new(&account, None);
    (account, limiter)
}

#[test]
fn memories_and_tables_of_all_stores_count_on_one_account() -> wasmtime::Result<()> {
    let (account, mut first) = limiter(3 * 65536);
    let mut second = MemoryLimiter::new(&account, None);
    assert!(first.memory_growing(0, PAGE, None)?);
    assert!(second.memory_growing(0, PAGE, None)?);
    assert!(second.table_growing(10, 10 + PAGE / 8, None)?);
    assert!(!first.memory_growing(PAGE, 2 * PAGE, None)?);
    assert!(!second.table_growing(PAGE / 8, PAGE / 8 + 1, None)?);
    drop(second);
    assert!(first.memory_growing(PAGE, 2 * PAGE, None)?);
    assert_eq!((first.used(), account.used()), (2 * 65536, 2 * 65536));
    drop(first);
    assert_eq!(account.used(), 0);
    Ok(())
}

/// Wasmtime reports failures that were not announced before: a guest must not get back what its
/// last growth took.
#[test]
fn only_a_growth_that_was_charged_and_failed_is_given_back() -> wasmtime::Result<()> {
    let (account, mut limiter) = limiter(u64::MAX);
    assert!(limiter.memory_growing(0, PAGE, None)?);
    limiter.memory_grow_failed(wasmtime::Error::msg("memory growth exceeds memory type's limits"))?;
    assert_eq!(account.used(), 65536);
    assert!(limiter.memory_growing(PAGE, 3 * PAGE, None)?);
    let no_room = || wasmtime::Error::new(std::io::Error::from(std::io::ErrorKind::OutOfMemory));
    limiter.memory_grow_failed(no_room())?;
    limiter.memory_grow_failed(no_room())?;
    assert_eq!((limiter.used(), account.used()), (65536, 65536));
    // Beyond its own maximum it fails for certain.
    assert!(limiter.memory_growing(PAGE, 3 * PAGE, Some(2 * PAGE))?);
    assert_eq!(account.used(), 65536);
    Ok(())
}

fn engine() -> wasmtime::Result<Engine> {
    Engine::new(Config::new().wasm_threads(true).shared_memory(true))
}

fn imported(module: &Module) -> wasmtime::Result<MemoryType> {
    let ty = module.imports().find_map(|import| import.ty().memory().cloned());
    ty.ok_or_else(|| wasmtime::Error::msg("no import"))
}

#[test]
fn a_shared_memory_is_cut_to_the_limit_and_leaves_some_of_it() -> wasmtime::Result<()> {
    let engine = engine()?;
    let module =
        Module::new(&engine, r#"(module (import "env" "memory" (memory 2 65536 shared)) (memory 1))"#)?;
    let account = Account::new(Limit::Memory, 80 * 65536);
    let (memory, charge) = shared_memory(&engine, &module, &imported(&module)?, &account)?;
    // An eighth is 10 pages, and its own memory has one.
    assert_eq!((memory.ty().minimum(), memory.ty().maximum()), (2, Some(69)));
    assert_eq!(account.used(), 69 * 65536);
    // The module takes it.
    let mut store = Store::new(&engine, ());
    Instance::new(&mut store, &module, &[memory.into()])?;
    drop(charge);
    assert_eq!(account.used(), 0);
    Ok(())
}

#[test]
fn a_shared_memory_that_needs_more_is_refused_by_the_name_of_the_flag() -> wasmtime::Result<()> {
    let engine = engine()?;
    let module = Module::new(&engine, r#"(module (import "env" "memory" (memory 9 9 shared)))"#)?;
    let ty = imported(&module)?;
    let exact = Account::new(Limit::Memory, 9 * 65536);
    assert!(shared_memory(&engine, &module, &ty, &exact).is_ok());
    let less = Account::new(Limit::Memory, 9 * 65536 - 1);
    let refused = shared_memory(&engine, &module, &ty, &less).err().map(|error| error.to_string());
    assert!(refused.is_some_and(|text| text.contains("--max-memory allows 589823")));
    assert_eq!(less.used(), 0);
    Ok(())
}

const STACK: u32 = 512 * 1024;

#[test]
fn what_was_charged_before_a_thread_began_is_used_first_and_the_rest_given_back() -> wasmtime::Result<()> {
    let account = Account::new(Limit::Memory, u64::from(STACK) + 65536);
    let prepaid = charge_thread(&account, STACK, 65536)?;
    assert_eq!(charge_thread(&account, STACK, 0).err(), Some(Errno::EAGAIN));
    let mut limiter = MemoryLimiter::new(&account, None);
    limiter.begin_with(prepaid, STACK);
    limiter.begin_start()?;
    assert!(limiter.memory_growing(0, 4096, None)?);
    let ((), needs) = limiter.end_start(Ok(()))?;
    assert_eq!((needs, account.used()), (4096, u64::from(STACK) + 4096));
    Ok(())
}
