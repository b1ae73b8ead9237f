//! The memory that a call reads and writes, and what else it works on.

use std::sync::Arc;

use wasmtime::{Caller, Extern, Memory};

use super::edge::{CallResult, Params};
use crate::abi::call::{Call, Wait};
use crate::abi::memory::GuestMemory;
use crate::abi::trace::Line;
use crate::abi::{Function, errno};
use crate::account::forget_denials;
use crate::host::WasockCtx;
use crate::host::guest_memory::{GuestMemoryHandle, MEMORY};
use crate::host::interrupt::{Interrupts, RunsOn};
use crate::observe::TraceSink;
use crate::process::TraceAnnotation;

/// What one call works on, borrowed from the store.
pub(super) struct CallContext<'a> {
    pub(super) call: Call<'a>,
    pub(super) interrupts: &'a Interrupts,
    pub(super) runs_on: Option<&'a RunsOn>,
    pub(super) memory: GuestMemory<'a>,
    pub(super) trace: Option<&'a Arc<TraceSink>>,
}

impl<'a> CallContext<'a> {
    #[inline]
    pub(super) fn of<T: 'static>(
        caller: &'a mut Caller<'_, T>,
        get: impl Fn(&mut T) -> &mut WasockCtx,
    ) -> wasmtime::Result<Self> {
        let ctx = get(caller.data_mut());
        ctx.check_end()?;
        let source = &ctx.memory;
        let memory = match &source.memory {
            Some(GuestMemoryHandle::Plain(memory)) if !source.may_differ => *memory,
            Some(GuestMemoryHandle::Shared(_)) if !source.may_differ => {
                return Self::of_shared(get(caller.data_mut()));
            }
            _ => match find(caller, &get)? {
                Some(memory) => memory,
                None => return Self::of_shared(get(caller.data_mut())),
            },
        };
        let (bytes, data) = memory.data_and_store_mut(caller);
        let ctx = get(data);
        Ok(Self {
            call: Call::new(&mut ctx.thread),
            interrupts: &ctx.interrupts,
            runs_on: ctx.runs_on.as_ref(),
            memory: GuestMemory::Unshared(bytes),
            trace: ctx.trace.as_ref(),
        })
    }

    #[inline]
    fn of_shared(ctx: &'a mut WasockCtx) -> wasmtime::Result<Self> {
        match &ctx.memory.memory {
            Some(GuestMemoryHandle::Shared(memory)) => Ok(Self {
                call: Call::new(&mut ctx.thread),
                interrupts: &ctx.interrupts,
                runs_on: ctx.runs_on.as_ref(),
                memory: GuestMemory::Shared(memory.data()),
                trace: ctx.trace.as_ref(),
            }),
            _ => Err(no_memory()),
        }
    }

    /// Begins the call's line of the trace, if there is a trace.
    #[inline]
    pub(super) fn begin(&self, function: &'static Function, params: impl Params) -> Option<Box<Line>> {
        let sink = self.trace?;
        forget_denials();
        let line = params.with_bits(|values| Line::begin(sink, function, values, &self.memory));
        let process = self.call.process();
        Some(line.of_process(process.family().is_many().then(|| process.pid())))
    }

    /// Prints the line; that of a call which ends the guest has no outcome.
    #[inline]
    pub(super) fn end<R: CallResult>(&mut self, line: Option<Box<Line>>, result: &wasmtime::Result<R>) {
        if let (Some(mut line), Ok(outcome)) = (line, result) {
            let annotation = self.annotation();
            line.end(outcome.errno(), &self.memory, annotation);
        }
    }

    /// Parks this thread until the half of the call is done that waits.
    #[cold]
    pub(super) fn wait_here(&mut self, wait: Wait) -> wasmtime::Result<i32> {
        let half = wait.resume(&mut self.call, &mut self.memory);
        self.interrupts.wait_for(async { errno::answer(half.await) })
    }

    /// The trace annotation of the call that ends.
    #[cold]
    fn annotation(&mut self) -> Option<TraceAnnotation> {
        let denied = self.call.process().take_denial();
        self.call.annotation.take().or(denied)
    }
}

/// The memory of the instance that calls: one of its own, or else `None` and the shared
/// one is in its place in the context.
fn find<T: 'static>(
    caller: &mut Caller<'_, T>,
    get: &impl Fn(&mut T) -> &mut WasockCtx,
) -> wasmtime::Result<Option<Memory>> {
    let known = get(caller.data_mut()).memory.known;
    let by_index =
        known.and_then(|(export, is_memory)| Some((caller.get_module_export(&export)?, is_memory)));
    let found = match by_index {
        Some((memory, true)) => Some(memory),
        // It is the program, which exports no memory.
        Some((_, false)) => None,
        None => caller.get_export(MEMORY),
    };
    let source = &mut get(caller.data_mut()).memory;
    let found = match found {
        Some(Extern::Memory(memory)) => GuestMemoryHandle::Plain(memory),
        Some(Extern::SharedMemory(memory)) => GuestMemoryHandle::Shared(memory),
        _ => GuestMemoryHandle::Shared(source.named.clone().ok_or_else(no_memory)?),
    };
    let plain = match found {
        GuestMemoryHandle::Plain(memory) => Some(memory),
        GuestMemoryHandle::Shared(_) => None,
    };
    source.memory = Some(found);
    Ok(plain)
}

#[cold]
fn no_memory() -> wasmtime::Error {
    wasmtime::Error::msg("the guest has no memory: it exports none called `memory` and was given none")
}
