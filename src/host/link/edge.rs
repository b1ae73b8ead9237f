//! What of the glue depends on the type of an embedder's store data: one function for
//! each signature.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::task::coop::poll_proceed;
use wasmtime::{Caller, Linker, WasmRet, WasmTy, WasmTyList};

use super::memory::CallContext;
use crate::abi::memory::GuestMemory;
use crate::abi::{Function, preview1};
use crate::error::Errno;
use crate::host::WasockCtx;
use crate::host::call_mode::CallMode;
use crate::host::signal::{handle, see_through};
use crate::process::Thread;

/// A call that never waits.
pub(super) type Now<P, R> = fn(&mut Thread, &mut GuestMemory<'_>, P) -> wasmtime::Result<R>;

/// Tries a call on the spot.
pub(super) type Try<P> = fn(&mut Thread, &mut GuestMemory<'_>, P) -> Option<i32>;

/// A call that may wait.
pub(super) type Waits<P, R> =
    for<'a> fn(&'a mut Thread, &'a mut GuestMemory<'_>, P) -> BoxFuture<'a, wasmtime::Result<R>>;

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
    function: &'static Function,
    call: Now<P, R>,
) -> wasmtime::Result<()> {
    P::wrap(linker, function, move |mut caller: Caller<'_, T>, params| {
        let mut guest = CallContext::of(&mut caller, get)?;
        let line = guest.begin(function, params);
        let result = call(guest.thread, &mut guest.memory, params);
        guest.end(line, &result);
        result
    })
}

/// A call that may wait, made as a future: `call` is applied to the thread, its memory and
/// the parameters. What there is to look at afterwards, signals above all, comes before
/// its return.
macro_rules! waiting {
    ($caller:ident, $get:ident, $function:ident, $params:ident, $calls:expr, $call:expr) => {
        async move {
            let result = {
                let mut guest = CallContext::of(&mut $caller, $get)?;
                let line = guest.begin($function, $params);
                let result = {
                    let (thread, memory) = (&mut *guest.thread, &mut guest.memory);
                    // Pinned where it is made: it is too large to be moved at every call.
                    let call = pin!($call(thread, memory, $params));
                    see_through(guest.pending_signals, guest.runs_on, call).await
                };
                guest.end(line, &result);
                result?
            };
            if $get($caller.data_mut()).pending_signals.is_due() {
                // Apart, so that the future of every call is not as large as this one.
                Box::pin(handle(&mut $caller, $get, $calls)).await?;
            }
            Ok(result)
        }
    };
}
pub(super) use waiting;

/// Links a call that may wait. Its future is allocated apart from Wasmtime's own, which is
/// what keeps it out of the code for each `T`; the calls that are hot are linked by
/// [`link_tries`] instead.
///
/// # Errors
///
/// When `linker` has the function already.
pub(super) fn link_waits<T: Send + 'static, P: Params, R: CallResult>(
    linker: &mut Linker<T>,
    get: impl Get<T>,
    function: &'static Function,
    calls: CallMode,
    call: Waits<P, R>,
) -> wasmtime::Result<()> {
    match calls {
        CallMode::Async => {
            linker.func_wrap_async(
                function.module,
                function.name,
                move |mut caller: Caller<'_, T>, params: P| {
                    Box::new(waiting!(caller, get, function, params, calls, call))
                },
            )?;
            Ok(())
        }
        CallMode::Blocking => P::wrap(linker, function, move |mut caller: Caller<'_, T>, params| {
            drive(waiting!(caller, get, function, params, calls, call))
        }),
    }
}

/// Links a call that is tried on the spot before it is made as a future. `try` answers
/// `None` where it would wait, and nothing has happened yet. A call that is traced, and one
/// before which a signal is to be handled, goes the long way.
macro_rules! link_tries {
    ($linker:ident, $get:ident, $function:expr, $calls:expr, $try:path, $call:path, [$($arg:ident: $ty:ty),*]) => {{
        let function = $function;
const TRY: edge::Try<($($ty,)*)> = |thread, memory, ($($arg,)*)| $try(thread, memory, $($arg),*);
        match $calls {
            CallMode::Async => {
                $linker.func_wrap_async(
                    function.module,
                    function.name,
                    move |mut caller: Caller<'_, T>, params: ($($ty,)*)| {
                        if let Some(result) = edge::tried(&mut caller, $get, params, TRY) {
                            return edge::known(result);
                        }
                        Box::new(async move {
                            let ($($arg,)*) = params;
                            edge::waiting!(caller, $get, function, params, CallMode::Async,
                                |thread, memory, _| $call(thread, memory, $($arg),*)).await
                        })
                    },
                )?;
            }
            CallMode::Blocking => {
                edge::Params::wrap($linker, function, move |mut caller: Caller<'_, T>, params: ($($ty,)*)| {
                    if let Some(result) = edge::tried(&mut caller, $get, params, TRY) {
                        return Ok(result);
                    }
                    let ($($arg,)*) = params;
                    edge::drive(edge::waiting!(caller, $get, function, params, CallMode::Blocking,
                        |thread, memory, _| $call(thread, memory, $($arg),*)))
                })?;
            }
        }
    }};
}
pub(super) use link_tries;

/// Tries a call on the spot; `None` where it is to be made as a future.
#[inline]
pub(super) fn tried<T: 'static, P: Params>(
    caller: &mut Caller<'_, T>,
    get: impl Get<T>,
    params: P,
    try_call: Try<P>,
) -> Option<i32> {
    match CallContext::of(caller, get) {
        Ok(mut guest) if guest.trace.is_none() && !guest.pending_signals.is_due() && has_budget() => {
            try_call(guest.thread, &mut guest.memory, params)
        }
        _ => None,
    }
}

/// Takes a little of the task's budget, so that a guest that never has to wait still
/// leaves others their turn: over it, the call's future yields.
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

/// An answer that its type tells, so that the box around it takes no memory.
struct ReadyResult<const ANSWER: i32>;

impl<const ANSWER: i32> Future for ReadyResult<ANSWER> {
    type Output = wasmtime::Result<i32>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(ANSWER))
    }
}

/// The future of an answer that is known: nothing is allocated for those that are usual.
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

/// Sees a waiting call to its end on this thread.
pub(super) fn drive<R>(call: impl Future<Output = wasmtime::Result<R>>) -> wasmtime::Result<R> {
    crate::ready::block_on(call)?
}

/// The answer of every function that is refused.
#[expect(clippy::unnecessary_wraps, reason = "as the generated functions are")]
pub(super) fn refuse() -> wasmtime::Result<i32> {
    Ok(preview1::number(Errno::ENOTSUP))
}

/// The core values of a call's parameters.
pub(super) trait Params: WasmTyList + Copy + Send + Sync + 'static {
    /// Gives `look` the values as bits.
    fn with_bits<O>(self, look: impl FnOnce(&[u64]) -> O) -> O;

    /// Adds `call` to `linker` under the name of `function`.
    ///
    /// # Errors
    ///
    /// When `linker` has that function already.
    fn wrap<T: 'static, R: CallResult>(
        linker: &mut Linker<T>,
        function: &'static Function,
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
                function: &'static Function,
                call: impl Fn(Caller<'_, T>, Self) -> wasmtime::Result<R> + Send + Sync + 'static,
            ) -> wasmtime::Result<()> {
                linker.func_wrap(
                    function.module,
                    function.name,
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
