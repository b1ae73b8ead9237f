//! The glue between a linker and the front desk: one function for each import.
//!
//! The generator of the bindings could do this, but it looks an export called `memory` up at every call,
//! which costs more than most calls, and fails for a program with threads, which
//! imports its memory. Here the memory is found once and kept in the
//! [`WasockCtx`]. `build.rs` writes one line a function from the witx files; the
//! macros below say what a line means.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::task::coop::poll_proceed;
use wasmtime::{Caller, Extern, Linker, Memory, Module, SharedMemory};

use super::WasockCtx;
use super::deliver::Calls;
use super::signal::{Within, handle, see_through};
use crate::abi::memory::GuestMemory;
use crate::abi::trace::Line;
use crate::abi::{FUNCTIONS, Function, preview1, same_as, wasi_threads, wasix};
use crate::account::forget_denials;
use crate::error::Errno;
use crate::observe::TraceSink;
use crate::process::{Mailbox, Remark, Thread};

include!(concat!(env!("OUT_DIR"), "/link.rs"));

/// Links a call that never waits.
macro_rules! link_now {
    ($linker:ident, $get:ident, $index:literal, $call:expr, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
        let function = &FUNCTIONS[$index];
        $linker.func_wrap(
            function.module,
            function.name,
            move |mut caller: Caller<'_, T>, $($arg: $ty),*| -> wasmtime::Result<$result> {
                let mut guest = Guest::of(&mut caller, $get)?;
                let line = guest.begin(function, || [$($arg.bits()),*]);
                let result = $call(guest.thread, &mut guest.memory, $($arg),*);
                guest.end(line, &result);
                result
            },
        )?;
    }};
}

/// Links a call that is refused, whatever it is given.
macro_rules! link_refused {
    ($linker:ident, $get:ident, $index:literal, [$($arg:ident: $ty:ty),*] -> $result:ty) => {
        link_now!(
            $linker, $get, $index, |_: &mut Thread, _: &mut GuestMemory<'_>, $(_: $ty),*| refuse(),
            [$($arg: $ty),*] -> $result
        )
    };
}

/// The answer of every function that is refused.
#[expect(clippy::unnecessary_wraps, reason = "as the generated functions are")]
fn refuse() -> wasmtime::Result<i32> {
    Ok(preview1::number(Errno::ENOTSUP))
}

/// A call that may wait. What there is to look at afterwards, signals above all, comes
/// before its return.
macro_rules! waiting {
    ($caller:ident, $get:ident, $function:ident, $call:path, [$($arg:ident),*], $calls:expr) => {
        async move {
            let result = {
                let mut guest = Guest::of(&mut $caller, $get)?;
                let line = guest.begin($function, || [$($arg.bits()),*]);
                let result = {
                    // Pinned where it is made: it is too large to be moved at every call.
                    let call = pin!($call(guest.thread, &mut guest.memory, $($arg),*));
                    see_through(guest.mailbox, guest.within, call).await
                };
                guest.end(line, &result);
                result?
            };
            if $get($caller.data_mut()).mailbox.is_due() {
                // Apart, so that the future of every call is not as large as this one.
                Box::pin(handle(&mut $caller, $get, $calls)).await?;
            }
            Ok(result)
        }
    };
}

/// Tries a call that may wait, on the spot; `None` where it is to be made as a future,
/// and nothing has happened yet. A call that is traced, and one before which a signal is
/// to be handled, goes the long way.
macro_rules! tried {
    ($caller:ident, $get:ident, $try:path, [$($arg:ident),*]) => {{
        match Guest::of(&mut $caller, $get) {
            Ok(mut guest) if guest.trace.is_none() && !guest.mailbox.is_due() && has_turn() => {
                $try(guest.thread, &mut guest.memory, $($arg),*)
            }
            _ => None,
        }
    }};
}

/// Takes a little of the task's budget, so that a guest that never has to wait still
/// leaves others their turn: over it, the call's future gives way.
#[inline]
fn has_turn() -> bool {
    match poll_proceed(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => {
            taken.made_progress();
            true
        }
        Poll::Pending => false,
    }
}

/// The memory of a guest, wherever it comes from.
#[derive(Clone, Debug)]
pub enum GuestMemoryHandle {
    /// The guest exports it; no other thread can see it.
    Plain(Memory),
    /// Threads may share it.
    Shared(SharedMemory),
}

/// Adds every function of every dialect to `linker`, for a store that runs async.
///
/// Calls that can wait are async functions; the others are not, which is faster.
/// One [`WasockCtx`] serves one instance: the memory of the first caller is kept.
///
/// # Errors
///
/// When `linker` has one of the functions already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    link_async(linker, get, |_| true)
}

