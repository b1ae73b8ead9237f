//! Snapshot 0, `wasi_unstable`: where it differs from preview 1.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::preview1_fd::Preview1Fd;
use super::bindings::preview1_path::Preview1Path;
use super::bindings::types;
use super::bindings::unstable::Unstable;
use super::poll::CLOCK;
use crate::error::Error;
use crate::process::Thread;

impl Unstable for Thread {
    async fn fd_filestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
    ) -> Result<types::UnstableFilestat, Error> {
        Ok(Preview1Fd::fd_filestat_get(self, memory, fd).await?.into())
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

    async fn path_filestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: u32,
        flags: u32,
        path: GuestPtr<[u8]>,
    ) -> Result<types::UnstableFilestat, Error> {
        Ok(Preview1Path::path_filestat_get(self, memory, fd, flags, path).await?.into())
    }

    async fn poll_oneoff(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: GuestPtr<types::UnstableSubscription>,
        events: GuestPtr<types::Event>,
        nsubscriptions: u32,
    ) -> Result<u32, Error> {
        self.poll_each(memory, subscriptions, events, nsubscriptions).await
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

impl From<types::UnstableSubscription> for types::Subscription {
    fn from(old: types::UnstableSubscription) -> Self {
        // A descriptor lies where a clock has its identifier.
        let descriptor = u32::try_from(old.identifier & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self {
            userdata: old.userdata,
            tag: old.tag,
            reserved: 0,
            id: if old.tag == CLOCK { old.id } else { descriptor },
            timeout: old.timeout,
            precision: old.precision,
            flags: old.flags,
        }
    }
}
