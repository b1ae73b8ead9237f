//! `wasi_unstable` where it differs from preview 1; the library below this program
//! speaks preview 1, so one program uses both. A folder is at descriptor 3.

use wasix::descriptor::{self, REGULAR_FILE};
use wasix::errno::*;
use wasix::file::{self, CREAT, EXCL};
use wasix::poll::{ABSTIME, CLOCK, Event, FD_READ, FD_WRITE, MONOTONIC, REALTIME, now};
use wasix::raw::unstable as raw;
use wasix::socket::IoVec;
use wasix::{Fd, Result, address_of, address_of_mut, check, check_eq, check_ok, outcome, socket};

const ROOT: Fd = 3;
const LONG: u64 = 20_000_000_000;

/// 56 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct FileStat {
    dev: u64,
    ino: u64,
    filetype: u8,
    nlink: u32,
    size: u64,
    atim: u64,
    mtim: u64,
    ctim: u64,
    /// What the host must not write to.
    behind: u64,
}

const _: () = assert!(std::mem::offset_of!(FileStat, nlink) == 20);
const _: () = assert!(std::mem::offset_of!(FileStat, behind) == 56);

/// 56 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
struct Subscription {
    userdata: u64,
    tag: u8,
    /// A clock has an identifier here; a descriptor is its low half.
    identifier: u64,
    id: u32,
    timeout: u64,
    precision: u64,
    flags: u16,
}

const _: () = assert!(size_of::<Subscription>() == 56);

impl Subscription {
    /// What means nothing holds what could be a descriptor, or a clock.
    fn clock(id: u32, timeout: u64, flags: u16, userdata: u64) -> Self {
        Self { userdata, tag: CLOCK, identifier: 0x0bad_0000_0000_0bad, id, timeout, precision: 0, flags }
    }

    fn descriptor(tag: u8, fd: Fd, userdata: u64) -> Self {
        let identifier = 0xffff_ffff_0000_0000 | u64::from(fd);
        Self { userdata, tag, identifier, id: 0xbad, timeout: 7, precision: 7, flags: 7 }
    }
}

fn main() {
    let fd = check_ok!(file::open(ROOT, "file", CREAT | EXCL, 0));
    seeks(fd);
    statistics(fd);
    check_ok!(outcome(unsafe { raw::fd_close(fd) }));
    // One table of descriptors.
    check_eq!(descriptor::close(fd), Err(EBADF));
    check_ok!(file::unlink(ROOT, "file"));
    polls();
}

fn seek(fd: Fd, delta: i64, whence: u32) -> Result<u64> {
    let mut position = u64::MAX;
    outcome(unsafe { raw::fd_seek(fd, delta as u64, whence, address_of_mut(&mut position)) })?;
    Ok(position)
}

fn seeks(fd: Fd) {
    let (iovs, mut written) = ([IoVec::writing(b"0123456789")], 0u32);
    let at = address_of_mut(&mut written);
    check_ok!(outcome(unsafe { raw::fd_write(fd, address_of(&iovs), 1, at) }));
    check_eq!(written, 10);
    const CURRENT: u32 = 0;
    const END: u32 = 1;
    const START: u32 = 2;
    for (delta, whence, position) in [(-3, CURRENT, 7), (-4, END, 6), (2, START, 2), (0, CURRENT, 2)] {
        check_eq!(seek(fd, delta, whence), Ok(position), "{delta} from {whence}");
        check_eq!(file::tell(fd), Ok(position));
    }
    check_eq!(seek(fd, -1, START), Err(EINVAL));
    for unknown in [3, 4, u32::MAX] {
        check_eq!(seek(fd, 0, unknown), Err(EINVAL));
    }
    // Asking where it is needs no right to go elsewhere.
    check_ok!(descriptor::drop_rights(fd, descriptor::right::FD_SEEK));
    check_eq!(seek(fd, 0, CURRENT), Ok(2));
    check_eq!(seek(fd, 0, END), Err(ENOTCAPABLE));
}

