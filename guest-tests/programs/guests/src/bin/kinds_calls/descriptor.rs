//! The calls of any descriptor, on a socket.

use crate::way::{Call, Tried, arrives, carries, done, ensure, expect};
use wasix::descriptor::*;
use wasix::errno::*;
use wasix::kind::Kind;
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::socket::*;
use wasix::{Fd, Result, check_ok, file, wait};

#[rustfmt::skip]
pub const CALLS: &[Call] = &[
    Call { name: "fd_read", make: fd_read },
    Call { name: "fd_write", make: fd_write },
    Call { name: "fd_close", make: fd_close },
    Call { name: "fd_dup", make: |kind| is_the_same(kind, dup) },
    Call { name: "fd_dup2", make: fd_dup2 },
    Call { name: "fd_renumber", make: fd_renumber },
    Call { name: "fd_fdstat_get", make: fd_fdstat_get },
    Call { name: "fd_fdstat_set_flags", make: fd_fdstat_set_flags },
    Call { name: "fd_fdstat_set_rights", make: fd_fdstat_set_rights },
    Call { name: "fd_fdflags_get", make: fd_fdflags },
    Call { name: "fd_fdflags_set", make: fd_fdflags },
    Call { name: "fd_filestat_get", make: fd_filestat_get },
    Call { name: "poll_oneoff", make: poll_oneoff },
    Call { name: "epoll_ctl", make: epoll_ctl },
    Call { name: "epoll_wait", make: |kind| refuses(kind, |fd| wait::wait(fd, 1, 0)) },
    Call { name: "fd_advise", make: |kind| refuses(kind, |fd| file::advise(fd, 0, 1, 0)) },
    Call { name: "fd_allocate", make: |kind| refuses(kind, |fd| file::allocate(fd, 0, 1)) },
    Call { name: "fd_datasync", make: |kind| refuses(kind, file::datasync) },
    Call { name: "fd_filestat_set_size", make: |kind| refuses(kind, |fd| file::set_size(fd, 0)) },
    Call { name: "fd_filestat_set_times", make: |kind| refuses(kind, |fd| file::set_times(fd, 0, 0, 0)) },
    Call { name: "fd_pread", make: |kind| refuses(kind, |fd| file::pread(fd, &mut [0; 1], 0)) },
    Call { name: "fd_prestat_get", make: |kind| refuses(kind, prestat) },
    Call { name: "fd_pwrite", make: |kind| refuses(kind, |fd| file::pwrite(fd, b"x", 0)) },
    Call { name: "fd_readdir", make: |kind| refuses(kind, |fd| file::readdir(fd, &mut [0; 64], 0)) },
    Call { name: "fd_seek", make: |kind| refuses(kind, |fd| file::seek(fd, 0, file::SET)) },
    Call { name: "fd_sync", make: |kind| refuses(kind, file::sync) },
    Call { name: "fd_tell", make: |kind| refuses(kind, file::tell) },
    Call { name: "path_filestat_get", make: |kind| refuses(kind, |fd| file::path_stat(fd, 0, "x")) },
    Call { name: "path_open", make: |kind| refuses(kind, |fd| file::open(fd, "x", 0, 0)) },
    Call { name: "path_unlink_file", make: |kind| refuses(kind, |fd| file::unlink(fd, "x")) },
];

/// A call that is for something else: it does no harm.
fn refuses<T>(kind: Kind, call: impl FnOnce(Fd) -> Result<T>) -> Tried {
    let (near, far) = check_ok!(kind.two());
    let told = call(near).map(drop);
    carries(near, far)?;
    carries(far, near)?;
    done([near, far])?;
    Ok(told?)
}

fn fd_read(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    check_ok!(send(near, b"hello", 0));
    let mut buf = [0; 8];
    let count = read(far, &mut buf)?;
    expect("the bytes", &buf[..count], b"hello")?;
    check_ok!(set_nonblocking(far));
    expect("where there is nothing", read(far, &mut buf), Err(EAGAIN))?;
    done([near, far])
}

fn fd_write(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    expect("how much", write(near, b"hello")?, 5)?;
    arrives(far, b"hello")?;
    done([near, far])
}

fn fd_close(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    close(near)?;
    expect("a send", send(near, b"hello", 0), Err(EBADF))?;
    if kind.connects() {
        expect("the end", recv(far, &mut [0; 8], 0), Ok(0))?;
    }
    done([far])
}

