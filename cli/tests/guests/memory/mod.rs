//! Memory: what a guest may have of its own, and what the host holds for it.

mod host;
mod resident;

pub(crate) use host::*;
pub(crate) use resident::*;

use super::run;
use anyhow::Result;

/// L1: memories grow no further than the limit.
#[test]
pub(crate) fn memory_grow_limited() -> Result<()> {
    let ended = run().args(["--max-memory", "6400K", guest_tests::MEMORY_GROW_LIMITED]).finish()?;
    let told =
        "the guest was denied memory: its memories and tables have as much as --max-memory 6553600 allows";
    let ended = ended.expect_code(100)?.expect_stderr(told)?;
    // However often it asks.
    ended.expect_one_line().map(drop)
}

#[test]
pub(crate) fn memory64_grow_limited() -> Result<()> {
    let ended = run().args(["--max-memory", "6400K", guest_tests::MEMORY64_GROW_LIMITED]).finish()?;
    ended.expect_code(100)?.expect_stderr("--max-memory 6553600").map(drop)
}

/// L1: tables grow no further than the limit.
///
/// A page, and 8 bytes for each element.
#[test]
pub(crate) fn table_grow_limited() -> Result<()> {
    let ended = run().args(["--max-memory", "128K", guest_tests::TABLE_GROW_LIMITED]).finish()?;
    ended.expect_code(127)?.expect_stderr("--max-memory 131072").map(drop)
}

/// The memory that all share, 10 MiB for the first thread, and 10.5 with its stack for each
/// other one.
#[test]
pub(crate) fn threads_own_memory() -> Result<()> {
    let ended = run().args(["--max-memory", "64M", guest_tests::THREADS_OWN_MEMORY]).finish()?;
    ended.expect_code(5 * 16 + 5)?.expect_stderr("--max-memory 67108864").map(drop)
}

#[test]
pub(crate) fn shared_memory_of_a_terabyte() -> Result<()> {
    let ended = run().arg(guest_tests::SHARED_MEMORY_OF_A_TERABYTE).finish()?.expect_code(1)?;
    ended.expect_one_line()?.expect_stderr("--max-memory allows 4294967296").map(drop)
}

/// L1: a shared memory that is imported is cut down to the limit.
///
/// Seven eighths of 80 pages: the rest is for what threads have of their own.
#[test]
pub(crate) fn shared_memory_cut() -> Result<()> {
    let ended = run().args(["--max-memory", "5M", guest_tests::SHARED_MEMORY_CUT]).finish()?;
    ended.expect_code(70).map(drop)
}

/// L1: a start that needs more than the limit is refused with one sentence.
#[test]
fn a_start_that_needs_more_is_refused_with_one_line() -> Result<()> {
    for program in [guest_tests::MEMORY_GROW_LIMITED, guest_tests::SHARED_MEMORY_CUT] {
        let refused = run().args(["--max-memory", "65535", program]).finish()?.expect_code(1)?;
        let refused = refused.expect_one_line()?;
        let why = "wasock: the module needs 65536 bytes of memory at its start or more, and --max-memory allows 65535";
        refused.expect_stderr(why)?;
    }
    Ok(())
}

/// No limiter is called when one grows, so all of it counts; it may be unknown to all but the module.
#[test]
fn a_shared_memory_of_the_modules_own_counts_with_its_maximum() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let own = r#"(module (memory (export "memory") 1) (memory 1 65536 shared) (func (export "_start")))"#;
    let exported = r#"(module (memory (export "memory") 1 65536 shared) (func (export "_start")))"#;
    let forms =
        [("own.wasm", wat::parse_str(own)?), ("own.wat", own.into()), ("exported.wat", exported.into())];
    for (name, bytes) in forms {
        let module = folder.path().join(name);
        std::fs::write(&module, bytes)?;
        let refused = run().args(["--max-memory", "1G"]).arg(&module).finish()?.expect_code(1)?;
        refused.expect_one_line()?.expect_stderr("--max-memory allows 1073741824")?;
        run().args(["--max-memory", "5G"]).arg(&module).succeed()?;
    }
    Ok(())
}

#[test]
fn a_denial_is_in_the_trace() -> Result<()> {
    let traced = run().args(["--trace", "--max-memory", "128K", guest_tests::TABLE_GROW_LIMITED]).finish()?;
    traced.expect_stderr("table.grow(bytes=8, more=80000000) = -1 max-memory=131072").map(drop)
}

/// What a script of a client's may make an interpreter do ends no server that has the stack
/// for it.
#[test]
pub(crate) fn stack_needs_deep() -> Result<()> {
    let ended = run().args(["--max-stack", "16M", guest_tests::STACK_NEEDS_DEEP]).finish()?;
    ended.expect_code(42)?;
    let ended = run().arg(guest_tests::STACK_NEEDS_DEEP).finish()?.expect_code(134)?;
    ended.expect_stderr("call stack exhausted (--max-stack 524288)").map(drop)
}

/// The memory of one page, and the stack of a thread, which is not there.
#[test]
fn the_stack_of_a_thread_counts_as_memory() -> Result<()> {
    let host = run().args(["--max-stack", "16M", "--max-memory", "16M"]);
    host.arg(guest_tests::STACK_NEEDS_DEEP).finish()?.expect_code(2).map(drop)
}

#[test]
fn a_stack_of_less_than_a_page_or_more_than_a_gibibyte_is_refused() -> Result<()> {
    for bytes in ["1K", "2G"] {
        let ended = run().args(["--max-stack", bytes, guest_tests::STACK_NEEDS_DEEP]).finish()?;
        ended.expect_code(2)?.expect_stderr("--max-stack")?;
    }
    Ok(())
}
