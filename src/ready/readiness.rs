//! The one loop that makes a try wait.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::coop::consume_budget;

use super::clock::sleep;
use crate::error::Errno;
use crate::socket::{Interest, Registered};

/// Repeats `attempt` until it is ready, sleeping in between until the socket has
/// news.
///
/// `limit` bounds the whole wait; `None` waits for ever, and a limit of zero tries
/// once. `attempt` answers [`Poll::Pending`] where the host said `EAGAIN`.
///
/// # Cancel safety
///
/// As safe as `attempt`: the loop itself holds nothing that could be lost.
///
/// # Errors
///
/// `EAGAIN` where the limit has passed.
pub async fn blocking<T>(
    io: &Registered,
    interest: Interest,
    limit: Option<Duration>,
    mut attempt: impl FnMut() -> Poll<T>,
) -> Result<T, Errno> {
    // A guest that never has to wait still leaves others their turn.
    consume_budget().await;
    // A limit too far away to be written down is none; one of zero needs no clock.
    let deadline = limit.filter(|limit| !limit.is_zero()).and_then(|limit| Instant::now().checked_add(limit));
    loop {
        // Look, forget, sleep: what arrives after the look ends the sleep.
        if let Poll::Ready(done) = io.look(interest, &mut attempt) {
            return Ok(done);
        }
        match (limit, deadline) {
            (Some(Duration::ZERO), _) => return Err(Errno::EAGAIN),
            (_, None) => io.ready(interest).await?,
            (_, Some(deadline)) => ready_before(io, interest, deadline).await?,
        }
    }
}

async fn ready_before(io: &Registered, interest: Interest, deadline: Instant) -> Result<(), Errno> {
    let left = deadline.saturating_duration_since(Instant::now());
    tokio::select! {
        biased;
        ready = io.ready(interest) => ready,
        () = sleep(left) => Err(Errno::EAGAIN),
    }
}

/// Waits for `event`, for as long as `limit` allows; `None` is for ever, and a limit
/// of zero looks once.
///
/// # Cancel safety
///
/// As safe as `event`.
///
/// # Errors
///
/// `EAGAIN` where the limit has passed.
pub async fn within<T>(limit: Option<Duration>, event: impl Future<Output = T>) -> Result<T, Errno> {
    consume_budget().await;
    let mut event = pin!(event);
    match limit {
        None => Ok(event.await),
        Some(Duration::ZERO) => {
            poll_fn(|context| match event.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Ok(done)),
                Poll::Pending => Poll::Ready(Err(Errno::EAGAIN)),
            })
            .await
        }
        Some(limit) => tokio::select! {
            biased;
            done = event => Ok(done),
            () = sleep(limit) => Err(Errno::EAGAIN),
        },
    }
}

/// Lets others run: the reactor, and whatever shares the thread.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
pub async fn give_way() {
    // tokio's own waits for its scheduler, which never comes where a blocking embedder
    // has stopped it.
    let mut has_waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use crate::ready::block_on;
    use crate::socket::own_reactor;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Two connections come with one event, after one thread has looked and before it
    /// sleeps. Another thread looks and takes the first of them: the event is still
    /// there for the one about to sleep.
    #[test]
    fn a_look_of_one_thread_takes_no_wake_up_from_another() -> std::io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let reactor = own_reactor().map_err(|_| std::io::ErrorKind::Other)?;
        let io = Registered::with(&reactor, Arc::new(OwnedFd::from(listener)))
            .map_err(|_| std::io::ErrorKind::Other)?;
        let accept = || match rustix::net::accept(io.host_fd()) {
            Err(rustix::io::Errno::AGAIN) => Poll::Pending,
            taken => Poll::Ready(taken),
        };
        let mut clients = Vec::new();
        let waits = blocking(&io, Interest::Read, Some(PATIENCE), || {
            let found = accept();
            if clients.is_empty() {
                assert!(found.is_pending());
                clients.extend([TcpStream::connect(address), TcpStream::connect(address)]);
                assert_eq!(block_on(io.ready(Interest::Read)), Ok(Ok(())));
                assert!(io.look(Interest::Read, accept).is_ready());
            }
            found
        });
        assert!(matches!(block_on(waits), Ok(Ok(Ok(_)))));
        assert!(accept().is_pending());
        Ok(())
    }
}
