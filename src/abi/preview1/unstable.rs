//! Snapshot 0, `wasi_unstable`: where it differs from preview 1.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::preview1_fd::Preview1Fd;
use super::bindings::types;
use super::bindings::unstable::Unstable;
use super::poll::Layout;
use crate::abi::call::Call;
use crate::error::Error;

impl Unstable for Call<'_> {
    fn fd_filestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        ret_stat: GuestPtr<types::UnstableFilestat>,
    ) -> Result<(), Error> {
        self.fd_stat_as(memory, fd, ret_stat)
    }

    fn fd_seek(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        offset: i64,
        whence: u32,
    ) -> Result<u64, Error> {
        // From here, from the end, from the start: one further round in preview 1.
        let whence = match whence {
            0 => 1,
            1 => 2,
            2 => 0,
            unknown => unknown,
        };
        Preview1Fd::fd_seek(self, memory, fd, offset, whence)
    }

    fn path_filestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        flags: u32,
        path: GuestPtr<[u8]>,
        ret_stat: GuestPtr<types::UnstableFilestat>,
    ) -> Result<(), Error> {
        self.path_stat_as(memory, fd, flags, path, ret_stat)
    }

    fn poll_oneoff(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: GuestPtr<types::UnstableSubscription>,
        events: GuestPtr<types::Event>,
        nsubscriptions: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        self.poll_each(memory, Layout::Unstable, subscriptions, events, nsubscriptions, ret_n)
    }
}

impl From<types::Filestat> for types::UnstableFilestat {
    fn from(stat: types::Filestat) -> Self {
        let types::Filestat { dev, ino, filetype, nlink, size, atim, mtim, ctim } = stat;
        // More links than it can count: as many as it can.
        let nlink = u32::try_from(nlink).unwrap_or(u32::MAX);
        Self { dev, ino, filetype, nlink, size, atim, mtim, ctim }
    }
}
