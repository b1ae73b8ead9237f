use super::*;
use crate::io::{block_on, own_reactor};
use crate::ready::interrupting;
use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Waker};

/// A socket as the reactor has it, the same to read from, and the other end.
fn pair() -> std::io::Result<(Arc<AsyncFd>, UnixStream, UnixStream)> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    let reactor = own_reactor().map_err(std::io::Error::other)?;
    let io = AsyncFd::with(&reactor, Arc::new(OwnedFd::from(near.try_clone()?)));
    Ok((io, near, far))
}

fn read(mut near: &UnixStream) -> Poll<usize> {
    match near.read(&mut [0; 8]) {
        Ok(count) => Poll::Ready(count),
        Err(_) => Poll::Pending,
    }
}

#[test]
fn a_receive_that_likely_waits_sleeps_first() -> std::io::Result<()> {
    let (io, near, mut far) = pair()?;
    far.write_all(b"news")?;
    // By the guess, and where somebody has just looked.
    for (is_slow, has_looked, waits) in [(false, false, false), (true, false, true), (false, true, true)] {
        io.note_slow(is_slow);
        let tries = Cell::new(0);
        let attempt = || {
            tries.set(tries.get() + 1);
            // The first finds nothing, where it does not sleep before.
            if waits || tries.get() > 1 { read(&near) } else { Poll::Pending }
        };
        assert_eq!(block_on(receiving(&io, None, attempt, has_looked)), Ok(Ok(4)));
        assert_eq!(tries.get(), if waits { 1 } else { 2 });
        far.write_all(b"more")?;
    }
    Ok(())
}

#[test]
fn its_time_ends() -> std::io::Result<()> {
    let (io, near, _far) = pair()?;
    io.note_slow(true);
    let begun = Instant::now();
    let limit = Duration::from_millis(20);
    let ended = block_on(receiving(&io, Some(limit), || read(&near), false));
    assert_eq!(ended, Ok(Err(Errno::EAGAIN)));
    assert!(begun.elapsed() >= limit);
    Ok(())
}

/// A poll clears before it polls, and leaves what it found.
#[tokio::test]
async fn cleared_readiness_is_found() -> std::io::Result<()> {
    let (io, near, mut far) = pair()?;
    far.write_all(b"news")?;
    assert_eq!(io.ready(Events::READ).await, Ok(()));
    assert!(io.is_registered());
    io.clear_ready(Events::READ);
    io.note_slow(true);
    let received =
        tokio::time::timeout(Duration::from_secs(20), receiving(&io, None, || read(&near), false)).await;
    assert_eq!(received, Ok(Ok(4)));
    Ok(())
}

#[test]
fn what_is_there_comes_before_an_interruption() -> std::io::Result<()> {
    for (there, expected) in [("", Err(Errno::EINTR)), ("news", Ok(4))] {
        let (io, near, mut far) = pair()?;
        far.write_all(there.as_bytes())?;
        io.note_slow(true);
        let mut wait = pin!(receiving(&io, None, || read(&near), false));
        let mut context = Context::from_waker(Waker::noop());
        let polled = interrupting(Errno::EINTR, || wait.as_mut().poll(&mut context));
        assert_eq!(polled, Poll::Ready(expected));
    }
    Ok(())
}
