//! What of the glue depends on the type of an embedder's store data: one function for
//! each signature.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::task::coop::poll_proceed;
use wasmtime::{Caller, ImportType, Linker, WasmRet, WasmTy, WasmTyList};

use super::memory::CallContext;
use crate::abi::call::{Call, Wait};
use crate::abi::memory::GuestMemory;
use crate::abi::trace::Line;
use crate::abi::{Function, errno};
use crate::error::Errno;
use crate::host::WasockCtx;
use crate::host::call_mode::CallMode;
use crate::host::signal::{handle, handle_here, see_through};
use crate::io::{own_reactor, yield_now};

/// What wiggle made of a call that never waits, or of one that has two phases.
pub(super) type Now<P, R> = fn(&mut Call<'_>, &mut GuestMemory<'_>, P) -> wasmtime::Result<R>;

/// A call that may wait.
pub(super) type Waits<P, R> =
    for<'a> fn(&'a mut Call<'_>, &'a mut GuestMemory<'_>, P) -> BoxFuture<'a, wasmtime::Result<R>>;

type BoxFuture<'a, R> = Pin<Box<dyn Future<Output = R> + Send + 'a>>;

/// Finds the context in a store's data.
pub(super) trait Get<T>: Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static {}

impl<T, G: Fn(&mut T) -> &mut WasockCtx + Copy + Send + Sync + 'static> Get<T> for G {}

/// Links a call that never waits.
///
/// # Errors
///
/// When `linker` has the function already.
pub(super) fn link_now<T: 'static, P: Params, R: CallResult>(
    linker: &mut Linker<T>,
    get: impl Get<T>,
    import: &ImportType<'_>,
    function: &'static Function,
    call: Now<P, R>,
) -> wasmtime::Result<()> {
    P::wrap(linker, import, move |mut caller: Caller<'_, T>, params| {
        let mut guest = CallContext::of(&mut caller, get)?;
        let line = guest.begin(function, params);
        let result = call(&mut guest.call, &mut guest.memory, params);
        guest.end(line, &result);
        result
    })
}

/// Links a call that is a future. It is allocated apart from Wasmtime's own, which is
/// what keeps it out of the code for each `T`; the calls that are hot have two phases instead.
///
/// # Errors
///
/// When `linker` has the function already.
pub(super) fn link_waits<T: Send + 'static, P: Params, R: CallResult>(
    linker: &mut Linker<T>,
    get: impl Get<T>,
    import: &ImportType<'_>,
    function: &'static Function,
    calls: CallMode,
    call: Waits<P, R>,
) -> wasmtime::Result<()> {
    match calls {
        CallMode::Async => {
            linker.func_wrap_async(
                import.module(),
                import.name(),
                move |caller: Caller<'_, T>, params: P| {
                    Box::new(whole(caller, get, calls, function, params, call))
                },
            )?;
            Ok(())
        }
        CallMode::Blocking | CallMode::OwnThread => {
            P::wrap(linker, import, move |mut caller: Caller<'_, T>, params| {
                inside_reactor(calls, || {
                    let mut guest = CallContext::of(&mut caller, get)?;
                    let line = guest.begin(function, params);
                    let made = call(&mut guest.call, &mut guest.memory, params);
                    let result = guest.interrupts.wait_for(made);
                    guest.end(line, &result);
                    let answer = result?;
                    handle_due_here(&mut caller, get, calls)?;
                    Ok(answer)
                })
            })
        }
    }
}

/// Makes a call that may park this thread.
#[inline]
fn inside_reactor<R>(calls: CallMode, call: impl FnOnce() -> wasmtime::Result<R>) -> wasmtime::Result<R> {
    if calls == CallMode::OwnThread {
        return call();
    }
    // What the caller's own runtime is may be one that this thread stops.
    let reactor = own_reactor()?;
    let _inside = reactor.enter();
    call()
}

/// A call that is a future, from its first line to its last.
async fn whole<T: Send + 'static, P: Params, R: CallResult>(
    mut caller: Caller<'_, T>,
    get: impl Get<T>,
    calls: CallMode,
    function: &'static Function,
    params: P,
    call: Waits<P, R>,
) -> wasmtime::Result<R> {
    let result = {
        let mut guest = CallContext::of(&mut caller, get)?;
        let line = guest.begin(function, params);
        let made = call(&mut guest.call, &mut guest.memory, params);
        let result = see_through(&guest.interrupts.pending_signals, guest.runs_on, pin!(made)).await;
        guest.end(line, &result);
        result?
    };
    handle_due(&mut caller, get, calls).await?;
    Ok(result)
}

