//! Answers `ENOSYS` to every call, until the dialects are written.

use crate::abi::preview1::bindings::types as preview1;
use crate::abi::wasix::bindings::types as wasix;
use crate::error::{Errno, Error};
use crate::process::Thread;
use wiggle::{GuestMemory, GuestPtr};

impl crate::abi::preview1::bindings::preview1_environment::Preview1Environment for Thread {
    fn args_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _argv: GuestPtr<GuestPtr<u8>>,
        _argv_buf: GuestPtr<u8>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn args_sizes_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
    ) -> Result<(preview1::Size, preview1::Size), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn environ_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _environ: GuestPtr<GuestPtr<u8>>,
        _environ_buf: GuestPtr<u8>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn environ_sizes_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
    ) -> Result<(preview1::Size, preview1::Size), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::preview1::bindings::preview1_clock::Preview1Clock for Thread {
    fn clock_res_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _id: preview1::Clockid,
    ) -> Result<preview1::Timestamp, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn clock_time_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _id: preview1::Clockid,
        _precision: preview1::Timestamp,
    ) -> Result<preview1::Timestamp, Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::preview1::bindings::preview1_fd::Preview1Fd for Thread {
    fn fd_advise(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _offset: preview1::Filesize,
        _len: preview1::Filesize,
        _advice: u32,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_allocate(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _offset: preview1::Filesize,
        _len: preview1::Filesize,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_close(&mut self, _memory: &mut GuestMemory<'_>, _fd: preview1::Fd) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_datasync(&mut self, _memory: &mut GuestMemory<'_>, _fd: preview1::Fd) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_fdstat_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
    ) -> Result<preview1::Fdstat, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_fdstat_set_flags(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _flags: preview1::Fdflags,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_fdstat_set_rights(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _fs_rights_base: preview1::Rights,
        _fs_rights_inheriting: preview1::Rights,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_filestat_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
    ) -> Result<preview1::Filestat, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_filestat_set_size(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _size: preview1::Filesize,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_filestat_set_times(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _atim: preview1::Timestamp,
        _mtim: preview1::Timestamp,
        _fst_flags: preview1::Fstflags,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_pread(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _iovs: preview1::IovecArray,
        _offset: preview1::Filesize,
    ) -> Result<preview1::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_prestat_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
    ) -> Result<preview1::Prestat, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_prestat_dir_name(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _path: GuestPtr<u8>,
        _path_len: preview1::Size,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_pwrite(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _iovs: preview1::CiovecArray,
        _offset: preview1::Filesize,
    ) -> Result<preview1::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_read(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _iovs: preview1::IovecArray,
    ) -> Result<preview1::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_readdir(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _buf: GuestPtr<u8>,
        _buf_len: preview1::Size,
        _cookie: preview1::Dircookie,
    ) -> Result<preview1::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_renumber(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _to: preview1::Fd,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_seek(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _offset: preview1::Filedelta,
        _whence: u32,
    ) -> Result<preview1::Filesize, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_sync(&mut self, _memory: &mut GuestMemory<'_>, _fd: preview1::Fd) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_tell(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
    ) -> Result<preview1::Filesize, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn fd_write(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _iovs: preview1::CiovecArray,
    ) -> Result<preview1::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::preview1::bindings::preview1_path::Preview1Path for Thread {
    async fn path_create_directory(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _path: preview1::Path,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn path_filestat_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _flags: preview1::Lookupflags,
        _path: preview1::Path,
    ) -> Result<preview1::Filestat, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn path_filestat_set_times(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _flags: preview1::Lookupflags,
        _path: preview1::Path,
        _atim: preview1::Timestamp,
        _mtim: preview1::Timestamp,
        _fst_flags: preview1::Fstflags,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn path_link(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _old_fd: preview1::Fd,
        _old_flags: preview1::Lookupflags,
        _old_path: preview1::Path,
        _new_fd: preview1::Fd,
        _new_path: preview1::Path,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn path_open(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _dirflags: preview1::Lookupflags,
        _path: preview1::Path,
        _oflags: preview1::Oflags,
        _fs_rights_base: preview1::Rights,
        _fs_rights_inheriting: preview1::Rights,
        _fdflags: preview1::Fdflags,
        _ret_fd: GuestPtr<preview1::Fd>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn path_readlink(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _path: preview1::Path,
        _buf: GuestPtr<u8>,
        _buf_len: preview1::Size,
    ) -> Result<preview1::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn path_remove_directory(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _path: preview1::Path,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn path_rename(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _old_path: preview1::Path,
        _new_fd: preview1::Fd,
        _new_path: preview1::Path,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn path_symlink(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _old_path: preview1::Path,
        _fd: preview1::Fd,
        _new_path: preview1::Path,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn path_unlink_file(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _path: preview1::Path,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::preview1::bindings::preview1_poll::Preview1Poll for Thread {
    async fn poll_oneoff(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _subscriptions: GuestPtr<preview1::Subscription>,
        _events: GuestPtr<preview1::Event>,
        _nsubscriptions: preview1::Size,
    ) -> Result<preview1::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::preview1::bindings::preview1_process::Preview1Process for Thread {
    fn proc_exit(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _code: preview1::Exitcode,
    ) -> wiggle::error::Error {
        wiggle::error::Error::from(crate::error::Exit(_code))
    }
    fn proc_raise(&mut self, _memory: &mut GuestMemory<'_>, _sig: preview1::Signal) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn sched_yield(&mut self, _memory: &mut GuestMemory<'_>) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::preview1::bindings::preview1_random::Preview1Random for Thread {
    fn random_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _buf: GuestPtr<u8>,
        _buf_len: preview1::Size,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::preview1::bindings::preview1_socket::Preview1Socket for Thread {
    async fn sock_accept(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _flags: preview1::Fdflags,
        _ret_fd: GuestPtr<preview1::Fd>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn sock_recv(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _iovs: preview1::IovecArray,
        _flags: preview1::Riflags,
    ) -> Result<(preview1::Size, preview1::Half), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn sock_send(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _iovs: preview1::CiovecArray,
        _flags: preview1::Siflags,
    ) -> Result<preview1::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_shutdown(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: preview1::Fd,
        _how: preview1::Sdflags,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::wasix::bindings::wasix_socket::WasixSocket for Thread {
    fn sock_open(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _af: u32,
        _socktype: u32,
        _proto: u32,
        _ret_fd: GuestPtr<wasix::Fd>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_bind(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_listen(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _backlog: wasix::Size,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn sock_accept(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _flags: wasix::Fdflags,
        _ret_fd: GuestPtr<wasix::Fd>,
        _addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn sock_accept_v2(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _flags: wasix::Fdflags,
        _ret_fd: GuestPtr<wasix::Fd>,
        _addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn sock_connect(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn sock_recv_from(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _iovs: wasix::IovecArray,
        _flags: wasix::Riflags,
        _ret_n: GuestPtr<wasix::Size>,
        _ret_roflags: GuestPtr<u16>,
        _addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn sock_send_to(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _iovs: wasix::CiovecArray,
        _flags: wasix::Siflags,
        _addr: GuestPtr<u8>,
    ) -> Result<wasix::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn sock_send_file(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _out_fd: wasix::Fd,
        _in_fd: wasix::Fd,
        _offset: wasix::Filesize,
        _count: wasix::Filesize,
    ) -> Result<wasix::Filesize, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_status(&mut self, _memory: &mut GuestMemory<'_>, _fd: wasix::Fd) -> Result<wasix::Byte, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_addr_local(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_addr_peer(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _addr: GuestPtr<u8>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::wasix::bindings::wasix_option::WasixOption for Thread {
    fn sock_set_opt_flag(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _opt: u32,
        _flag: u32,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_get_opt_flag(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _opt: u32,
    ) -> Result<wasix::Byte, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_set_opt_time(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _opt: u32,
        _timeout: GuestPtr<wasix::OptionTimestamp>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_get_opt_time(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _opt: u32,
        _timeout: GuestPtr<wasix::OptionTimestamp>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_set_opt_size(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _opt: u32,
        _size: wasix::Filesize,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn sock_get_opt_size(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _opt: u32,
    ) -> Result<wasix::Filesize, Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::wasix::bindings::wasix_fd::WasixFd for Thread {
    fn fd_dup(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _ret_fd: GuestPtr<wasix::Fd>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_dup2(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _min_fd: wasix::Fd,
        _cloexec: u32,
        _ret_fd: GuestPtr<wasix::Fd>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_renumber(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _to: wasix::Fd,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_fdflags_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
    ) -> Result<wasix::Half, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn fd_fdflags_set(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _flags: wasix::Fdflagsext,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::wasix::bindings::wasix_path::WasixPath for Thread {
    async fn path_open2(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _fd: wasix::Fd,
        _dirflags: wasix::Lookupflags,
        _path: wasix::Path,
        _oflags: wasix::Oflags,
        _fs_rights_base: wasix::Rights,
        _fs_rights_inheriting: wasix::Rights,
        _fdflags: wasix::Fdflags,
        _fdflagsext: wasix::Fdflagsext,
        _ret_fd: GuestPtr<wasix::Fd>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn getcwd(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _path: GuestPtr<u8>,
        _path_len: GuestPtr<wasix::Size>,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn chdir(&mut self, _memory: &mut GuestMemory<'_>, _path: wasix::Path) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::wasix::bindings::wasix_clock::WasixClock for Thread {
    fn clock_time_set(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _id: wasix::Clockid,
        _time: wasix::Timestamp,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::wasix::bindings::wasix_tty::WasixTty for Thread {
    fn tty_get(&mut self, _memory: &mut GuestMemory<'_>, _state: GuestPtr<wasix::Tty>) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn tty_set(&mut self, _memory: &mut GuestMemory<'_>, _state: GuestPtr<wasix::Tty>) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::wasix::bindings::wasix_resolve::WasixResolve for Thread {
    async fn resolve(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _host: GuestPtr<str>,
        _port: u32,
        _addrs: GuestPtr<u8>,
        _naddrs: wasix::Size,
    ) -> Result<wasix::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::wasix::bindings::wasix_thread::WasixThread for Thread {
    fn thread_id(&mut self, _memory: &mut GuestMemory<'_>) -> Result<wasix::Tid, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn thread_sleep(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _duration: wasix::Timestamp,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn thread_parallelism(&mut self, _memory: &mut GuestMemory<'_>) -> Result<wasix::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn thread_local_create(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _user_data: u64,
    ) -> Result<wasix::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn thread_local_destroy(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _key: wasix::Size,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn thread_local_set(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _key: wasix::Size,
        _value: u64,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn thread_local_get(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _key: wasix::Size,
    ) -> Result<wasix::Filesize, Error> {
        Err(Errno::ENOSYS.into())
    }
    async fn futex_wait(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _futex: GuestPtr<u32>,
        _expected: u32,
        _timeout: GuestPtr<wasix::OptionTimestamp>,
    ) -> Result<wasix::Byte, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn futex_wake(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _futex: GuestPtr<u32>,
    ) -> Result<wasix::Byte, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn futex_wake_all(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _futex: GuestPtr<u32>,
    ) -> Result<wasix::Byte, Error> {
        Err(Errno::ENOSYS.into())
    }
}

impl crate::abi::wasix::bindings::wasix_process::WasixProcess for Thread {
    fn proc_exit2(&mut self, _memory: &mut GuestMemory<'_>, _code: wasix::Exitcode) -> wiggle::error::Error {
        wiggle::error::Error::from(crate::error::Exit(_code))
    }
    fn proc_id(&mut self, _memory: &mut GuestMemory<'_>) -> Result<wasix::Pid, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn proc_parent(&mut self, _memory: &mut GuestMemory<'_>, _pid: wasix::Pid) -> Result<wasix::Pid, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn proc_signals_sizes_get(&mut self, _memory: &mut GuestMemory<'_>) -> Result<wasix::Size, Error> {
        Err(Errno::ENOSYS.into())
    }
    fn proc_signals_get(&mut self, _memory: &mut GuestMemory<'_>, _buf: GuestPtr<u8>) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn callback_signal(&mut self, _memory: &mut GuestMemory<'_>, _name: GuestPtr<str>) {}
    fn thread_signal(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _tid: wasix::Tid,
        _sig: wasix::Signal,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn proc_signal(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _pid: wasix::Pid,
        _sig: wasix::Signal,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
    fn proc_raise_interval(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _sig: wasix::Signal,
        _interval: wasix::Timestamp,
        _repeat: u32,
    ) -> Result<(), Error> {
        Err(Errno::ENOSYS.into())
    }
}
