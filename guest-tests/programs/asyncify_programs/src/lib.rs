//! `setjmp` and `longjmp`, `fork` and `wait`, as the C library of WASIX makes them of the host's calls.

pub mod http;
pub mod process;

use wasix::raw::wasix as raw;
use wasix::{Result, address_of, address_of_mut, outcome};

/// A place of the stack. It may be copied: the host finds the place by its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Place {
    pub user: u64,
    pub hash: [u64; 2],
}

impl Place {
    pub const NONE: Self = Self { user: 0, hash: [0; 2] };
}

/// Prepares to jump back here: returns 0, and again whatever a jump brings. Values that change in between must not
/// be kept in registers, as in C: `static`s and boxes are safe.
#[inline(never)]
pub fn try_set(place: *mut Place) -> Result<u64> {
    let mut value = u64::MAX;
    let (at, ret) = (place as usize as u32, address_of_mut(&mut value));
    outcome(unsafe { raw::stack_checkpoint(at, ret) })?;
    Ok(unsafe { std::ptr::read_volatile(&value) })
}

/// As [`try_set`], where that must succeed.
#[inline(never)]
pub fn set(place: *mut Place) -> u64 {
    wasix::check_ok!(try_set(place))
}

/// Goes back to `place`, where `value` is returned.
#[inline(never)]
pub fn jump(place: &Place, value: u64) -> ! {
    unsafe { raw::stack_restore(address_of(place), value) }
}
