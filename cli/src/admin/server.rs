//! Connections of operators: bounded in number, in size and in time.

use std::convert::Infallible;
use std::io;
use std::net;
use std::os::unix::net as unix;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::places::{Places, Taken};
use super::routes::{State, answer};

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection lives, but for the time that the service needs for a request.
const LIFE: Duration = Duration::from_secs(15);

/// How many bytes the head of a request has at most, and how many fields.
const MOST_HEAD: usize = 16 * 1024;
const MOST_FIELDS: usize = 64;

/// How long it waits where the host has no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What accepts connections.
pub(super) enum Accepts {
    Unix(UnixListener),
    Inet(TcpListener),
}

impl Accepts {
    /// Inside of a runtime.
    pub(super) fn unix(listener: unix::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener).map(Self::Unix)
    }

    pub(super) fn inet(listener: net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::Inet)
    }
}

/// Answers for ever.
pub(super) async fn serve(accepts: Accepts, state: State) {
    let (state, places) = (Arc::new(state), Arc::new(Places::default()));
    loop {
        places.wait_for_one().await;
        let accepted = match &accepts {
            Accepts::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(talk(stream, Arc::clone(&state), places.take()));
            }),
            Accepts::Inet(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(talk(stream, Arc::clone(&state), places.take()));
            }),
        };
        if accepted.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// An answer that is on its way.
struct Answering;

/// How many there are.
static ANSWERING: AtomicUsize = AtomicUsize::new(0);

impl Answering {
    fn begin() -> Self {
        ANSWERING.fetch_add(1, SeqCst);
        Self
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        ANSWERING.fetch_sub(1, SeqCst);
    }
}

/// Waits until the answers have arrived that are on their way, for `limit` at most: that of the order to end, for one.
pub(super) fn wait_for_answers(limit: Duration) {
    let begun = Instant::now();
    while ANSWERING.load(SeqCst) > 0 && begun.elapsed() < limit {
        thread::sleep(Duration::from_millis(2));
    }
}

/// Answers one request.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send, state: Arc<State>, taken: Taken) {
    let place = &taken.place;
    // From the request on until the connection ends.
    let answering = OnceLock::new();
    let service = service_fn(|request| {
        answering.get_or_init(Answering::begin);
        let (state, place) = (Arc::clone(&state), Arc::clone(place));
        async move { Ok::<_, Infallible>(answer(&state, request, &place).await) }
    });
    let mut serving = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MOST_HEAD)
            .max_headers(MOST_FIELDS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    loop {
        tokio::select! {
            // What is wrong with a client is for the client to know.
            _ended = serving.as_mut() => return,
            () = place.gives_way() => return,
            () = tokio::time::sleep(LIFE) => {
                if !place.is_waiting() {
                    return;
                }
            }
        }
    }
}
