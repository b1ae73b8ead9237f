//! What a call can fail with: an [`Errno`] for the guest, or a [`Trap`] that ends it.
//!
//! Every module uses these types; only `abi/<dialect>/errno.rs` turns an
//! [`Errno`] into the number that a guest reads. [`Exit`] is how a guest's own
//! wish to end travels through the engine.

use std::fmt;
use std::time::Duration;

macro_rules! errnos {
    ($($name:ident: $message:literal,)*) => {
        /// Why a call failed, in the names of POSIX.
        ///
        /// `ENOTCAPABLE` is the one name that POSIX lacks: WASI's error for a
        /// descriptor without the right that a call needs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Errno {
            $(#[doc = $message] $name,)*
        }

        impl Errno {
            /// The POSIX name, as it stands in a call trace: `EACCES`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The meaning in words, without a full stop.
            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)*
                }
            }
        }
    };
}

errnos! {
    E2BIG: "argument list too long",
    EACCES: "permission denied",
    EADDRINUSE: "address in use",
    EADDRNOTAVAIL: "address not available",
    EAFNOSUPPORT: "address family not supported",
    EAGAIN: "resource unavailable, or operation would block",
    EALREADY: "connection already in progress",
    EBADF: "bad file descriptor",
    EBADMSG: "bad message",
    EBUSY: "device or resource busy",
    ECANCELED: "operation canceled",
    ECHILD: "no child processes",
    ECONNABORTED: "connection aborted",
    ECONNREFUSED: "connection refused",
    ECONNRESET: "connection reset",
    EDEADLK: "resource deadlock would occur",
    EDESTADDRREQ: "destination address required",
    EDOM: "argument out of domain",
    EDQUOT: "quota exceeded",
    EEXIST: "file exists",
    EFAULT: "bad address",
    EFBIG: "file too large",
    EHOSTUNREACH: "host is unreachable",
    EIDRM: "identifier removed",
    EILSEQ: "illegal byte sequence",
    EINPROGRESS: "operation in progress",
    EINTR: "interrupted function",
    EINVAL: "invalid argument",
    EIO: "I/O error",
    EISCONN: "socket is connected",
    EISDIR: "is a directory",
    ELOOP: "too many levels of symbolic links",
    EMFILE: "descriptor table of the guest is full",
    EMLINK: "too many links",
    EMSGSIZE: "message too large",
    EMULTIHOP: "multihop attempted",
    ENAMETOOLONG: "file name too long",
    ENETDOWN: "network is down",
    ENETRESET: "connection aborted by network",
    ENETUNREACH: "network unreachable",
    ENFILE: "too many files open in the host",
    ENOBUFS: "no buffer space available",
    ENODEV: "no such device",
    ENOENT: "no such file or directory",
    ENOEXEC: "executable file format error",
    ENOLCK: "no locks available",
    ENOLINK: "link has been severed",
    ENOMEM: "not enough space",
    ENOMSG: "no message of the desired type",
    ENOPROTOOPT: "protocol option not available",
    ENOSPC: "no space left on device",
    ENOSYS: "function not supported",
    ENOTCONN: "socket is not connected",
    ENOTDIR: "not a directory",
    ENOTEMPTY: "directory not empty",
    ENOTRECOVERABLE: "state not recoverable",
    ENOTSOCK: "not a socket",
    ENOTSUP: "not supported",
    ENOTTY: "inappropriate I/O control operation",
    ENXIO: "no such device or address",
    EOVERFLOW: "value too large",
    EOWNERDEAD: "previous owner died",
    EPERM: "operation not permitted",
    EPIPE: "broken pipe",
    EPROTO: "protocol error",
    EPROTONOSUPPORT: "protocol not supported",
    EPROTOTYPE: "wrong protocol type for socket",
    ERANGE: "result too large",
    EROFS: "read-only file system",
    ESPIPE: "invalid seek",
    ESRCH: "no such process",
    ESTALE: "stale file handle",
    ETIMEDOUT: "connection timed out",
    ETXTBSY: "text file busy",
    EXDEV: "cross-device link",
    ENOTCAPABLE: "capabilities insufficient",
}