/// Links a call of two phases: it is tried on the spot, and only the half that waits is a
/// future. A traced call takes the same way.
///
/// # Errors
///
/// When `linker` has the function already.
pub(super) fn link_two_phases<T: Send + 'static, P: Params>(
    linker: &mut Linker<T>,
    get: impl Get<T>,
    import: &ImportType<'_>,
    function: &'static Function,
    calls: CallMode,
    call: Now<P, i32>,
) -> wasmtime::Result<()> {
    match calls {
        CallMode::Async => {
            linker.func_wrap_async(
                import.module(),
                import.name(),
                move |mut caller: Caller<'_, T>, params: P| match first(
                    &mut caller,
                    get,
                    function,
                    params,
                    call,
                ) {
                    Ok(FirstPhase::Done(answer)) if has_budget() => known(answer),
                    Ok(first) => Box::new(rest(caller, get, calls, first)),
                    Err(error) => Box::new(std::future::ready(Err(error))),
                },
            )?;
            Ok(())
        }
        CallMode::Blocking | CallMode::OwnThread => {
            P::wrap(linker, import, move |mut caller: Caller<'_, T>, params| {
                inside_reactor(calls, || here(&mut caller, get, calls, function, params, call))
            })
        }
    }
}

/// A call of two phases on this thread, which it parks where it waits.
#[inline]
fn here<T: Send + 'static, P: Params>(
    caller: &mut Caller<'_, T>,
    get: impl Get<T>,
    calls: CallMode,
    function: &'static Function,
    params: P,
    call: Now<P, i32>,
) -> wasmtime::Result<i32> {
    let mut guest = CallContext::of(caller, get)?;
    let line = guest.begin(function, params);
    let mut result = call(&mut guest.call, &mut guest.memory, params);
    if let Some(wait) = guest.call.take_wait() {
        result = guest.wait_here(wait);
    }
    guest.end(line, &result);
    let answer = result?;
    handle_due_here(caller, get, calls)?;
    Ok(answer)
}

/// How the first phase of a call ended.
enum FirstPhase {
    Done(i32),
    /// It is done, and there is a signal to be handled before it returns.
    Due(i32),
    Waits(Wait, Option<Box<Line>>),
}

/// The first phase of a call.
#[inline]
fn first<T: 'static, P: Params>(
    caller: &mut Caller<'_, T>,
    get: impl Get<T>,
    function: &'static Function,
    params: P,
    call: Now<P, i32>,
) -> wasmtime::Result<FirstPhase> {
    let mut guest = CallContext::of(caller, get)?;
    let line = guest.begin(function, params);
    let result = call(&mut guest.call, &mut guest.memory, params);
    if let Some(wait) = guest.call.take_wait() {
        return Ok(FirstPhase::Waits(wait, line));
    }
    guest.end(line, &result);
    let answer = result?;
    Ok(if guest.interrupts.pending_signals.is_due() {
        FirstPhase::Due(answer)
    } else {
        FirstPhase::Done(answer)
    })
}

/// What comes after the first phase of a call.
async fn rest<T: Send + 'static>(
    mut caller: Caller<'_, T>,
    get: impl Get<T>,
    calls: CallMode,
    first: FirstPhase,
) -> wasmtime::Result<i32> {
    let answer = match first {
        FirstPhase::Done(answer) => {
            // Its budget is used up.
            yield_now().await;
            return Ok(answer);
        }
        FirstPhase::Due(answer) => answer,
        FirstPhase::Waits(wait, line) => {
            let mut guest = CallContext::of(&mut caller, get)?;
            let half = wait.resume(&mut guest.call, &mut guest.memory);
            let half = async { errno::answer(half.await) };
            let result = see_through(&guest.interrupts.pending_signals, guest.runs_on, pin!(half)).await;
            guest.end(line, &result);
            result?
        }
    };
    handle_due(&mut caller, get, calls).await?;
    Ok(answer)
}

/// Handles what signals there are before a call returns.
///
/// # Errors
///
/// Those of the handlers.
async fn handle_due<T: Send + 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Get<T>,
    calls: CallMode,
) -> wasmtime::Result<()> {
    if get(caller.data_mut()).interrupts.pending_signals.is_due() {
        // Apart, so that the future of every call is not as large as this one.
        Box::pin(handle(caller, get, calls)).await?;
    }
    Ok(())
}

/// As [`handle_due`], in a store that does not run async.
///
/// # Errors
///
/// Those of the handlers.
#[inline]
fn handle_due_here<T: Send + 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Get<T>,
    calls: CallMode,
) -> wasmtime::Result<()> {
    if get(caller.data_mut()).interrupts.pending_signals.is_due() {
        return handle_here(caller, get, calls);
    }
    Ok(())
}

/// Takes a little of the task's budget, so that a guest that never has to wait still
/// yields to other tasks: beyond it, the call's future yields.
#[inline]
fn has_budget() -> bool {
    match poll_proceed(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => {
            taken.made_progress();
            true
        }
        Poll::Pending => false,
    }
}