/// As [`add_to_linker`], but only the functions that `module` imports: one program in
/// hundreds of functions asks for twenty, and to make the others takes as long as half of
/// what else there is to a small module's start.
pub(super) fn add_imported_to_linker(
    linker: &mut Linker<WasockCtx>,
    module: &Module,
) -> wasmtime::Result<()> {
    let mut wanted = [false; FUNCTIONS.len()];
    for import in module.imports() {
        let of_that_name = Function::index_of(import.module(), import.name());
        let meant = same_as(&import).and_then(|ours| Function::index_of(ours.module, ours.name));
        for index in of_that_name.into_iter().chain(meant) {
            if let Some(wanted) = wanted.get_mut(index) {
                *wanted = true;
            }
        }
    }
    link_async(linker, |ctx| ctx, |index| wanted.get(index).copied().unwrap_or(false))
}

/// Adds the functions whose index `wants` says yes to.
fn link_async<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
    wants: impl Fn(usize) -> bool,
) -> wasmtime::Result<()> {
    macro_rules! now {
        ($index:literal, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {
            link_now!(linker, get, $index, $call, [$($arg: $ty),*] -> $result)
        };
    }
    macro_rules! waits {
        ($index:literal, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            let function = &FUNCTIONS[$index];
            linker.func_wrap_async(
                function.module,
                function.name,
                move |mut caller: Caller<'_, T>, ($($arg,)*): ($($ty,)*)| {
                    Box::new(waiting!(caller, get, function, $call, [$($arg),*], Calls::Async))
                },
            )?;
        }};
    }
    macro_rules! tries {
        ($index:literal, $try:path, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            let function = &FUNCTIONS[$index];
            linker.func_wrap_async(
                function.module,
                function.name,
                move |mut caller: Caller<'_, T>, ($($arg,)*): ($($ty,)*)| {
                    if let Some(result) = tried!(caller, get, $try, [$($arg),*]) {
                        return known(result);
                    }
                    Box::new(waiting!(caller, get, function, $call, [$($arg),*], Calls::Async))
                },
            )?;
        }};
    }
    macro_rules! refused {
        ($index:literal, [$($arg:ident: $ty:ty),*] -> $result:ty) => {
            link_refused!(linker, get, $index, [$($arg: $ty),*] -> $result)
        };
    }
    every_function!(wants, now, tries, waits, refused);
    Ok(())
}

/// Adds every function of every dialect to `linker`, for a store that does not run
/// async: a call that waits stops its thread.
///
/// # Errors
///
/// When `linker` has one of the functions already.
pub fn add_to_linker_blocking<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    macro_rules! now {
        ($index:literal, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {
            link_now!(linker, get, $index, $call, [$($arg: $ty),*] -> $result)
        };
    }
    macro_rules! waits {
        ($index:literal, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            let function = &FUNCTIONS[$index];
            linker.func_wrap(
                function.module,
                function.name,
                move |mut caller: Caller<'_, T>, $($arg: $ty),*| -> wasmtime::Result<$result> {
                    drive(waiting!(caller, get, function, $call, [$($arg),*], Calls::Blocking))
                },
            )?;
        }};
    }
    macro_rules! tries {
        ($index:literal, $try:path, $call:path, [$($arg:ident: $ty:ty),*] -> $result:ty) => {{
            let function = &FUNCTIONS[$index];
            linker.func_wrap(
                function.module,
                function.name,
                move |mut caller: Caller<'_, T>, $($arg: $ty),*| -> wasmtime::Result<$result> {
                    if let Some(result) = tried!(caller, get, $try, [$($arg),*]) {
                        return Ok(result);
                    }
                    drive(waiting!(caller, get, function, $call, [$($arg),*], Calls::Blocking))
                },
            )?;
        }};
    }
    macro_rules! refused {
        ($index:literal, [$($arg:ident: $ty:ty),*] -> $result:ty) => {
            link_refused!(linker, get, $index, [$($arg: $ty),*] -> $result)
        };
    }
    let wants = |_| true;
    every_function!(wants, now, tries, waits, refused);
    Ok(())
}

/// An answer that its type tells, so that the box around it takes no memory.
struct Known<const ANSWER: i32>;

impl<const ANSWER: i32> Future for Known<ANSWER> {
    type Output = wasmtime::Result<i32>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(ANSWER))
    }
}

/// The future of an answer that is known: nothing is allocated for those that are usual.
fn known(answer: i32) -> Box<dyn Future<Output = wasmtime::Result<i32>> + Send> {
    const SUCCESS: i32 = 0;
    /// `EAGAIN`, in every dialect.
    const AGAIN: i32 = 6;
    match answer {
        SUCCESS => Box::new(Known::<SUCCESS>),
        AGAIN => Box::new(Known::<AGAIN>),
        other => Box::new(std::future::ready(Ok(other))),
    }
}

