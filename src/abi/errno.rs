//! From the host's [`Errno`] to the number that a guest reads.
//!
//! Every dialect so far has the numbers of preview 1, which ends at 76 (`notcapable`); WAMR has no others. Of
//! the higher ones, those of WASIX are errors that the host does not have, and those of WasmEdge are of
//! one call, `sock_getaddrinfo`.

use super::preview1;
use crate::error::{Errno, Error, Exit, LookUpError, Replaced};

/// The number as a core function returns it.
pub(crate) fn number(errno: Errno) -> i32 {
    u16::from(preview1::Number::from(errno)).into()
}

/// What a call returns that has ended so.
///
/// # Errors
///
/// The trap of the call, which ends the guest.
pub(crate) fn answer(ended: Result<(), Error>) -> wasmtime::Result<i32> {
    match ended {
        Ok(()) => Ok(0),
        Err(Error::Errno(errno)) => Ok(number(errno)),
        Err(Error::LookUp(error)) => Ok(look_up_number(error)),
        Err(Error::Trap(trap)) => Err(trap.into()),
        Err(Error::Ended(code)) => Err(Exit(code).into()),
        Err(Error::Replaced) => Err(Replaced.into()),
        // A waiting half waits by itself.
        Err(Error::Wait) => Ok(number(Errno::EIO)),
    }
}

/// The numbers that WasmEdge has for what `getaddrinfo` returns.
fn look_up_number(error: LookUpError) -> i32 {
    match error {
        LookUpError::Again => 78,
        LookUpError::BadFlags => 79,
        LookUpError::Fail => 80,
        LookUpError::Family => 81,
        LookUpError::Memory => 82,
        LookUpError::NoName => 84,
        LookUpError::Service => 85,
        LookUpError::SockType => 86,
    }
}

/// What the trace calls a number that `sock_getaddrinfo` has returned, where that is one of its own.
pub(crate) fn look_up_name(number: usize) -> Option<&'static str> {
    const FIRST: usize = 77;
    const NAMES: [&str; 11] = [
        "EAI_ADDRFAMILY",
        "EAI_AGAIN",
        "EAI_BADFLAGS",
        "EAI_FAIL",
        "EAI_FAMILY",
        "EAI_MEMORY",
        "EAI_NODATA",
        "EAI_NONAME",
        "EAI_SERVICE",
        "EAI_SOCKTYPE",
        "EAI_SYSTEM",
    ];
    NAMES.get(number.checked_sub(FIRST)?).copied()
}