/// A result that is encoded in its type, so that its box takes no memory.
struct ReadyResult<const ANSWER: i32>;

impl<const ANSWER: i32> Future for ReadyResult<ANSWER> {
    type Output = wasmtime::Result<i32>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(ANSWER))
    }
}

/// The future of a known result: nothing is allocated for the usual ones.
pub(super) fn known(answer: i32) -> Box<dyn Future<Output = wasmtime::Result<i32>> + Send> {
    const SUCCESS: i32 = 0;
    /// `EAGAIN`, in every dialect.
    const AGAIN: i32 = 6;
    match answer {
        SUCCESS => Box::new(ReadyResult::<SUCCESS>),
        AGAIN => Box::new(ReadyResult::<AGAIN>),
        other => Box::new(std::future::ready(Ok(other))),
    }
}

/// The result of every function that is refused.
#[expect(clippy::unnecessary_wraps, reason = "as the generated functions are")]
pub(super) fn refuse() -> wasmtime::Result<i32> {
    Ok(errno::number(Errno::ENOTSUP))
}

/// The core values of a call's parameters.
pub(super) trait Params: WasmTyList + Copy + Send + Sync + 'static {
    /// Passes the values to `look` as bits.
    fn with_bits<O>(self, look: impl FnOnce(&[u64]) -> O) -> O;

    /// Adds `call` to `linker` under the names of `import`.
    ///
    /// # Errors
    ///
    /// When `linker` has that function already.
    fn wrap<T: 'static, R: CallResult>(
        linker: &mut Linker<T>,
        import: &ImportType<'_>,
        call: impl Fn(Caller<'_, T>, Self) -> wasmtime::Result<R> + Send + Sync + 'static,
    ) -> wasmtime::Result<()>;
}

macro_rules! params {
    ($($arg:ident: $ty:ident),*) => {
        impl<$($ty: Bits),*> Params for ($($ty,)*) {
            #[inline]
            fn with_bits<O>(self, look: impl FnOnce(&[u64]) -> O) -> O {
                let ($($arg,)*) = self;
                look(&[$($arg.bits()),*])
            }

            fn wrap<T: 'static, R: CallResult>(
                linker: &mut Linker<T>,
                import: &ImportType<'_>,
                call: impl Fn(Caller<'_, T>, Self) -> wasmtime::Result<R> + Send + Sync + 'static,
            ) -> wasmtime::Result<()> {
                linker.func_wrap(
                    import.module(),
                    import.name(),
                    move |caller: Caller<'_, T>, $($arg: $ty),*| call(caller, ($($arg,)*)),
                )?;
                Ok(())
            }
        }
    };
}

params!();
params!(a0: A0);
params!(a0: A0, a1: A1);
params!(a0: A0, a1: A1, a2: A2);
params!(a0: A0, a1: A1, a2: A2, a3: A3);
params!(a0: A0, a1: A1, a2: A2, a3: A3, a4: A4);
params!(a0: A0, a1: A1, a2: A2, a3: A3, a4: A4, a5: A5);
params!(a0: A0, a1: A1, a2: A2, a3: A3, a4: A4, a5: A5, a6: A6);
params!(a0: A0, a1: A1, a2: A2, a3: A3, a4: A4, a5: A5, a6: A6, a7: A7);
params!(a0: A0, a1: A1, a2: A2, a3: A3, a4: A4, a5: A5, a6: A6, a7: A7, a8: A8);
params!(a0: A0, a1: A1, a2: A2, a3: A3, a4: A4, a5: A5, a6: A6, a7: A7, a8: A8, a9: A9);
params!(a0: A0, a1: A1, a2: A2, a3: A3, a4: A4, a5: A5, a6: A6, a7: A7, a8: A8, a9: A9, a10: A10);
params!(a0: A0, a1: A1, a2: A2, a3: A3, a4: A4, a5: A5, a6: A6, a7: A7, a8: A8, a9: A9, a10: A10, a11: A11);
params!(
    a0: A0, a1: A1, a2: A2, a3: A3, a4: A4, a5: A5, a6: A6, a7: A7, a8: A8, a9: A9, a10: A10, a11: A11,
    a12: A12
);
params!(
    a0: A0, a1: A1, a2: A2, a3: A3, a4: A4, a5: A5, a6: A6, a7: A7, a8: A8, a9: A9, a10: A10, a11: A11,
    a12: A12, a13: A13
);

/// A core value, as bits.
pub(super) trait Bits: WasmTy + Copy + Send + Sync + 'static {
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
pub(super) trait CallResult: WasmRet + Send + 'static {
    fn errno(&self) -> Option<i32>;
}

impl CallResult for i32 {
    fn errno(&self) -> Option<i32> {
        Some(*self)
    }
}

impl CallResult for () {
    fn errno(&self) -> Option<i32> {
        None
    }
}
