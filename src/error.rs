//! What a call can answer: an [`Errno`] for the guest, or a [`Trap`] that ends it.
//!
//! Every room speaks these types; only `abi/<dialect>/errno.rs` turns an
//! [`Errno`] into the number that a guest reads. [`Exit`] is how a guest's own
//! wish to end travels through the engine.

use std::fmt;

/// Why a call failed, in the names of POSIX.
///
/// `ENOTCAPABLE` is the one name that POSIX lacks: WASI's answer to a
/// descriptor without the right that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Errno {
    /// Argument list too long.
    E2BIG,
    /// Permission denied.
    EACCES,
    /// Address in use.
    EADDRINUSE,
    /// Address not available.
    EADDRNOTAVAIL,
    /// Address family not supported.
    EAFNOSUPPORT,
    /// Resource unavailable, or operation would block.
    EAGAIN,
    /// Connection already in progress.
    EALREADY,
    /// Bad file descriptor.
    EBADF,
    /// Bad message.
    EBADMSG,
    /// Device or resource busy.
    EBUSY,
    /// Operation canceled.
    ECANCELED,
    /// No child processes.
    ECHILD,
    /// Connection aborted.
    ECONNABORTED,
    /// Connection refused.
    ECONNREFUSED,
    /// Connection reset.
    ECONNRESET,
    /// Resource deadlock would occur.
    EDEADLK,
    /// Destination address required.
    EDESTADDRREQ,
    /// Argument out of domain.
    EDOM,
    /// Quota exceeded.
    EDQUOT,
    /// File exists.
    EEXIST,
    /// Bad address.
    EFAULT,
    /// File too large.
    EFBIG,
    /// Host is unreachable.
    EHOSTUNREACH,
    /// Identifier removed.
    EIDRM,
    /// Illegal byte sequence.
    EILSEQ,
    /// Operation in progress.
    EINPROGRESS,
    /// Interrupted function.
    EINTR,
    /// Invalid argument.
    EINVAL,
    /// I/O error.
    EIO,
    /// Socket is connected.
    EISCONN,
    /// Is a directory.
    EISDIR,
    /// Too many levels of symbolic links.
    ELOOP,
    /// Descriptor table of the guest is full.
    EMFILE,
    /// Too many links.
    EMLINK,
    /// Message too large.
    EMSGSIZE,
    /// Multihop attempted.
    EMULTIHOP,
    /// File name too long.
    ENAMETOOLONG,
    /// Network is down.
    ENETDOWN,
    /// Connection aborted by network.
    ENETRESET,
    /// Network unreachable.
    ENETUNREACH,
    /// Too many files open in the host.
    ENFILE,
    /// No buffer space available.
    ENOBUFS,
    /// No such device.
    ENODEV,
    /// No such file or directory.
    ENOENT,
    /// Executable file format error.
    ENOEXEC,
    /// No locks available.
    ENOLCK,
    /// Link has been severed.
    ENOLINK,
    /// Not enough space.
    ENOMEM,
    /// No message of the desired type.
    ENOMSG,
    /// Protocol option not available.
    ENOPROTOOPT,
    /// No space left on device.
    ENOSPC,
    /// Function not supported.
    ENOSYS,
    /// Socket is not connected.
    ENOTCONN,
    /// Not a directory.
    ENOTDIR,
    /// Directory not empty.
    ENOTEMPTY,
    /// State not recoverable.
    ENOTRECOVERABLE,
    /// Not a socket.
    ENOTSOCK,
    /// Not supported.
    ENOTSUP,
    /// Inappropriate I/O control operation.
    ENOTTY,
    /// No such device or address.
    ENXIO,
    /// Value too large.
    EOVERFLOW,
    /// Previous owner died.
    EOWNERDEAD,
    /// Operation not permitted.
    EPERM,
    /// Broken pipe.
    EPIPE,
    /// Protocol error.
    EPROTO,
    /// Protocol not supported.
    EPROTONOSUPPORT,
    /// Wrong protocol type for socket.
    EPROTOTYPE,
    /// Result too large.
    ERANGE,
    /// Read-only file system.
    EROFS,
    /// Invalid seek.
    ESPIPE,
    /// No such process.
    ESRCH,
    /// Stale file handle.
    ESTALE,
    /// Connection timed out.
    ETIMEDOUT,
    /// Text file busy.
    ETXTBSY,
    /// Cross-device link.
    EXDEV,
    /// Capabilities insufficient.
    ENOTCAPABLE,
}

