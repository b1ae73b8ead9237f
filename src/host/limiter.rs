//! How much memory a guest may have of its own.
//!
//! Wasmtime calls a limiter before a memory or a table of a store begins or grows; what it
//! allows is charged on the guest's [account](crate::account), which the stores of all its threads share.
//! No limiter is called when a *shared* memory grows. So one counts with its declared maximum from
//! the start, and where the module imports it, it is made no larger than the limit allows:
//! a module takes a memory with a smaller maximum than it declares.
//!
//! A thread's stack is memory of the guest's too, and counts from the second thread on.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{
    DEFAULT_INSTANCE_LIMIT, DEFAULT_MEMORY_LIMIT, DEFAULT_TABLE_LIMIT, Engine, MemoryType, MemoryTypeBuilder,
    Module, ResourceLimiter, SharedMemory, Trap, WasmBacktrace,
};

use crate::account::{Account, Charge};
use crate::error::Errno;
use crate::observe::{TraceLine, TraceSink};

/// The bytes of a table's element. Wasmtime: "each table element requires a pointer's worth of
/// space".
const ELEMENT: u64 = 8;

/// A shared memory leaves this part of the limit to the tables, the other memories and the
/// stacks of threads, unless the module needs it from the start.
const LEFT_FREE: u64 = 8;

/// Counts the memories and tables of one store on the account of its guest: what
/// `--max-memory` and [`WasockCtxBuilder::max_memory`](super::WasockCtxBuilder::max_memory) limit.
///
/// [`Guest::run`](super::Guest::run) has one in each of its stores. A store of your own needs
/// it in its data, where [`WasockCtx::limiter`](super::WasockCtx::limiter) finds it:
///
/// ```
/// # use wasmtime::{Engine, Store};
/// # use wasock::WasockCtx;
/// # fn store(engine: &Engine, ctx: WasockCtx) {
/// let mut store = Store::new(engine, ctx);
/// store.limiter(|ctx| ctx.limiter());
/// # }
/// ```
///
/// A limiter of your own may ask this one too, or do without it: then the guest's memories are
/// limited by yours alone.
///
/// A memory or a table that would grow beyond the limit does not: `memory.grow` and
/// `table.grow` return -1. What was charged is released when the store is dropped.
pub(crate) struct MemoryLimiter {
    /// What is charged.
    held: Charge,
    /// How much of that is in use; the rest was charged before it is needed.
    used: u64,
    /// What the last growth took, should it fail.
    last: u64,
    /// By how many bytes the shared memories may grow that the instance makes for itself.
    pub(super) shared_growth: u64,
    /// The instance is being made: what it needs at the start, and whether that is too much.
    start: Option<Start>,
    trace: Option<Arc<TraceSink>>,
    /// The embedder's own, which is asked too, and what makes one for another store.
    own: Option<Box<dyn ResourceLimiter + Send + Sync>>,
    make_own: Option<MakeLimiter>,
}

/// Makes a limiter of the embedder's for one store.
pub(super) type MakeLimiter = Arc<dyn Fn() -> Box<dyn ResourceLimiter + Send + Sync> + Send + Sync>;

#[derive(Default)]
struct Start {
    needs: u64,
    was_denied: bool,
}

impl MemoryLimiter {
    pub(super) fn new(account: &Arc<Account>, trace: Option<Arc<TraceSink>>) -> Self {
        Self {
            held: Charge::none(account),
            used: 0,
            last: 0,
            shared_growth: 0,
            start: None,
            trace,
            own: None,
            make_own: None,
        }
    }

    /// Asks a limiter of the embedder's too.
    pub(super) fn ask_too(&mut self, make: Option<MakeLimiter>) {
        self.own = make.as_ref().map(|make| make());
        self.make_own = make;
    }

    /// What makes such a limiter for another store of the guest.
    pub(super) fn make_own(&self) -> Option<MakeLimiter> {
        self.make_own.clone()
    }

