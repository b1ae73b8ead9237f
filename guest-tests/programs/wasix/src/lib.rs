//! The calls of `wasix_32v1` and of preview 1, for the guests of the tests.
//!
//! [`raw`] holds the imports with bare numbers; the functions of [`socket`],
//! [`poll`] and [`descriptor`] give them types, without hiding a value that a
//! test may want to get wrong. [`check_eq!`] is how a guest reports.
//!
//! The same functions exist over Linux's own calls, where it has such a call. A
//! program that needs no others compiles natively too, and shows what the kernel
//! does where the host answers a guest.

pub mod check;
pub mod descriptor;
#[cfg(target_os = "wasi")]
pub mod ends;
pub mod errno;
#[cfg(target_os = "wasi")]
pub mod file;
#[cfg(target_os = "wasi")]
pub mod kind;
#[cfg(target_os = "wasi")]
pub mod message;
#[cfg(target_os = "wasi")]
pub mod multicast;
#[cfg(not(target_os = "wasi"))]
mod native;
pub mod poll;
#[cfg(all(target_os = "wasi", not(feature = "front")))]
pub mod process;
#[cfg(target_os = "wasi")]
pub mod raw;
#[cfg(target_os = "wasi")]
pub mod resolve;
#[cfg(target_os = "wasi")]
pub mod signal;
pub mod socket;
#[cfg(target_os = "wasi")]
pub mod unix;
#[cfg(target_os = "wasi")]
pub mod wait;
#[cfg(target_os = "wasi")]
mod wasi;

pub use errno::Errno;

/// A descriptor's number.
pub type Fd = u32;

/// The outcome of a call.
pub type Result<T> = std::result::Result<T, Errno>;

/// Are the calls those of WASIX? Else they are those of another dialect, and what it has no call for answers
/// `ENOSYS`, what it has no option for `ENOPROTOOPT`.
pub const IS_WASIX: bool = !cfg!(feature = "front");

/// What a call made, or nothing where the dialect lacks the call.
pub fn if_there<T>(made: Result<T>) -> Option<T> {
    match made {
        Err(errno::ENOSYS) if !IS_WASIX => None,
        made => Some(check_ok!(made)),
    }
}

/// What an option is, or nothing where the dialect lacks the option.
pub fn if_known<T>(asked: Result<T>) -> Option<T> {
    match asked {
        Err(errno::ENOPROTOOPT) if !IS_WASIX => None,
        asked => Some(check_ok!(asked)),
    }
}

/// Turns the number that a call answered into an outcome.
#[cfg(target_os = "wasi")]
pub fn outcome(answer: i32) -> Result<()> {
    match u16::try_from(answer) {
        Ok(0) => Ok(()),
        Ok(number) => Err(Errno(number)),
        Err(_) => panic!("a call answered {answer}, which is no error number"),
    }
}

/// The address of `value` in this guest's memory.
#[cfg(target_os = "wasi")]
pub fn address_of<T: ?Sized>(value: &T) -> u32 {
    std::ptr::from_ref(value).cast::<u8>() as usize as u32
}

/// The address of `value`, for the host to write to.
#[cfg(target_os = "wasi")]
pub fn address_of_mut<T: ?Sized>(value: &mut T) -> u32 {
    std::ptr::from_mut(value).cast::<u8>() as usize as u32
}
