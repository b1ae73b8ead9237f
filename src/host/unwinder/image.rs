//! The state of an instance as it is copied to a child: its memory, and its globals that change.

use wasmtime::{AsContextMut, Error, ExternType, Global, Instance, Module, Mutability, Val};

use super::with_memory;
use crate::abi::memory::{self as guest, GuestMemory, copy_in, copy_out};
use crate::error::Errno;
use crate::host::guest_memory::GuestMemoryHandle;

/// What is looked at for being all zero: a page of the host's.
const PAGE: usize = 4096;

/// Comparing with it is far quicker than looking at each byte.
static ZEROS: [u8; PAGE] = [0; PAGE];

/// A memory grows by such pages.
const MEMORY_PAGE: usize = 64 << 10;

/// A memory, without its pages that are all zero.
pub(in crate::host) struct MemoryImage {
    /// How large the memory is, in bytes.
    size: usize,
    /// Addresses, and what is there.
    runs: Vec<(u32, Vec<u8>)>,
}

impl MemoryImage {
    /// What `memory` holds now.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the host has no memory for it.
    pub(in crate::host) fn of(
        memory: &GuestMemoryHandle,
        store: impl AsContextMut,
    ) -> Result<Self, crate::error::Error> {
        with_memory(memory, store, |memory| {
            let size = guest::size(memory);
            let mut runs = Vec::new();
            for start in (0..size).step_by(MEMORY_PAGE) {
                let (Ok(at), len) = (u32::try_from(start), size.saturating_sub(start).min(MEMORY_PAGE))
                else {
                    break;
                };
                if let GuestMemory::Unshared(bytes) = memory {
                    let part = bytes.get(start..start.saturating_add(len)).unwrap_or_default();
                    add_runs(&mut runs, at, part)?;
                } else {
                    let part = copy_out(memory, at, u32::try_from(len).unwrap_or(0))?;
                    add_runs(&mut runs, at, &part)?;
                }
            }
            Ok(Self { size, runs })
        })
    }

    /// Makes `memory`, whose other pages are all zero or are to be overwritten, like this one.
    ///
    /// # Errors
    ///
    /// Where it can't be as large.
    pub(in crate::host) fn write(
        self,
        memory: &GuestMemoryHandle,
        mut store: impl AsContextMut,
    ) -> wasmtime::Result<()> {
        let has = with_memory(memory, &mut store, |memory| Ok(guest::size(memory))).unwrap_or(0);
        let missing = self.size.saturating_sub(has).div_ceil(MEMORY_PAGE);
        if missing > 0 {
            let pages = u64::try_from(missing).unwrap_or(u64::MAX);
            match memory {
                GuestMemoryHandle::Plain(memory) => memory.grow(&mut store, pages)?,
                GuestMemoryHandle::Shared(memory) => memory.grow(pages)?,
            };
        }
        let written = with_memory(memory, &mut store, |memory| {
            // What the module's own data has put there, and the parent has cleared since.
            clear_between(memory, has, &self.runs)?;
            self.runs.iter().try_for_each(|(at, bytes)| copy_in(memory, *at, bytes))
        });
        written.map_err(|_| Error::msg("the memory of a child is not as large as that of its parent"))
    }
}

/// Is a page, or the rest of one, all zero?
fn is_zero(page: &[u8]) -> bool {
    ZEROS.get(..page.len()) == Some(page)
}

/// Adds what is not all zero of `part`, which is at `at`.
///
/// # Errors
///
/// `ENOMEM` where the host has no memory for it.
fn add_runs(runs: &mut Vec<(u32, Vec<u8>)>, at: u32, part: &[u8]) -> Result<(), Errno> {
    let mut address = at;
    let mut in_run = false;
    for page in part.chunks(PAGE) {
        let is_zero = is_zero(page);
        match runs.last_mut().filter(|_| in_run && !is_zero) {
            Some((_, run)) => {
                run.try_reserve(page.len()).map_err(|_| Errno::ENOMEM)?;
                run.extend_from_slice(page);
            }
            None if !is_zero => {
                let mut run = Vec::new();
                run.try_reserve(page.len()).map_err(|_| Errno::ENOMEM)?;
                run.extend_from_slice(page);
                runs.push((address, run));
            }
            None => {}
        }
        in_run = !is_zero;
        address = address.saturating_add(u32::try_from(page.len()).unwrap_or(u32::MAX));
    }
    Ok(())
}

/// Clears what of the first `len` bytes of `memory` is in none of `runs` and not zero already.
fn clear_between(
    memory: &mut GuestMemory<'_>,
    len: usize,
    runs: &[(u32, Vec<u8>)],
) -> Result<(), crate::error::Error> {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    let ends =
        runs.iter().map(|(at, bytes)| (*at, at.saturating_add(u32::try_from(bytes.len()).unwrap_or(0))));
    let mut from = 0_u32;
    for (start, end) in ends.chain([(len, len)]) {
        let page = u32::try_from(PAGE).unwrap_or(u32::MAX);
        let gap_end = start.min(len);
        while from < gap_end {
            let size = page.min(gap_end.saturating_sub(from));
            clear_page(memory, from, size)?;
            from = from.saturating_add(size);
        }
        from = from.max(end);
    }
    Ok(())
}

fn clear_page(memory: &mut GuestMemory<'_>, at: u32, size: u32) -> Result<(), crate::error::Error> {
    if let GuestMemory::Unshared(bytes) = memory {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(size).unwrap_or(0));
        if let Some(part) = bytes.get_mut(start..end).filter(|part| !is_zero(part)) {
            part.fill(0);
        }
        return Ok(());
    }
    let part = copy_out(memory, at, size)?;
    if is_zero(&part) { Ok(()) } else { copy_in(memory, at, ZEROS.get(..part.len()).unwrap_or_default()) }
}

/// The globals that a module exports and that change, by their names.
pub(in crate::host) struct GlobalsImage(Vec<(String, Val)>);

impl GlobalsImage {
    /// Those of `instance`, of `module`.
    pub(in crate::host) fn of(module: &Module, instance: &Instance, mut store: impl AsContextMut) -> Self {
        let values = variables(module).filter_map(|name| {
            let value = instance.get_global(&mut store, &name)?.get(&mut store);
            Some((name, value))
        });
        Self(values.collect())
    }

    /// Sets them in `instance`, of the same module.
    ///
    /// # Errors
    ///
    /// Where it is of another module.
    pub(in crate::host) fn write(
        self,
        instance: &Instance,
        mut store: impl AsContextMut,
    ) -> wasmtime::Result<()> {
        for (name, value) in self.0 {
            let global: Option<Global> = instance.get_global(&mut store, &name);
            if let Some(global) = global {
                global.set(&mut store, value)?;
            }
        }
        Ok(())
    }
}

/// The names of the exported globals that change and hold numbers.
fn variables(module: &Module) -> impl Iterator<Item = String> {
    module.exports().filter_map(|export| match export.ty() {
        ExternType::Global(ty) if ty.mutability() == Mutability::Var && !ty.content().is_ref() => {
            Some(export.name().to_owned())
        }
        _ => None,
    })
}

#[cfg(all(test, feature = "wat"))]
#[path = "image/tests.rs"]
mod tests;