impl Errno {
    /// Translates an error number of the host's operating system.
    ///
    /// A number that WASI has no name for becomes `EIO`, with one debug line
    /// that gives the raw number, so that nothing is lost to the operator.
    pub fn from_os(os: rustix::io::Errno) -> Self {
        use rustix::io::Errno as Os;
        match os {
            Os::TOOBIG => Self::E2BIG,
            Os::ACCESS => Self::EACCES,
            Os::ADDRINUSE => Self::EADDRINUSE,
            Os::ADDRNOTAVAIL => Self::EADDRNOTAVAIL,
            Os::AFNOSUPPORT => Self::EAFNOSUPPORT,
            Os::AGAIN => Self::EAGAIN,
            Os::ALREADY => Self::EALREADY,
            Os::BADF => Self::EBADF,
            Os::BADMSG => Self::EBADMSG,
            Os::BUSY => Self::EBUSY,
            Os::CANCELED => Self::ECANCELED,
            Os::CHILD => Self::ECHILD,
            Os::CONNABORTED => Self::ECONNABORTED,
            Os::CONNREFUSED => Self::ECONNREFUSED,
            Os::CONNRESET => Self::ECONNRESET,
            Os::DEADLK => Self::EDEADLK,
            Os::DESTADDRREQ => Self::EDESTADDRREQ,
            Os::DOM => Self::EDOM,
            Os::DQUOT => Self::EDQUOT,
            Os::EXIST => Self::EEXIST,
            Os::FAULT => Self::EFAULT,
            Os::FBIG => Self::EFBIG,
            // "EHOSTDOWN: Host is down", "ENONET: Machine is not on the network" - errno(3); POSIX has neither.
            Os::HOSTUNREACH | Os::HOSTDOWN | Os::NONET => Self::EHOSTUNREACH,
            Os::IDRM => Self::EIDRM,
            Os::ILSEQ => Self::EILSEQ,
            Os::INPROGRESS => Self::EINPROGRESS,
            Os::INTR => Self::EINTR,
            Os::INVAL => Self::EINVAL,
            Os::IO => Self::EIO,
            Os::ISCONN => Self::EISCONN,
            Os::ISDIR => Self::EISDIR,
            Os::LOOP => Self::ELOOP,
            // "ENFILE: The maximum allowable number of files is currently open in the system" -
            // open(3p). For a guest this process is the system: EMFILE is its own table.
            Os::MFILE | Os::NFILE => Self::ENFILE,
            Os::MLINK => Self::EMLINK,
            Os::MSGSIZE => Self::EMSGSIZE,
            Os::MULTIHOP => Self::EMULTIHOP,
            Os::NAMETOOLONG => Self::ENAMETOOLONG,
            Os::NETDOWN => Self::ENETDOWN,
            Os::NETRESET => Self::ENETRESET,
            Os::NETUNREACH => Self::ENETUNREACH,
            Os::NOBUFS => Self::ENOBUFS,
            Os::NODEV => Self::ENODEV,
            Os::NOENT => Self::ENOENT,
            Os::NOEXEC => Self::ENOEXEC,
            Os::NOLCK => Self::ENOLCK,
            Os::NOLINK => Self::ENOLINK,
            Os::NOMEM => Self::ENOMEM,
            Os::NOMSG => Self::ENOMSG,
            Os::NOPROTOOPT => Self::ENOPROTOOPT,
            Os::NOSPC => Self::ENOSPC,
            Os::NOSYS => Self::ENOSYS,
            Os::NOTCONN => Self::ENOTCONN,
            Os::NOTDIR => Self::ENOTDIR,
            Os::NOTEMPTY => Self::ENOTEMPTY,
            Os::NOTRECOVERABLE => Self::ENOTRECOVERABLE,
            Os::NOTSOCK => Self::ENOTSOCK,
            Os::NOTSUP => Self::ENOTSUP,
            Os::NOTTY => Self::ENOTTY,
            Os::NXIO => Self::ENXIO,
            Os::OVERFLOW => Self::EOVERFLOW,
            Os::OWNERDEAD => Self::EOWNERDEAD,
            Os::PERM => Self::EPERM,
            Os::PIPE => Self::EPIPE,
            Os::PROTO => Self::EPROTO,
            Os::PROTONOSUPPORT => Self::EPROTONOSUPPORT,
            Os::PROTOTYPE => Self::EPROTOTYPE,
            Os::RANGE => Self::ERANGE,
            Os::ROFS => Self::EROFS,
            Os::SPIPE => Self::ESPIPE,
            Os::SRCH => Self::ESRCH,
            Os::STALE => Self::ESTALE,
            Os::TIMEDOUT => Self::ETIMEDOUT,
            Os::TXTBSY => Self::ETXTBSY,
            Os::XDEV => Self::EXDEV,
            other => {
                tracing::debug!(raw = other.raw_os_error(), "an error of the host without a WASI name");
                Self::EIO
            }
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message(), self.name())
    }
}

impl std::error::Error for Errno {}

impl From<rustix::io::Errno> for Errno {
    fn from(os: rustix::io::Errno) -> Self {
        Self::from_os(os)
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        if let Some(os) = rustix::io::Errno::from_io_error(&error) {
            return Self::from_os(os);
        }
        match error.kind() {
            ErrorKind::NotFound => Self::ENOENT,
            ErrorKind::PermissionDenied => Self::EPERM,
            ErrorKind::AlreadyExists => Self::EEXIST,
            ErrorKind::InvalidInput => Self::EINVAL,
            ErrorKind::WouldBlock => Self::EAGAIN,
            ErrorKind::Interrupted => Self::EINTR,
            ErrorKind::TimedOut => Self::ETIMEDOUT,
            ErrorKind::BrokenPipe | ErrorKind::WriteZero => Self::EPIPE,
            ErrorKind::Unsupported => Self::ENOTSUP,
            ErrorKind::OutOfMemory => Self::ENOMEM,
            _ => {
                tracing::debug!(%error, "an error of the host without a WASI name");
                Self::EIO
            }
        }
    }
}

