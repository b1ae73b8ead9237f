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
use crate::error::{Errno, Returned};
use crate::host::WasockCtx;
use crate::host::call_mode::CallMode;
use crate::host::signal::{handle, handle_here, see_through};
use crate::io::{own_reactor, yield_now};

/// What wiggle made of a call.
pub(super) type GeneratedCall<P, R> = fn(&mut Call<'_>, &mut GuestMemory<'_>, P) -> wasmtime::Result<R>;

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
    call: GeneratedCall<P, R>,
) -> wasmtime::Result<()> {
    P::wrap(linker, import, move |mut caller: Caller<'_, T>, params| {
        let mut guest = CallContext::of(&mut caller, get)?;
        let line = guest.begin(function, params);
        let result = R::settled(call(&mut guest.call, &mut guest.memory, params));
        guest.end(line, &result);
        result
    })
}

/// Links a call that may wait: it is tried on the spot, and only the half that waits is a
/// future. A traced call takes the same way.
///
/// # Errors
///
/// When `linker` has the function already.
pub(super) fn link_may_wait<T: Send + 'static, P: Params, R: CallResult>(
    linker: &mut Linker<T>,
    get: impl Get<T>,
    import: &ImportType<'_>,
    function: &'static Function,
    calls: CallMode,
    call: GeneratedCall<P, R>,
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
                    Ok(FirstPhase::Done(answer)) if has_budget() => answer.known(),
                    Ok(first) => Box::new(rest(caller, get, calls, first)),
                    Err(error) => Box::new(std::future::ready(Err(error))),
                },
            )?;
            Ok(())
        }
        CallMode::Blocking => P::wrap(linker, import, move |mut caller: Caller<'_, T>, params| {
            // What the caller's own runtime is may be one that this thread stops.
            let reactor = own_reactor()?;
            let _inside = reactor.enter();
            here(&mut caller, get, calls, function, params, call)
        }),
        CallMode::OwnThread => P::wrap(linker, import, move |mut caller: Caller<'_, T>, params| {
            here(&mut caller, get, calls, function, params, call)
        }),
    }
}

/// A call on this thread, which it parks where it waits.
#[inline]
fn here<T: Send + 'static, P: Params, R: CallResult>(
    caller: &mut Caller<'_, T>,
    get: impl Get<T>,
    calls: CallMode,
    function: &'static Function,
    params: P,
    call: GeneratedCall<P, R>,
) -> wasmtime::Result<R> {
    let mut guest = CallContext::of(caller, get)?;
    guest.call.parks = true;
    let line = guest.begin(function, params);
    let mut result = R::settled(call(&mut guest.call, &mut guest.memory, params));
    if let Some(wait) = guest.call.take_wait() {
        result = guest.wait_here(wait).map(R::of);
    }
    guest.end(line, &result);
    let answer = result?;
    if guest.interrupts.pending_signals.is_due() {
        handle_here(caller, get, calls)?;
    }
    Ok(answer)
}

/// How the first phase of a call ended, in a store that runs async.
enum FirstPhase<R> {
    Done(R),
    /// It is done, and gives way to others first.
    GivesWay(R),
    /// It is done, and there is a signal to be handled before it returns.
    Due(R),
    Waits(Wait, Option<Box<Line>>),
}

/// The first phase of a call.
#[inline]
fn first<T: 'static, P: Params, R: CallResult>(
    caller: &mut Caller<'_, T>,
    get: impl Get<T>,
    function: &'static Function,
    params: P,
    call: GeneratedCall<P, R>,
) -> wasmtime::Result<FirstPhase<R>> {
    let mut guest = CallContext::of(caller, get)?;
    let line = guest.begin(function, params);
    let result = R::settled(call(&mut guest.call, &mut guest.memory, params));
    if let Some(wait) = guest.call.take_wait() {
        return Ok(FirstPhase::Waits(wait, line));
    }
    guest.end(line, &result);
    let answer = result?;
    if guest.call.gives_way {
        return Ok(FirstPhase::GivesWay(answer));
    }
    let is_due = guest.interrupts.pending_signals.is_due();
    Ok(if is_due { FirstPhase::Due(answer) } else { FirstPhase::Done(answer) })
}

/// What comes after the first phase of a call.
async fn rest<T: Send + 'static, R: CallResult>(
    mut caller: Caller<'_, T>,
    get: impl Get<T>,
    calls: CallMode,
    first: FirstPhase<R>,
) -> wasmtime::Result<R> {
    let answer = match first {
        FirstPhase::Done(answer) => {
            // Its budget is used up.
            yield_now().await;
            return Ok(answer);
        }
        FirstPhase::GivesWay(answer) => {
            yield_now().await;
            answer
        }
        FirstPhase::Due(answer) => answer,
        FirstPhase::Waits(wait, line) => {
            let mut guest = CallContext::of(&mut caller, get)?;
            let half = wait.resume(&mut guest.call, &mut guest.memory);
            let half = async { errno::answer(half.await).map(R::of) };
            let result = see_through(&guest.interrupts.pending_signals, guest.runs_on, pin!(half)).await;
            guest.end(line, &result);
            result?
        }
    };
    if get(caller.data_mut()).interrupts.pending_signals.is_due() {
        // Apart, so that the future of every call is not as large as this one.
        Box::pin(handle(&mut caller, get, calls)).await?;
    }
    Ok(answer)
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

impl Bits for f64 {
    #[inline]
    fn bits(self) -> u64 {
        self.to_bits()
    }
}

/// What a call returns to the guest.
pub(super) trait CallResult: WasmRet + Sized + Send + Sync + 'static {
    /// What a call returns whose waiting half has ended with `errno`.
    fn of(errno: i32) -> Self;

    fn errno(&self) -> Option<i32>;

    /// What the guest sees of this outcome.
    ///
    /// # Errors
    ///
    /// Those of the outcome.
    #[inline]
    fn settled(outcome: wasmtime::Result<Self>) -> wasmtime::Result<Self> {
        outcome
    }

    /// The future of a known result.
    fn known(self) -> BoxFuture<Self>;
}

type BoxFuture<R> = Box<dyn Future<Output = wasmtime::Result<R>> + Send>;

impl CallResult for i32 {
    fn of(errno: i32) -> Self {
        errno
    }

    fn errno(&self) -> Option<i32> {
        Some(*self)
    }

    /// Nothing is allocated for the usual ones.
    #[inline]
    fn known(self) -> BoxFuture<Self> {
        const SUCCESS: i32 = 0;
        /// `EAGAIN`, in every dialect.
        const AGAIN: i32 = 6;
        match self {
            SUCCESS => Box::new(ReadyResult::<SUCCESS>),
            AGAIN => Box::new(ReadyResult::<AGAIN>),
            other => Box::new(std::future::ready(Ok(other))),
        }
    }
}

/// Of a call that never waits.
impl CallResult for f64 {
    fn of(_: i32) -> Self {
        0.0
    }

    fn errno(&self) -> Option<i32> {
        None
    }

    fn known(self) -> BoxFuture<Self> {
        Box::new(std::future::ready(Ok(self)))
    }
}

impl CallResult for () {
    fn of(_: i32) -> Self {}

    /// A call that ends the program returns where it has ended a child that the program was.
    fn settled(outcome: wasmtime::Result<Self>) -> wasmtime::Result<Self> {
        outcome.or_else(|error| if error.is::<Returned>() { Ok(()) } else { Err(error) })
    }

    fn errno(&self) -> Option<i32> {
        None
    }

    fn known(self) -> BoxFuture<Self> {
        Box::new(std::future::ready(Ok(self)))
    }
}