/// Gives the error numbers that wiggle made of a dialect's witx their meaning.
macro_rules! error_numbers {
    ($types:ident) => {
        impl $types::UserErrorConversion for crate::abi::call::Call<'_> {
            /// A [`Trap`](crate::error::Trap) becomes an error of the engine, which ends the guest.
            fn errno_from_error(
                &mut self,
                error: crate::error::Error,
            ) -> wiggle::error::Result<$types::Errno> {
                match error {
                    crate::error::Error::Errno(errno) => Ok(errno.into()),
                    crate::error::Error::Trap(trap) => Err(trap.into()),
                    crate::error::Error::Ended(code) => Err(crate::error::Exit(code).into()),
                    crate::error::Error::Replaced => Err(crate::error::Replaced.into()),
                    // They are never used: see `abi/call.rs`.
                    crate::error::Error::Wait | crate::error::Error::LookUp(_) => Ok($types::Errno::Success),
                }
            }
        }

        impl From<crate::error::Errno> for $types::Errno {
            fn from(errno: crate::error::Errno) -> Self {
                use crate::error::Errno as E;
                match errno {
                    E::E2BIG => Self::TooBig,
                    E::EACCES => Self::Acces,
                    E::EADDRINUSE => Self::Addrinuse,
                    E::EADDRNOTAVAIL => Self::Addrnotavail,
                    E::EAFNOSUPPORT => Self::Afnosupport,
                    E::EAGAIN => Self::Again,
                    E::EALREADY => Self::Already,
                    E::EBADF => Self::Badf,
                    E::EBADMSG => Self::Badmsg,
                    E::EBUSY => Self::Busy,
                    E::ECANCELED => Self::Canceled,
                    E::ECHILD => Self::Child,
                    E::ECONNABORTED => Self::Connaborted,
                    E::ECONNREFUSED => Self::Connrefused,
                    E::ECONNRESET => Self::Connreset,
                    E::EDEADLK => Self::Deadlk,
                    E::EDESTADDRREQ => Self::Destaddrreq,
                    E::EDOM => Self::Dom,
                    E::EDQUOT => Self::Dquot,
                    E::EEXIST => Self::Exist,
                    E::EFAULT => Self::Fault,
                    E::EFBIG => Self::Fbig,
                    E::EHOSTUNREACH => Self::Hostunreach,
                    E::EIDRM => Self::Idrm,
                    E::EILSEQ => Self::Ilseq,
                    E::EINPROGRESS => Self::Inprogress,
                    E::EINTR => Self::Intr,
                    E::EINVAL => Self::Inval,
                    E::EIO => Self::Io,
                    E::EISCONN => Self::Isconn,
                    E::EISDIR => Self::Isdir,
                    E::ELOOP => Self::Loop,
                    E::EMFILE => Self::Mfile,
                    E::EMLINK => Self::Mlink,
                    E::EMSGSIZE => Self::Msgsize,
                    E::EMULTIHOP => Self::Multihop,
                    E::ENAMETOOLONG => Self::Nametoolong,
                    E::ENETDOWN => Self::Netdown,
                    E::ENETRESET => Self::Netreset,
                    E::ENETUNREACH => Self::Netunreach,
                    E::ENFILE => Self::Nfile,
                    E::ENOBUFS => Self::Nobufs,
                    E::ENODEV => Self::Nodev,
                    E::ENOENT => Self::Noent,
                    E::ENOEXEC => Self::Noexec,
                    E::ENOLCK => Self::Nolck,
                    E::ENOLINK => Self::Nolink,
                    E::ENOMEM => Self::Nomem,
                    E::ENOMSG => Self::Nomsg,
                    E::ENOPROTOOPT => Self::Noprotoopt,
                    E::ENOSPC => Self::Nospc,
                    E::ENOSYS => Self::Nosys,
                    E::ENOTCONN => Self::Notconn,
                    E::ENOTDIR => Self::Notdir,
                    E::ENOTEMPTY => Self::Notempty,
                    E::ENOTRECOVERABLE => Self::Notrecoverable,
                    E::ENOTSOCK => Self::Notsock,
                    E::ENOTSUP => Self::Notsup,
                    E::ENOTTY => Self::Notty,
                    E::ENXIO => Self::Nxio,
                    E::EOVERFLOW => Self::Overflow,
                    E::EOWNERDEAD => Self::Ownerdead,
                    E::EPERM => Self::Perm,
                    E::EPIPE => Self::Pipe,
                    E::EPROTO => Self::Proto,
                    E::EPROTONOSUPPORT => Self::Protonosupport,
                    E::EPROTOTYPE => Self::Prototype,
                    E::ERANGE => Self::Range,
                    E::EROFS => Self::Rofs,
                    E::ESPIPE => Self::Spipe,
                    E::ESRCH => Self::Srch,
                    E::ESTALE => Self::Stale,
                    E::ETIMEDOUT => Self::Timedout,
                    E::ETXTBSY => Self::Txtbsy,
                    E::EXDEV => Self::Xdev,
                    E::ENOTCAPABLE => Self::Notcapable,
                }
            }
        }

        impl wiggle::GuestErrorType for $types::Errno {
            fn success() -> Self {
                Self::Success
            }
        }
    };
}
pub(crate) use error_numbers;