    /// Asks the embedder's own limiter after this one has allowed something; what it refuses
    /// is given back.
    fn unless_refused(
        &mut self,
        allowed: bool,
        ask: impl FnOnce(&mut dyn ResourceLimiter) -> wasmtime::Result<bool>,
    ) -> wasmtime::Result<bool> {
        let Some(own) = self.own.as_deref_mut().filter(|_| allowed) else { return Ok(allowed) };
        let answer = ask(own);
        if !matches!(answer, Ok(true)) {
            self.failed();
        }
        answer
    }

    /// How many bytes the memories and tables of this store have. A shared memory that the
    /// module imports is not among them.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Takes over what was charged for a thread before it began: its `stack`, and what its
    /// instance needs at the start.
    pub(super) fn begin_with(&mut self, prepaid: Charge, stack: u32) {
        self.held = prepaid;
        self.used = stack.into();
    }

    /// The instance is about to be made. What no limiter will be called for is charged now.
    ///
    /// # Errors
    ///
    /// Where that is beyond the limit.
    pub(super) fn begin_start(&mut self) -> wasmtime::Result<()> {
        self.start = Some(Start::default());
        if self.shared_growth == 0 || self.grows("memory.grow", 0, self.shared_growth) {
            return Ok(());
        }
        Err(too_large(self.used.saturating_add(self.shared_growth), self.held.account().most()))
    }

    /// The instance was made, or could not be: returns what it needed. An error that this limiter
    /// caused says so.
    ///
    /// # Errors
    ///
    /// That of `made`.
    pub(super) fn end_start<T>(&mut self, made: wasmtime::Result<T>) -> wasmtime::Result<(T, u64)> {
        let start = self.start.take().unwrap_or_default();
        // What was charged without need.
        self.held.resize_quietly(self.used);
        match made {
            Ok(made) => Ok((made, start.needs)),
            // The start function of a module may have been denied memory, and trapped.
            Err(error) if !start.was_denied || is_trap(&error) => Err(error),
            Err(_) => Err(too_large(start.needs, self.held.account().most())),
        }
    }

    /// May `more` bytes be used, of something that had `current`?
    fn grows(&mut self, what: &'static str, current: u64, more: u64) -> bool {
        self.last = 0;
        if let Some(start) = self.start.as_mut().filter(|_| current == 0) {
            start.needs = start.needs.saturating_add(more);
        }
        let used = self.used.saturating_add(more);
        if used > self.held.bytes() && !self.held.resize_quietly(used) {
            self.deny(what, current, more);
            return false;
        }
        self.used = used;
        self.last = more;
        true
    }

    fn deny(&mut self, what: &'static str, current: u64, more: u64) {
        match self.start.as_mut().filter(|_| current == 0) {
            // The error says it all.
            Some(start) => start.was_denied = true,
            None => self.held.account().deny(),
        }
        if let Some(trace) = &self.trace {
            let most = self.held.account().most();
            trace(&TraceLine {
                pid: None,
                name: what,
                arguments: &format!("bytes={current}, more={more}"),
                outcome: "-1",
                results: &format!("max-memory={most}"),
                duration: Duration::ZERO,
            });
        }
    }

