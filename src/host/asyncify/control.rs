//! The functions and globals of a module that can unwind itself, and its area for frames.

use std::sync::Arc;

use wasmtime::{AsContextMut, Error, Global, Instance, Mutability, SharedMemory, Trap, Val};

use crate::abi::memory::{GuestMemory, copy_in, copy_out};
use crate::host::WasockCtx;
use crate::host::call_mode::CallMode;
use crate::host::guest_memory::GuestMemoryHandle;
use crate::host::outcome::is_mistake;
use crate::host::unwinder::{Control, memory_of, with_memory};
use crate::process::{Area, Frames, HeldArea, Left};

/// The area begins with two words: how far it is used, and where it ends.
const HEADER: u32 = 8;

/// How large the area is, in pages of 64 KiB, where the memory may grow by that. A frame takes some 20 to 60
/// bytes, and a recursion of ten thousand is deep.
const AREA_PAGES: [u64; 2] = [16, 1];

const PAGE: u64 = 64 << 10;

/// Where the area has no room for the frames.
const AREA_TOO_SMALL: &str = "the guest's stack is too deep to be put aside (setjmp, fork): the area for it in the \
     guest's memory is full";

/// The end of a guest whose frames have no room.
pub(super) fn too_deep() -> Error {
    Error::new(crate::error::Trap::new(AREA_TOO_SMALL))
}

/// A step of an unwind or a rewind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    StartUnwind(Area),
    StopUnwind,
    StartRewind(Area),
    StopRewind,
}

