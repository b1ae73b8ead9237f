//! Waiting: `poll(2)` and the clocks, in the words of `poll_oneoff`.

use super::outcome;
use crate::poll::{CLOCK, Event, FD_READ, HANGUP, MONOTONIC, REALTIME, Subscription};
use crate::{Result, errno};
use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, c_int, c_short, pollfd};

/// Waits, and says how many of `events` are filled in. Clocks are relative here.
pub fn poll_into(subscriptions: &[Subscription], events: &mut [Event]) -> Result<usize> {
    assert!(events.len() >= subscriptions.len(), "space for every event");
    let mut fds: Vec<pollfd> = subscriptions.iter().map(entry).collect();
    let clocks = subscriptions.iter().filter(|subscription| subscription.tag == CLOCK);
    let shortest = clocks.map(|clock| clock.timeout).min();
    let timeout_ms = shortest.map_or(-1, |timeout| timeout.div_ceil(1_000_000) as c_int);
    // SAFETY: the entries are as many as said.
    let ready = outcome(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) })?;

    let mut count = 0;
    for (subscription, fd) in subscriptions.iter().zip(&fds) {
        let event = match subscription.tag {
            CLOCK if ready == 0 && Some(subscription.timeout) == shortest => Event::default(),
            CLOCK => continue,
            _ if fd.revents == 0 => continue,
            _ => happened(fd),
        };
        events[count] = Event { userdata: subscription.userdata, kind: subscription.tag, ..event };
        count += 1;
    }
    Ok(count)
}

/// A negative number is no descriptor: the entry of a clock is passed over.
fn entry(subscription: &Subscription) -> pollfd {
    let (fd, events) = match subscription.tag {
        CLOCK => (-1, 0),
        FD_READ => (subscription.fd_or_clock as c_int, POLLIN | POLLRDHUP),
        _ => (subscription.fd_or_clock as c_int, POLLOUT),
    };
    pollfd { fd, events, revents: 0 }
}

fn happened(fd: &pollfd) -> Event {
    if fd.revents & POLLNVAL != 0 {
        return Event { error: errno::EBADF.0, ..Event::default() };
    }
    let gone: c_short = POLLERR | POLLHUP | POLLRDHUP;
    let flags = if fd.revents & gone != 0 { HANGUP } else { 0 };
    let nbytes = if fd.events & POLLIN != 0 { readable_bytes(fd.fd) } else { 1 };
    Event { flags, nbytes, ..Event::default() }
}

/// How much can be read at once; 1 for a listener, which has no bytes but a
/// connection.
fn readable_bytes(fd: c_int) -> u64 {
    let mut bytes: c_int = 0;
    // SAFETY: the request writes one number.
    match outcome(unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut bytes) }) {
        Ok(_) => bytes as u64,
        Err(_) => 1,
    }
}

/// The time of a clock, in nanoseconds.
pub fn now(id: u32) -> Result<u64> {
    let clock = match id {
        REALTIME => libc::CLOCK_REALTIME,
        MONOTONIC => libc::CLOCK_MONOTONIC,
        _ => return Err(errno::EINVAL),
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one time.
    outcome(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