    /// The last growth has failed, for another reason than the limit.
    fn failed(&mut self) {
        let last = std::mem::take(&mut self.last);
        self.used = self.used.saturating_sub(last);
        self.held.give_back(last);
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // It fails, whatever is said here.
        let allowed = if maximum.is_some_and(|maximum| desired > maximum) {
            self.last = 0;
            true
        } else {
            self.grows("memory.grow", bytes(current), bytes(desired.saturating_sub(current)))
        };
        self.unless_refused(allowed, |own| own.memory_growing(current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // This is called too if a memory could never be so large, without a call before:
        // then nothing was charged that could be released.
        if error.is::<std::io::Error>() {
            self.failed();
        }
        self.own.as_mut().map_or(Ok(()), |own| own.memory_grow_failed(error))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = if maximum.is_some_and(|maximum| desired > maximum) {
            self.last = 0;
            true
        } else {
            let [current, more] = [current, desired.saturating_sub(current)].map(bytes);
            self.grows("table.grow", current.saturating_mul(ELEMENT), more.saturating_mul(ELEMENT))
        };
        self.unless_refused(allowed, |own| own.table_growing(current, desired, maximum))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if error.is::<std::io::Error>() {
            self.failed();
        }
        self.own.as_mut().map_or(Ok(()), |own| own.table_grow_failed(error))
    }

    fn instances(&self) -> usize {
        self.own.as_ref().map_or(DEFAULT_INSTANCE_LIMIT, |own| own.instances())
    }

    fn tables(&self) -> usize {
        self.own.as_ref().map_or(DEFAULT_TABLE_LIMIT, |own| own.tables())
    }

    fn memories(&self) -> usize {
        self.own.as_ref().map_or(DEFAULT_MEMORY_LIMIT, |own| own.memories())
    }
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn is_trap(error: &wasmtime::Error) -> bool {
    error.is::<WasmBacktrace>() || error.is::<Trap>()
}

/// What an operator reads of a module that needs more than it may have.
fn too_large(needs: u64, most: u64) -> wasmtime::Error {
    wasmtime::Error::msg(format!(
        "the module needs {needs} bytes of memory at its start or more, and --max-memory allows {most}"
    ))
}

/// Makes the shared memory that a module imports as `ty`, with as large a maximum as `account`
/// allows, and charges that.
///
/// # Errors
///
/// Where its minimum is beyond the limit, and what the host reports.
pub(super) fn shared_memory(
    engine: &Engine,
    module: &Module,
    ty: &MemoryType,
    account: &Arc<Account>,
) -> wasmtime::Result<(SharedMemory, Charge)> {
    let page = ty.page_size();
    let declared = ty.maximum().unwrap_or(ty.minimum());
    let kept = at_start(module).saturating_add(account.most() / LEFT_FREE);
    let pages = (account.left().saturating_sub(kept) / page).clamp(ty.minimum(), declared);
    let bytes = pages.saturating_mul(page);
    let mut charge = Charge::none(account);
    if !charge.resize_quietly(bytes) {
        return Err(too_large(bytes, account.most()));
    }
    let ty = MemoryTypeBuilder::new()
        .min(ty.minimum())
        .max(Some(pages))
        .memory64(ty.is_64())
        .shared(true)
        .page_size_log2(ty.page_size_log2())
        .build()?;
    Ok((new_shared_memory(engine, ty)?, charge))
}

#[cfg(feature = "threads")]
fn new_shared_memory(engine: &Engine, ty: MemoryType) -> wasmtime::Result<SharedMemory> {
    SharedMemory::new(engine, ty)
}

/// Without the feature `threads` Wasmtime may make none.
#[cfg(not(feature = "threads"))]
fn new_shared_memory(_engine: &Engine, _ty: MemoryType) -> wasmtime::Result<SharedMemory> {
    Err(wasmtime::Error::msg("the module needs threads, and this host was built without them"))
}

/// What an instance of `module` needs at its start at most: each of its memories and tables is
/// taken to be as large as the largest.
fn at_start(module: &Module) -> u64 {
    const PAGE: u64 = 64 * 1024;
    let needs = module.resources_required();
    let all = |count: u32, each: Option<u64>, size: u64| {
        each.unwrap_or(0).saturating_mul(size).saturating_mul(count.into())
    };
    all(needs.num_memories, needs.max_initial_memory_size, PAGE).saturating_add(all(
        needs.num_tables,
        needs.max_initial_table_size,
        ELEMENT,
    ))
}

/// Charges what a new thread needs at its start: its `stack`, and `instance` bytes.
///
/// # Errors
///
/// `EAGAIN`: "The system lacked the necessary resources to create another thread" -
/// pthread_create(3p).
pub(super) fn charge_thread(account: &Arc<Account>, stack: u32, instance: u64) -> Result<Charge, Errno> {
    account.charge(u64::from(stack).saturating_add(instance)).map_err(|_| Errno::EAGAIN)
}

#[cfg(test)]
#[path = "limiter/tests.rs"]
mod tests;