/// Sees a waiting call to its end on this thread.
fn drive<R>(call: impl Future<Output = wasmtime::Result<R>>) -> wasmtime::Result<R> {
    crate::ready::block_on(call)?
}

/// What one call works on, borrowed from the store.
struct Guest<'a> {
    thread: &'a mut Thread,
    mailbox: &'a Mailbox,
    within: Option<&'a Within>,
    memory: GuestMemory<'a>,
    trace: Option<&'a Arc<dyn TraceSink>>,
}

impl<'a> Guest<'a> {
    #[inline]
    fn of<T: 'static>(
        caller: &'a mut Caller<'_, T>,
        get: impl Fn(&mut T) -> &mut WasockCtx,
    ) -> wasmtime::Result<Self> {
        let memory = match &get(caller.data_mut()).memory {
            Some(GuestMemoryHandle::Plain(memory)) => *memory,
            Some(GuestMemoryHandle::Shared(_)) => return Self::of_shared(get(caller.data_mut())),
            None => {
                let found = find_memory(caller)?;
                get(caller.data_mut()).memory = Some(found.clone());
                match found {
                    GuestMemoryHandle::Plain(memory) => memory,
                    GuestMemoryHandle::Shared(_) => return Self::of_shared(get(caller.data_mut())),
                }
            }
        };
        let (bytes, data) = memory.data_and_store_mut(caller);
        let ctx = get(data);
        Ok(Self {
            thread: &mut ctx.thread,
            mailbox: &ctx.mailbox,
            within: ctx.within.as_ref(),
            memory: GuestMemory::Unshared(bytes),
            trace: ctx.trace.as_ref(),
        })
    }

    #[inline]
    fn of_shared(ctx: &'a mut WasockCtx) -> wasmtime::Result<Self> {
        match &ctx.memory {
            Some(GuestMemoryHandle::Shared(memory)) => Ok(Self {
                thread: &mut ctx.thread,
                mailbox: &ctx.mailbox,
                within: ctx.within.as_ref(),
                memory: GuestMemory::Shared(memory.data()),
                trace: ctx.trace.as_ref(),
            }),
            _ => Err(no_memory()),
        }
    }

    /// Begins the call's line of the trace, if there is a trace.
    #[inline]
    fn begin<const N: usize>(
        &self,
        function: &'static Function,
        values: impl FnOnce() -> [u64; N],
    ) -> Option<Box<Line>> {
        self.trace.map(|sink| {
            forget_denials();
            Line::begin(sink, function, &values(), &self.memory)
        })
    }

    /// Prints the line; that of a call which ends the guest has no outcome.
    #[inline]
    fn end<R: Outcome>(&mut self, line: Option<Box<Line>>, result: &wasmtime::Result<R>) {
        if let (Some(mut line), Ok(outcome)) = (line, result) {
            let remark = self.remark();
            line.end(outcome.errno(), &self.memory, remark);
        }
    }
}

impl Guest<'_> {
    /// What the guest is not told of the call that ends.
    #[cold]
    fn remark(&mut self) -> Option<Remark> {
        self.thread.remark.take().or_else(|| {
            let process = self.thread.process();
            let denied = process.host_memory().take_denial().or_else(|| process.memory().take_denial());
            let (limit, most) = denied?;
            Some(Remark { name: limit.name(), value: most })
        })
    }
}

/// The memory that the guest exports. One that it imports is known already: the
/// host made it.
#[cold]
fn find_memory<T: 'static>(caller: &mut Caller<'_, T>) -> wasmtime::Result<GuestMemoryHandle> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(GuestMemoryHandle::Plain(memory)),
        Some(Extern::SharedMemory(memory)) => Ok(GuestMemoryHandle::Shared(memory)),
        _ => Err(no_memory()),
    }
}

#[cold]
fn no_memory() -> wasmtime::Error {
    wasmtime::Error::msg("the guest has no memory: it exports none called `memory` and was given none")
}

/// A core value of a parameter, as bits.
trait Bits {
    fn bits(self) -> u64;
}

impl Bits for i32 {
    #[inline]
    fn bits(self) -> u64 {
        u64::from(self.cast_unsigned())
    }
}

impl Bits for i64 {
    #[inline]
    fn bits(self) -> u64 {
        self.cast_unsigned()
    }
}

/// What a call returns to the guest.
trait Outcome {
    fn errno(&self) -> Option<i32>;
}

impl Outcome for i32 {
    fn errno(&self) -> Option<i32> {
        Some(*self)
    }
}

impl Outcome for () {
    fn errno(&self) -> Option<i32> {
        None
    }
}
