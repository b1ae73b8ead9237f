//! What a descriptor may be used for.

use std::ops::{BitAnd, BitOr};

use crate::error::Errno;

/// A set of rights, numbered as WASI preview 1 numbers them; the bits from 30 on
/// are WASIX's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Rights(u64);

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Rights {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }
    };
}

rights! {
    /// `fd_datasync`.
    FD_DATASYNC = 0;
    /// `fd_read`, and `sock_recv` as preview 1 sees it.
    FD_READ = 1;
    /// `fd_seek`.
    FD_SEEK = 2;
    /// `fd_fdstat_set_flags`, and the time limits of a socket's calls: whether and how long
    /// calls wait.
    FD_FDSTAT_SET_FLAGS = 3;
    /// `fd_sync`.
    FD_SYNC = 4;
    /// `fd_tell`.
    FD_TELL = 5;
    /// `fd_write`.
    FD_WRITE = 6;
    /// `fd_advise`.
    FD_ADVISE = 7;
    /// `fd_allocate`.
    FD_ALLOCATE = 8;
    /// `path_create_directory`.
    PATH_CREATE_DIRECTORY = 9;
    /// `path_open` with the create flag.
    PATH_CREATE_FILE = 10;
    /// `path_link` from here.
    PATH_LINK_SOURCE = 11;
    /// `path_link` to here.
    PATH_LINK_TARGET = 12;
    /// `path_open`.
    PATH_OPEN = 13;
    /// `fd_readdir`.
    FD_READDIR = 14;
    /// `path_readlink`.
    PATH_READLINK = 15;
    /// `path_rename` from here.
    PATH_RENAME_SOURCE = 16;
    /// `path_rename` to here.
    PATH_RENAME_TARGET = 17;
    /// `path_filestat_get`.
    PATH_FILESTAT_GET = 18;
    /// `path_open` with the truncate flag.
    PATH_FILESTAT_SET_SIZE = 19;
    /// `path_filestat_set_times`.
    PATH_FILESTAT_SET_TIMES = 20;
    /// `fd_filestat_get`.
    FD_FILESTAT_GET = 21;
    /// `fd_filestat_set_size`.
    FD_FILESTAT_SET_SIZE = 22;
    /// `fd_filestat_set_times`.
    FD_FILESTAT_SET_TIMES = 23;
    /// `path_symlink`.
    PATH_SYMLINK = 24;
    /// `path_remove_directory`.
    PATH_REMOVE_DIRECTORY = 25;
    /// `path_unlink_file`.
    PATH_UNLINK_FILE = 26;
    /// `poll_oneoff` for reading or writing.
    POLL_FD_READWRITE = 27;
    /// `sock_shutdown`.
    SOCK_SHUTDOWN = 28;
    /// `sock_accept`.
    SOCK_ACCEPT = 29;
    /// `sock_connect`.
    SOCK_CONNECT = 30;
    /// `sock_listen`.
    SOCK_LISTEN = 31;
    /// `sock_bind`, and whatever else decides what a socket is rather than what it carries: its
    /// options, and the groups of multicast that it is in.
    SOCK_BIND = 32;
    /// `sock_recv`.
    SOCK_RECV = 33;
    /// `sock_send`.
    SOCK_SEND = 34;
    /// `sock_addr_local`.
    SOCK_ADDR_LOCAL = 35;
    /// `sock_addr_peer`.
    SOCK_ADDR_REMOTE = 36;
    /// `sock_recv_from`.
    SOCK_RECV_FROM = 37;
    /// `sock_send_to`.
    SOCK_SEND_TO = 38;
}

impl Rights {
    /// No rights.
    pub const NONE: Self = Self(0);