/// A guest's fault that no error number expresses: it ends the guest.
///
/// For pointers outside the guest's memory and broken invariants, never for a
/// bad argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap(String);

impl Trap {
    /// A trap that reads `message` in the backtrace.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trap {}

/// How a call fails: the one error type of every dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Returned to the guest.
    Errno(Errno),
    /// Ends the guest.
    Trap(Trap),
    /// Returned to the guest by the number that its dialect has for it. Only the waiting half of a call
    /// fails so.
    LookUp(LookUpError),
    /// Ends the guest, with this code.
    Ended(u32),
    /// Another program takes the place of the guest's: no code of this one runs any more.
    Replaced,
    /// Neither: the call waits. What is left to do was given to the layer that called it.
    Wait,
}

/// Why a look-up of addresses fails, by the names of `getaddrinfo` in POSIX. Not every dialect has
/// numbers for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookUpError {
    /// "The name could not be resolved at this time."
    Again,
    /// "The flags had an invalid value."
    BadFlags,
    /// "A non-recoverable error occurred."
    Fail,
    /// "The address family was not recognized or the address length was invalid for the
    /// specified family."
    Family,
    /// "There was a memory allocation failure": here in the list of the guest.
    Memory,
    /// "The name does not resolve for the supplied parameters."
    NoName,
    /// "The service passed was not recognized for the specified socket type."
    Service,
    /// "The intended socket type was not recognized."
    SockType,
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<LookUpError> for Error {
    fn from(error: LookUpError) -> Self {
        Self::LookUp(error)
    }
}

impl From<Trap> for Error {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

/// Why a text that an operator wrote is not what was expected: a [`Grant`](crate::Grant), a
/// [`NamePattern`](crate::NamePattern), a [`Publish`](crate::Publish), a
/// [`ListenProfile`](crate::ListenProfile) or an [`OnTrap`](crate::OnTrap). It says what would be
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(String);

impl ParseError {
    /// One that reads `message`.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

/// The guest asked to end with this exit code.
///
/// It travels through the engine as an error, so that no guest code runs after
/// it; the host turns it back into the status of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest ended with exit code {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// The host ended the guest, for a reason that is not the guest's own.
///
/// [`Guest::run`](crate::Guest::run) then fails with an error that downcasts to this;
/// its `Display` is one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Terminated {
    /// By [`Handle::terminate`](crate::Handle::terminate).
    Order,
    /// It had used this much processor time, which was all that it might use.
    CpuTime(Duration),
    /// It had run for this long, which was as long as it might.
    Timeout(Duration),
    /// A handler of events had run for this long, which was as long as one may. Unlike the others this
    /// is a trap in that handler.
    Handler(Duration),
    /// A thread or a task of the host that did this for the guest has panicked. Without
    /// it the guest would wait forever for work that is never done.
    HostPanic(&'static str),
}

impl Terminated {
    /// The exit code that reports it: 137 as after SIGKILL, 152 as after SIGXCPU, 124 as
    /// timeout(1) has it, 134 as after SIGABRT for a handler, and 70 where the fault is the host's: `EX_SOFTWARE` of
    /// sysexits(3).
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Order => 137,
            Self::CpuTime(_) => 152,
            Self::Timeout(_) => 124,
            Self::Handler(_) => 134,
            Self::HostPanic(_) => 70,
        }
    }
}

impl fmt::Display for Terminated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order => f.write_str("the guest was ended by its operator"),
            Self::CpuTime(limit) => {
                write!(f, "the guest was ended: it has used the {limit:?} of processor time that it may use")
            }
            Self::Timeout(limit) => {
                write!(f, "the guest was ended: it has run for {limit:?}, as long as it may")
            }
            Self::Handler(limit) => {
                write!(f, "a handler of events has run for {limit:?}, as long as it may")
            }
            Self::HostPanic(what) => {
                write!(f, "the guest was ended: the host failed (a panic) while it {what}")
            }
        }
    }
}

impl std::error::Error for Terminated {}

/// Another program takes the place of the guest's.
///
/// It travels through the engine as [`Exit`] does, and reaches no embedder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced;

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another program takes the place of the guest's")
    }
}

impl std::error::Error for Replaced {}

/// The guest jumps back to a place of its stack, and out of all functions that it has called since.
///
/// It travels through the engine as [`Exit`] does, up to the host's call into the guest that made them, and
/// reaches no embedder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// The number of that call.
    pub(crate) activation: u64,
    /// The number of the place.
    pub(crate) checkpoint: u64,
    /// What is returned there.
    pub(crate) value: u64,
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the guest jumped to a place further up its stack")
    }
}

impl std::error::Error for Jump {}

/// A call that mostly does not return has returned: the guest goes on after it.
///
/// It travels from the call to the glue that made it, and no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned;

impl fmt::Display for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call has returned")
    }
}

impl std::error::Error for Returned {}

/// The guest asked to end the calling thread, and it alone.
///
/// It travels through the engine as [`Exit`] does, and reaches no embedder: where the program can have no
/// other thread, the end of its only one is an `Exit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadExit;

impl fmt::Display for ThreadExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a thread of the guest ended")
    }
}

impl std::error::Error for ThreadExit {}
