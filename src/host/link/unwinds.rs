//! The glue of the calls that put the guest's stack aside.

use wasmtime::{Caller, ImportType, Linker};

use super::edge::{CallResult, GeneratedCall, Get, Params};
use super::memory::CallContext;
use crate::abi::Function;
use crate::error::Trap;
use crate::host::asyncify;
use crate::host::call_mode::CallMode;
use crate::host::signal::handle;

/// What a tool adds to a module makes no call while it puts the stack aside.
const CALL_IN_BETWEEN: &str = "the guest made a call while its stack was being put aside or restored, which no code of \
     `wasm-opt --asyncify` does";

/// Links a call that puts the guest's stack aside or restores it.
///
/// Such a call is made twice: the guest unwinds from it, and calls it once more when its stack has been
/// restored. What it returns the first time is ignored.
///
/// # Errors
///
/// When `linker` has the function already.
pub(super) fn link_unwinds<T: Send + 'static, P: Params, R: CallResult>(
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
                move |mut caller: Caller<'_, T>, params: P| {
                    Box::new(async move { made(&mut caller, get, calls, function, params, call).await })
                },
            )?;
            Ok(())
        }
        CallMode::Blocking | CallMode::OwnThread => {
            P::wrap(linker, import, move |mut caller: Caller<'_, T>, params| {
                let interrupts = get(caller.data_mut()).interrupts.clone();
                interrupts.run_here(made(&mut caller, get, calls, function, params, call))
            })
        }
    }
}

async fn made<T: Send + 'static, P: Params, R: CallResult>(
    caller: &mut Caller<'_, T>,
    get: impl Get<T>,
    calls: CallMode,
    function: &'static Function,
    params: P,
    call: GeneratedCall<P, R>,
) -> wasmtime::Result<R> {
    // Each one would have the host call the guest once more, on a stack of its own.
    if get(caller.data_mut()).thread.unwinding.is_without_calls() {
        return Err(wasmtime::Error::new(Trap::new(CALL_IN_BETWEEN)));
    }
    asyncify::arrive(caller, get, calls).await?;
    let access = asyncify::access(caller, get);
    get(caller.data_mut()).thread.unwinding.access = access;
    let (result, unwinds) = {
        let mut guest = CallContext::of(caller, get)?;
        let line = guest.begin(function, params);
        let result = call(&mut guest.call, &mut guest.memory, params);
        let unwinds = result.is_ok() && guest.call.unwinding.is_wanted();
        match line {
            // Its line is printed when it returns.
            Some(line) if unwinds => line.cancel(),
            line => guest.end(line, &result),
        }
        (result?, unwinds)
    };
    if unwinds {
        asyncify::leave(caller, get, calls).await?;
    } else if calls != CallMode::Blocking && get(caller.data_mut()).interrupts.pending_signals.is_due() {
        // They have waited while the stack was restored.
        handle(caller, get, calls).await?;
    }
    Ok(result)
}