fn statistics(fd: Fd) {
    check_ok!(file::link(ROOT, "file", "second"));
    let mine = check_ok!(file::stat(fd));
    let unwritten = FileStat {
        dev: 0,
        ino: 0,
        filetype: 0,
        nlink: 0,
        size: 0,
        atim: 0,
        mtim: 0,
        ctim: 0,
        behind: 0xaaaa_aaaa_aaaa_aaaa,
    };
    let (mut by_descriptor, mut by_name) = (unwritten, unwritten);
    check_ok!(outcome(unsafe { raw::fd_filestat_get(fd, address_of_mut(&mut by_descriptor)) }));
    let (name, at) = (address_of("file".as_bytes()), address_of_mut(&mut by_name));
    check_ok!(outcome(unsafe { raw::path_filestat_get(ROOT, 0, name, 4, at) }));
    for stat in [by_descriptor, by_name] {
        check_eq!((stat.filetype, stat.nlink, stat.size), (REGULAR_FILE, 2, 10));
        check_eq!((stat.dev, stat.ino), (mine.dev, mine.ino));
        check_eq!((stat.atim, stat.mtim, stat.ctim), (mine.atim, mine.mtim, mine.ctim));
        check_eq!(stat.behind, unwritten.behind);
    }
    check_ok!(file::unlink(ROOT, "second"));
    let at = address_of_mut(&mut by_name);
    check_eq!(outcome(unsafe { raw::fd_filestat_get(900, at) }), Err(EBADF));
}

fn poll(subscriptions: &[Subscription]) -> Result<Vec<Event>> {
    let mut events = vec![Event::default(); subscriptions.len()];
    let mut count = 0u32;
    let (from, to) = (address_of(subscriptions), address_of_mut(events.as_mut_slice()));
    let at = address_of_mut(&mut count);
    outcome(unsafe { raw::poll_oneoff(from, to, subscriptions.len() as u32, at) })?;
    events.truncate(count as usize);
    Ok(events)
}

fn polls() {
    // Each field of a clock lies where this snapshot has it.
    let start = check_ok!(now(MONOTONIC));
    let events = check_ok!(poll(&[
        Subscription::clock(REALTIME, LONG, 0, 1),
        Subscription::clock(MONOTONIC, 5_000_000, 0, 2),
    ]));
    check_eq!(events.len(), 1);
    check_eq!((events[0].userdata, events[0].kind, events[0].error), (2, CLOCK, 0));
    check!(check_ok!(now(MONOTONIC)) - start >= 5_000_000, "a clock that fired early");
    let soon = check_ok!(now(REALTIME)) + 1_000_000;
    let events = check_ok!(poll(&[Subscription::clock(REALTIME, soon, ABSTIME, 3)]));
    check_eq!(events[0].userdata, 3);
    check!(check_ok!(now(REALTIME)) >= soon, "a clock that fired early");
    check_eq!(poll(&[Subscription::clock(9, 0, 0, 0)]).map(drop), Err(EINVAL));
    check_eq!(poll(&[]).map(drop), Err(EINVAL));

    let (listener, _) = check_ok!(socket::listener());
    let (near, far) = check_ok!(socket::connected(listener));
    check_eq!(descriptor::write(far, b"hello"), Ok(5));
    let events = check_ok!(poll(&[
        Subscription::clock(MONOTONIC, LONG, 0, 4),
        Subscription::descriptor(FD_READ, listener, 5),
        Subscription::descriptor(FD_READ, near, 6),
    ]));
    check_eq!(events.len(), 1);
    check_eq!((events[0].userdata, events[0].kind), (6, FD_READ));
    check!(events[0].nbytes >= 1, "nothing to read");
    let events = check_ok!(poll(&[Subscription::descriptor(FD_WRITE, near, 7)]));
    check_eq!((events[0].userdata, events[0].kind, events[0].error), (7, FD_WRITE, 0));
    let events = check_ok!(poll(&[Subscription::descriptor(FD_READ, 900, 8)]));
    check_eq!((events[0].userdata, events[0].error), (8, EBADF.0));
}