impl Control {
    /// Those of `instance`, the only one of its store; nothing where its module lacks one.
    pub(super) fn find<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        get: impl Fn(&mut T) -> &mut WasockCtx,
        instance: &Instance,
    ) -> Option<Self> {
        let start_unwind = instance.get_typed_func(&mut store, "asyncify_start_unwind").ok()?;
        let stop_unwind = instance.get_typed_func(&mut store, "asyncify_stop_unwind").ok()?;
        let start_rewind = instance.get_typed_func(&mut store, "asyncify_start_rewind").ok()?;
        let stop_rewind = instance.get_typed_func(&mut store, "asyncify_stop_rewind").ok()?;
        let stack_pointer = variable(&mut store, instance, "__stack_pointer")?;
        let tls_base = variable(&mut store, instance, "__tls_base");
        let stack_low = ["__stack_low", "__data_end"].into_iter().find_map(|name| {
            let global = instance.get_global(&mut store, name)?;
            global.get(&mut store).i32().map(i32::cast_unsigned)
        });
        let named = get(store.as_context_mut().data_mut()).memory.named.clone();
        let memory = memory_of(instance, &mut store, named.as_ref())?;
        Some(Self {
            start_unwind,
            stop_unwind,
            start_rewind,
            stop_rewind,
            stack_pointer,
            tls_base,
            stack_low,
            memory,
        })
    }

    pub(super) fn stack_pointer(&self, store: impl AsContextMut) -> i32 {
        self.stack_pointer.get(store).i32().unwrap_or(0)
    }

    /// Makes one step.
    ///
    /// # Errors
    ///
    /// Where the guest traps: at the end of an unwind, where the area was too small.
    pub(super) async fn make<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T> + Send,
        get: impl Fn(&mut T) -> &mut WasockCtx,
        calls: CallMode,
        step: Move,
    ) -> wasmtime::Result<()> {
        let on_fiber =
            calls == CallMode::Async || get(store.as_context_mut().data_mut()).thread.unwinding.is_on_fiber();
        if !on_fiber {
            let done = self.call_here(&mut store, step);
            // A store in which a handler interrupted running code takes no synchronous call any more.
            let is_refused = |error: &Error| is_mistake(error) && !error.is::<Trap>();
            match done {
                Err(error) if is_refused(&error) => {
                    get(store.as_context_mut().data_mut()).thread.unwinding.set_on_fiber();
                }
                done => return done,
            }
        }
        match step {
            Move::StartUnwind(area) => self.start_unwind.call_async(store, area.start.cast_signed()).await,
            Move::StopUnwind => self.stop_unwind.call_async(store, ()).await,
            Move::StartRewind(area) => self.start_rewind.call_async(store, area.start.cast_signed()).await,
            Move::StopRewind => self.stop_rewind.call_async(store, ()).await,
        }
    }

    fn call_here(&self, store: impl AsContextMut, step: Move) -> wasmtime::Result<()> {
        match step {
            Move::StartUnwind(area) => self.start_unwind.call(store, area.start.cast_signed()),
            Move::StopUnwind => self.stop_unwind.call(store, ()),
            Move::StartRewind(area) => self.start_rewind.call(store, area.start.cast_signed()),
            Move::StopRewind => self.stop_rewind.call(store, ()),
        }
    }

    /// Where frames are put aside: memory of the thread's own, or else the part of its stack that is free.
    pub(super) fn area<T: 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        get: impl Fn(&mut T) -> &mut WasockCtx,
        stack_pointer: i32,
    ) -> Option<Area> {
        let free = {
            let mut context = store.as_context_mut();
            let thread = &get(context.data_mut()).thread;
            if let Some(held) = &thread.unwinding.area {
                return Some(held.area);
            }
            Arc::clone(&thread.threads.areas)
        };
        let held = HeldArea::take(&free).or_else(|| Some(HeldArea::new(self.grow(&mut store)?, &free)));
        if let Some(held) = held {
            let area = held.area;
            get(store.as_context_mut().data_mut()).thread.unwinding.area = Some(held);
            return Some(area);
        }
        let start = self.stack_low?.checked_next_multiple_of(16)?;
        let end = stack_pointer.cast_unsigned() & !15;
        (start.saturating_add(HEADER) < end).then_some(Area { start, end })
    }

    fn grow(&self, mut store: impl AsContextMut) -> Option<Area> {
        AREA_PAGES.into_iter().find_map(|pages| {
            let before = match &self.memory {
                GuestMemoryHandle::Plain(memory) => memory.grow(&mut store, pages).ok()?,
                GuestMemoryHandle::Shared(memory) => grow_shared(memory, pages)?,
            };
            let start = u32::try_from(before.checked_mul(PAGE)?).ok()?;
            // The last byte of 4 GiB is left out.
            let end = start.checked_add(u32::try_from(pages.checked_mul(PAGE)?).ok()?.saturating_sub(16))?;
            Some(Area { start, end })
        })
    }

    /// Says in the guest's memory that `area` has `used` bytes of frames.
    ///
    /// # Errors
    ///
    /// Where it is not in the memory.
    pub(super) fn begin(&self, mut store: impl AsContextMut, area: Area, used: u32) -> wasmtime::Result<()> {
        let current = area.start.saturating_add(HEADER).saturating_add(used);
        let mut header = current.to_le_bytes().to_vec();
        header.extend(area.end.to_le_bytes());
        self.with_memory(&mut store, |memory| copy_in(memory, area.start, &header))
    }

    /// The frames that were put aside, from where the guest was.
    ///
    /// # Errors
    ///
    /// Where the area is not in the memory.
    pub(super) fn take(&self, mut store: impl AsContextMut, left: Left) -> wasmtime::Result<Frames> {
        let Left { stack_pointer, tls_base, area } = left;
        let bytes = self.with_memory(&mut store, |memory| {
            let header = copy_out(memory, area.start, HEADER)?;
            let current = header.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
            let first = area.start.saturating_add(HEADER);
            let is_inside = current >= first && current <= area.end;
            let used = if is_inside { current.saturating_sub(first) } else { 0 };
            copy_out(memory, first, used)
        })?;
        Ok(Frames { stack_pointer, tls_base, bytes: bytes.into() })
    }

    /// Puts `frames` back, to be restored.
    ///
    /// # Errors
    ///
    /// Where the area has no room for them.
    pub(super) fn put<T: 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        get: impl Fn(&mut T) -> &mut WasockCtx + Copy,
        frames: &Frames,
    ) -> wasmtime::Result<Area> {
        self.stack_pointer.set(&mut store, Val::I32(frames.stack_pointer))?;
        if let (Some(tls_base), Some(value)) = (&self.tls_base, frames.tls_base) {
            tls_base.set(&mut store, Val::I32(value))?;
        }
        let used = u32::try_from(frames.bytes.len()).unwrap_or(u32::MAX);
        let area = self
            .area(&mut store, get, frames.stack_pointer)
            .filter(|area| area.start.saturating_add(HEADER).saturating_add(used) <= area.end);
        let Some(area) = area else { return Err(too_deep()) };
        self.begin(&mut store, area, used)?;
        let at = area.start.saturating_add(HEADER);
        self.with_memory(&mut store, |memory| copy_in(memory, at, &frames.bytes))?;
        Ok(area)
    }

    /// Where thread-locals are now.
    pub(super) fn tls_base(&self, mut store: impl AsContextMut) -> Option<i32> {
        self.tls_base.as_ref().and_then(|global| global.get(&mut store).i32())
    }

    fn with_memory<R>(
        &self,
        store: impl AsContextMut,
        look: impl FnOnce(&mut GuestMemory<'_>) -> Result<R, crate::error::Error>,
    ) -> wasmtime::Result<R> {
        with_memory(&self.memory, store, look).map_err(|error| match error {
            crate::error::Error::Trap(trap) => Error::new(trap),
            _ => too_deep(),
        })
    }
}

fn grow_shared(memory: &SharedMemory, pages: u64) -> Option<u64> {
    memory.grow(pages).ok()
}

/// A mutable global of 32 bits.
fn variable(mut store: impl AsContextMut, instance: &Instance, name: &str) -> Option<Global> {
    let global = instance.get_global(&mut store, name)?;
    let ty = global.ty(&store);
    (ty.mutability() == Mutability::Var && ty.content().is_i32()).then_some(global)
}
