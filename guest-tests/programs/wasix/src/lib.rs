//! The calls of `wasix_32v1` and of preview 1, for the guests of the tests.
//!
//! [`raw`] holds the imports with bare numbers; the functions of [`socket`],
//! [`poll`] and [`descriptor`] give them types, without hiding a value that a
//! test may want to get wrong. [`check_eq!`] is how a guest reports.

pub mod check;
pub mod descriptor;
pub mod errno;
pub mod file;
pub mod poll;
pub mod raw;
pub mod socket;

pub use errno::Errno;

/// A descriptor's number.
pub type Fd = u32;

/// The outcome of a call.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns the number that a call answered into an outcome.
pub fn outcome(answer: i32) -> Result<()> {
    match u16::try_from(answer) {
        Ok(0) => Ok(()),
        Ok(number) => Err(Errno(number)),
        Err(_) => panic!("a call answered {answer}, which is no error number"),
    }
}

/// The address of `value` in this guest's memory.
pub fn address_of<T: ?Sized>(value: &T) -> u32 {
    std::ptr::from_ref(value).cast::<u8>() as usize as u32
}

/// The address of `value`, for the host to write to.
pub fn address_of_mut<T: ?Sized>(value: &mut T) -> u32 {
    std::ptr::from_mut(value).cast::<u8>() as usize as u32
}
