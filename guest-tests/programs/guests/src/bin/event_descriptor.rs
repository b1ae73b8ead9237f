//! Event descriptors: a counter that is read, written and waited for.

use wasix::descriptor::*;
use wasix::errno::*;
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::wait::{SEMAPHORE, event};
use wasix::{Fd, Result, check_eq, check_ok};

const NONBLOCKING: u32 = NONBLOCK;
const MOST: u64 = u64::MAX - 1;

fn take(fd: Fd) -> Result<u64> {
    let mut word = [0; 8];
    check_eq!(read(fd, &mut word)?, 8);
    Ok(u64::from_le_bytes(word))
}

fn give(fd: Fd, count: u64) -> Result<()> {
    check_eq!(write(fd, &count.to_le_bytes())?, 8);
    Ok(())
}

/// Is it ready to be read, and to be written?
fn ready(fd: Fd) -> (bool, bool) {
    let now = Subscription::clock(MONOTONIC, 0, 3);
    let events = check_ok!(poll(&[Subscription::read(fd, 1), Subscription::write(fd, 2), now]));
    let has = |userdata| events.iter().any(|event| event.userdata == userdata && event.error == 0);
    (has(1), has(2))
}

fn main() {
    counts();
    semaphores();
    edges();
    bad_input();
    shared_by_duplicates();
}

fn counts() {
    let fd = check_ok!(event(3, NONBLOCKING));
    check_eq!(check_ok!(fdstat(fd)).flags, NONBLOCK as u16);
    check_eq!(check_ok!(fdstat(fd)).filetype, 0);
    check_eq!(ready(fd), (true, true));
    check_eq!(take(fd), Ok(3));
    check_eq!(ready(fd), (false, true));
    check_eq!(take(fd), Err(EAGAIN));
    for count in [1, 0, 41] {
        check_ok!(give(fd, count));
    }
    check_eq!(take(fd), Ok(42));
    // Several words in one write are each added.
    let words: Vec<u8> = [5_u64, 6, 7].iter().flat_map(|word| word.to_le_bytes()).collect();
    check_eq!(write(fd, &words), Ok(24));
    check_eq!(take(fd), Ok(18));
    // A blocking one waits for nothing where there is something.
    let fd = check_ok!(event(1, 0));
    check_eq!(take(fd), Ok(1));
    check_ok!(give(fd, 9));
    check_eq!(take(fd), Ok(9));
}

fn semaphores() {
    let fd = check_ok!(event(2, SEMAPHORE | NONBLOCKING));
    check_eq!(take(fd), Ok(1));
    check_eq!(ready(fd), (true, true));
    check_eq!(take(fd), Ok(1));
    check_eq!(take(fd), Err(EAGAIN));
    check_ok!(give(fd, 3));
    for _ in 0..3 {
        check_eq!(take(fd), Ok(1));
    }
    check_eq!(ready(fd), (false, true));
}

fn edges() {
    let fd = check_ok!(event(MOST, NONBLOCKING));
    check_eq!(ready(fd), (true, false));
    check_eq!(give(fd, 1), Err(EAGAIN));
    check_ok!(give(fd, 0));
    check_eq!(take(fd), Ok(MOST));
    check_ok!(give(fd, MOST - 1));
    check_eq!(give(fd, 2), Err(EAGAIN));
    check_ok!(give(fd, 1));
    check_eq!(take(fd), Ok(MOST));
    check_eq!(give(fd, u64::MAX), Err(EINVAL));
    check_eq!(ready(fd), (false, true));
    check_eq!(event(u64::MAX, 0), Err(EINVAL));
}

fn bad_input() {
    for flags in [2, 8, 1 << 15, 1 << 16, u32::MAX] {
        check_eq!(event(0, flags), Err(EINVAL), "flags {flags:#x}");
    }
    let fd = check_ok!(event(1, NONBLOCKING));
    check_eq!(read(fd, &mut [0; 7]), Err(EINVAL));
    check_eq!(write(fd, &[0; 7]), Err(EINVAL));
    check_eq!(read(fd, &mut [0; 20]), Ok(8));
    check_ok!(give(fd, 1));
    check_ok!(drop_rights(fd, right::FD_WRITE));
    check_eq!(write(fd, &[0; 8]), Err(ENOTCAPABLE));
    check_ok!(drop_rights(fd, right::FD_READ));
    check_eq!(take(fd), Err(ENOTCAPABLE));
}

fn shared_by_duplicates() {
    let fd = check_ok!(event(0, NONBLOCKING));
    let twin = check_ok!(dup(fd));
    check_ok!(give(fd, 4));
    check_ok!(close(fd));
    check_eq!(take(twin), Ok(4));
    check_ok!(close(twin));
    check_eq!(take(twin), Err(EBADF));
}