impl Errno {
    /// The POSIX name, as it stands in a call trace: `EACCES`.
    pub fn name(self) -> &'static str {
        match self {
            Self::E2BIG => "E2BIG",
            Self::EACCES => "EACCES",
            Self::EADDRINUSE => "EADDRINUSE",
            Self::EADDRNOTAVAIL => "EADDRNOTAVAIL",
            Self::EAFNOSUPPORT => "EAFNOSUPPORT",
            Self::EAGAIN => "EAGAIN",
            Self::EALREADY => "EALREADY",
            Self::EBADF => "EBADF",
            Self::EBADMSG => "EBADMSG",
            Self::EBUSY => "EBUSY",
            Self::ECANCELED => "ECANCELED",
            Self::ECHILD => "ECHILD",
            Self::ECONNABORTED => "ECONNABORTED",
            Self::ECONNREFUSED => "ECONNREFUSED",
            Self::ECONNRESET => "ECONNRESET",
            Self::EDEADLK => "EDEADLK",
            Self::EDESTADDRREQ => "EDESTADDRREQ",
            Self::EDOM => "EDOM",
            Self::EDQUOT => "EDQUOT",
            Self::EEXIST => "EEXIST",
            Self::EFAULT => "EFAULT",
            Self::EFBIG => "EFBIG",
            Self::EHOSTUNREACH => "EHOSTUNREACH",
            Self::EIDRM => "EIDRM",
            Self::EILSEQ => "EILSEQ",
            Self::EINPROGRESS => "EINPROGRESS",
            Self::EINTR => "EINTR",
            Self::EINVAL => "EINVAL",
            Self::EIO => "EIO",
            Self::EISCONN => "EISCONN",
            Self::EISDIR => "EISDIR",
            Self::ELOOP => "ELOOP",
            Self::EMFILE => "EMFILE",
            Self::EMLINK => "EMLINK",
            Self::EMSGSIZE => "EMSGSIZE",
            Self::EMULTIHOP => "EMULTIHOP",
            Self::ENAMETOOLONG => "ENAMETOOLONG",
            Self::ENETDOWN => "ENETDOWN",
            Self::ENETRESET => "ENETRESET",
            Self::ENETUNREACH => "ENETUNREACH",
            Self::ENFILE => "ENFILE",
            Self::ENOBUFS => "ENOBUFS",
            Self::ENODEV => "ENODEV",
            Self::ENOENT => "ENOENT",
            Self::ENOEXEC => "ENOEXEC",
            Self::ENOLCK => "ENOLCK",
            Self::ENOLINK => "ENOLINK",
            Self::ENOMEM => "ENOMEM",
            Self::ENOMSG => "ENOMSG",
            Self::ENOPROTOOPT => "ENOPROTOOPT",
            Self::ENOSPC => "ENOSPC",
            Self::ENOSYS => "ENOSYS",
            Self::ENOTCONN => "ENOTCONN",
            Self::ENOTDIR => "ENOTDIR",
            Self::ENOTEMPTY => "ENOTEMPTY",
            Self::ENOTRECOVERABLE => "ENOTRECOVERABLE",
            Self::ENOTSOCK => "ENOTSOCK",
            Self::ENOTSUP => "ENOTSUP",
            Self::ENOTTY => "ENOTTY",
            Self::ENXIO => "ENXIO",
            Self::EOVERFLOW => "EOVERFLOW",
            Self::EOWNERDEAD => "EOWNERDEAD",
            Self::EPERM => "EPERM",
            Self::EPIPE => "EPIPE",
            Self::EPROTO => "EPROTO",
            Self::EPROTONOSUPPORT => "EPROTONOSUPPORT",
            Self::EPROTOTYPE => "EPROTOTYPE",
            Self::ERANGE => "ERANGE",
            Self::EROFS => "EROFS",
            Self::ESPIPE => "ESPIPE",
            Self::ESRCH => "ESRCH",
            Self::ESTALE => "ESTALE",
            Self::ETIMEDOUT => "ETIMEDOUT",
            Self::ETXTBSY => "ETXTBSY",
            Self::EXDEV => "EXDEV",
            Self::ENOTCAPABLE => "ENOTCAPABLE",
        }
    }

    /// The meaning in words, without a full stop.
    pub fn message(self) -> &'static str {
        match self {
            Self::E2BIG => "argument list too long",
            Self::EACCES => "permission denied",
            Self::EADDRINUSE => "address in use",
            Self::EADDRNOTAVAIL => "address not available",
            Self::EAFNOSUPPORT => "address family not supported",
            Self::EAGAIN => "resource unavailable, or operation would block",
            Self::EALREADY => "connection already in progress",
            Self::EBADF => "bad file descriptor",
            Self::EBADMSG => "bad message",
            Self::EBUSY => "device or resource busy",
            Self::ECANCELED => "operation canceled",
            Self::ECHILD => "no child processes",
            Self::ECONNABORTED => "connection aborted",
            Self::ECONNREFUSED => "connection refused",
            Self::ECONNRESET => "connection reset",
            Self::EDEADLK => "resource deadlock would occur",
            Self::EDESTADDRREQ => "destination address required",
            Self::EDOM => "argument out of domain",
            Self::EDQUOT => "quota exceeded",
            Self::EEXIST => "file exists",
            Self::EFAULT => "bad address",
            Self::EFBIG => "file too large",
            Self::EHOSTUNREACH => "host is unreachable",
            Self::EIDRM => "identifier removed",
            Self::EILSEQ => "illegal byte sequence",
            Self::EINPROGRESS => "operation in progress",
            Self::EINTR => "interrupted function",
            Self::EINVAL => "invalid argument",
            Self::EIO => "I/O error",
            Self::EISCONN => "socket is connected",
            Self::EISDIR => "is a directory",
            Self::ELOOP => "too many levels of symbolic links",
            Self::EMFILE => "descriptor table of the guest is full",
            Self::EMLINK => "too many links",
            Self::EMSGSIZE => "message too large",
            Self::EMULTIHOP => "multihop attempted",
            Self::ENAMETOOLONG => "file name too long",
            Self::ENETDOWN => "network is down",
            Self::ENETRESET => "connection aborted by network",
            Self::ENETUNREACH => "network unreachable",
            Self::ENFILE => "too many files open in the host",
            Self::ENOBUFS => "no buffer space available",
            Self::ENODEV => "no such device",
            Self::ENOENT => "no such file or directory",
            Self::ENOEXEC => "executable file format error",
            Self::ENOLCK => "no locks available",
            Self::ENOLINK => "link has been severed",
            Self::ENOMEM => "not enough space",
            Self::ENOMSG => "no message of the desired type",
            Self::ENOPROTOOPT => "protocol option not available",
            Self::ENOSPC => "no space left on device",
            Self::ENOSYS => "function not supported",
            Self::ENOTCONN => "socket is not connected",
            Self::ENOTDIR => "not a directory",
            Self::ENOTEMPTY => "directory not empty",
            Self::ENOTRECOVERABLE => "state not recoverable",
            Self::ENOTSOCK => "not a socket",
            Self::ENOTSUP => "not supported",
            Self::ENOTTY => "inappropriate I/O control operation",
            Self::ENXIO => "no such device or address",
            Self::EOVERFLOW => "value too large",
            Self::EOWNERDEAD => "previous owner died",
            Self::EPERM => "operation not permitted",
            Self::EPIPE => "broken pipe",
            Self::EPROTO => "protocol error",
            Self::EPROTONOSUPPORT => "protocol not supported",
            Self::EPROTOTYPE => "wrong protocol type for socket",
            Self::ERANGE => "result too large",
            Self::EROFS => "read-only file system",
            Self::ESPIPE => "invalid seek",
            Self::ESRCH => "no such process",
            Self::ESTALE => "stale file handle",
            Self::ETIMEDOUT => "connection timed out",
            Self::ETXTBSY => "text file busy",
            Self::EXDEV => "cross-device link",
            Self::ENOTCAPABLE => "capabilities insufficient",
        }
    }

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
            Os::HOSTUNREACH => Self::EHOSTUNREACH,
            Os::IDRM => Self::EIDRM,
            Os::ILSEQ => Self::EILSEQ,
            Os::INPROGRESS => Self::EINPROGRESS,
            Os::INTR => Self::EINTR,
            Os::INVAL => Self::EINVAL,
            Os::IO => Self::EIO,
            Os::ISCONN => Self::EISCONN,
            Os::ISDIR => Self::EISDIR,
            Os::LOOP => Self::ELOOP,
            Os::MFILE => Self::EMFILE,
            Os::MLINK => Self::EMLINK,
            Os::MSGSIZE => Self::EMSGSIZE,
            Os::MULTIHOP => Self::EMULTIHOP,
            Os::NAMETOOLONG => Self::ENAMETOOLONG,
            Os::NETDOWN => Self::ENETDOWN,
            Os::NETRESET => Self::ENETRESET,
            Os::NETUNREACH => Self::ENETUNREACH,
            Os::NFILE => Self::ENFILE,
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
            // One number with ENOTSUP on Linux, two elsewhere.
            #[cfg(not(target_os = "linux"))]
            Os::OPNOTSUPP => Self::ENOTSUP,
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

/// A guest's fault that no error number can answer: it ends the guest.
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
    /// Answered to the guest.
    Errno(Errno),
    /// Ends the guest.
    Trap(Trap),
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Trap> for Error {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

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