/// The copy is the same socket, and remains when the other is closed.
fn is_the_same(kind: Kind, copied: impl FnOnce(Fd) -> Result<Fd>) -> Tried {
    let (near, far) = check_ok!(kind.two());
    let copy = copied(near)?;
    ensure("it has the same number", copy != near)?;
    check_ok!(set_flag(near, option::REUSE_ADDR, true));
    expect("an option of the copy", flag(copy, option::REUSE_ADDR), Ok(true))?;
    done([near])?;
    carries(copy, far)?;
    carries(far, copy)?;
    done([copy, far])
}

fn fd_dup2(kind: Kind) -> Tried {
    const MINIMUM: Fd = 40;
    is_the_same(kind, |fd| {
        let copy = dup2(fd, MINIMUM, false)?;
        if copy == MINIMUM { Ok(copy) } else { Err(ERANGE) }
    })
}

/// As `dup2` of C: what was there is closed.
fn fd_renumber(kind: Kind) -> Tried {
    let (lost, other) = check_ok!(kind.two());
    is_the_same(kind, |fd| renumber_wasix(fd, lost).map(|()| lost))?;
    if kind.connects() {
        expect("the end of the other", recv(other, &mut [0; 8], 0), Ok(0))?;
    }
    done([other])
}

fn fd_fdstat_get(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    for fd in [near, far] {
        let stat = fdstat(fd)?;
        expect("its type", stat.filetype, kind.filetype())?;
        expect("its flags", stat.flags, 0)?;
        ensure("it may not send", stat.rights_base & right::SOCK_SEND != 0)?;
    }
    done([near, far])
}

fn fd_fdstat_set_flags(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    set_flags(near, NONBLOCK)?;
    expect("its flags", fdstat(near).map(|stat| stat.flags), Ok(4))?;
    expect("a recv", recv(near, &mut [0; 8], 0), Err(EAGAIN))?;
    expect("an unknown flag", set_flags(near, 1 << 9), Err(EINVAL))?;
    set_flags(near, 0)?;
    carries(far, near)?;
    done([near, far])
}

fn fd_fdstat_set_rights(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    drop_rights(near, right::SOCK_SEND)?;
    expect("a send", send(near, b"hello", 0), Err(ENOTCAPABLE))?;
    carries(far, near)?;
    done([near, far])
}

fn fd_fdflags(kind: Kind) -> Tried {
    let fd = check_ok!(kind.open());
    for flags in [CLOEXEC, 0] {
        set_fdflags(fd, flags)?;
        expect("what was set", u32::from(fdflags(fd)?), flags)?;
    }
    done([fd])
}

fn fd_filestat_get(kind: Kind) -> Tried {
    let fd = check_ok!(kind.open());
    expect("its type", file::stat(fd)?.filetype, kind.filetype())?;
    done([fd])
}

fn poll_oneoff(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    let (reading, writing) = (Subscription::read(near, 1), Subscription::write(near, 2));
    let at_once = Subscription::clock(MONOTONIC, 0, 3);
    let before = poll(&[reading, writing, at_once])?;
    ensure("it is readable", before.iter().all(|event| event.userdata != 1))?;
    ensure("it is not writable", before.iter().any(|event| event.userdata == 2))?;
    check_ok!(send(far, b"hello", 0));
    let then = poll(&[reading, Subscription::clock(MONOTONIC, wait::LONG, 3)])?;
    expect("what there is", then.first().map(|event| event.userdata), Some(1))?;
    // One that does not wait counts the bytes.
    let then = poll(&[reading, at_once])?;
    expect("how much", then.first().map(|event| (event.userdata, event.nbytes)), Some((1, 5)))?;
    arrives(near, b"hello")?;
    done([near, far])
}

fn epoll_ctl(kind: Kind) -> Tried {
    let (near, far) = check_ok!(kind.two());
    let watch = wait::epoll()?;
    wait::add(watch, near, wait::IN)?;
    expect("added again", wait::add(watch, near, wait::IN), Err(EEXIST))?;
    expect("before", wait::now(watch), Ok(vec![]))?;
    check_ok!(send(far, b"hello", 0));
    expect("then", wait::next(watch), Ok(vec![(near, wait::IN)]))?;
    wait::modify(watch, near, wait::OUT)?;
    expect("room", wait::next(watch), Ok(vec![(near, wait::OUT)]))?;
    wait::remove(watch, near)?;
    expect("afterwards", wait::now(watch), Ok(vec![]))?;
    done([watch, near, far])
}