    /// What a socket of `sock_open` and of accept may do.
    pub const SOCKET: Self = Self(
        Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_READ.0
            | Self::FD_WRITE.0
            | Self::POLL_FD_READWRITE.0
            | Self::SOCK_SHUTDOWN.0
            | Self::SOCK_ACCEPT.0
            | Self::SOCK_CONNECT.0
            | Self::SOCK_LISTEN.0
            | Self::SOCK_BIND.0
            | Self::SOCK_RECV.0
            | Self::SOCK_SEND.0
            | Self::SOCK_ADDR_LOCAL.0
            | Self::SOCK_ADDR_REMOTE.0
            | Self::SOCK_RECV_FROM.0
            | Self::SOCK_SEND_TO.0,
    );

    /// What a listener may do that the guest did not open: accept, wait, and be looked
    /// at, its address included; whether it waits is each program's own affair. It may listen
    /// again: programs do that when they are configured to listen and inherit the listener.
    pub const INHERITED_LISTENER: Self = Self(
        Self::SOCK_ACCEPT.0
            | Self::SOCK_LISTEN.0
            | Self::SOCK_ADDR_LOCAL.0
            | Self::SOCK_ADDR_REMOTE.0
            | Self::POLL_FD_READWRITE.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FDSTAT_SET_FLAGS.0,
    );

    /// What a connection or a datagram socket may do that the guest did not open: carry
    /// data, end, wait and be looked at. Its addresses and its options are settled.
    pub const INHERITED_DATA: Self = Self(
        Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_READ.0
            | Self::FD_WRITE.0
            | Self::POLL_FD_READWRITE.0
            | Self::SOCK_SHUTDOWN.0
            | Self::SOCK_RECV.0
            | Self::SOCK_SEND.0
            | Self::SOCK_ADDR_LOCAL.0
            | Self::SOCK_ADDR_REMOTE.0
            | Self::SOCK_RECV_FROM.0
            | Self::SOCK_SEND_TO.0,
    );

    /// What an epoll may do.
    pub const EPOLL: Self =
        Self(Self::FD_FDSTAT_SET_FLAGS.0 | Self::FD_FILESTAT_GET.0 | Self::POLL_FD_READWRITE.0);

    /// What a standard stream, a pipe and an event descriptor may do.
    pub const STDIO: Self = Self(
        Self::FD_READ.0
            | Self::FD_WRITE.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_FILESTAT_GET.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// What an open regular file may do.
    pub const FILE: Self = Self(
        Self::FD_DATASYNC.0
            | Self::FD_READ.0
            | Self::FD_SEEK.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_SYNC.0
            | Self::FD_TELL.0
            | Self::FD_WRITE.0
            | Self::FD_ADVISE.0
            | Self::FD_ALLOCATE.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FILESTAT_SET_SIZE.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// What an open directory may do.
    pub const DIRECTORY: Self = Self(
        Self::FD_DATASYNC.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_SYNC.0
            | Self::PATH_CREATE_DIRECTORY.0
            | Self::PATH_CREATE_FILE.0
            | Self::PATH_LINK_SOURCE.0
            | Self::PATH_LINK_TARGET.0
            | Self::PATH_OPEN.0
            | Self::FD_READDIR.0
            | Self::PATH_READLINK.0
            | Self::PATH_RENAME_SOURCE.0
            | Self::PATH_RENAME_TARGET.0
            | Self::PATH_FILESTAT_GET.0
            | Self::PATH_FILESTAT_SET_SIZE.0
            | Self::PATH_FILESTAT_SET_TIMES.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::PATH_SYMLINK.0
            | Self::PATH_REMOVE_DIRECTORY.0
            | Self::PATH_UNLINK_FILE.0,
    );

    /// The rights that descriptors below a preopened directory may inherit.
    pub const DIRECTORY_INHERITING: Self = Self(Self::DIRECTORY.0 | Self::FILE.0);

    /// The rights that these bits name; unknown bits are kept, so that a
    /// program reads back what it set.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits, as a guest reads them.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The rights of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Are all of `other` in this set?
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// # Errors
    ///
    /// `ENOTCAPABLE` where one of `needed` is missing.
    pub fn require(self, needed: Self) -> Result<(), Errno> {
        if self.contains(needed) { Ok(()) } else { Err(Errno::ENOTCAPABLE) }
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
