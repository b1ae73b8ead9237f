use super::*;
use std::collections::VecDeque;
use std::io;

use tokio::io::ReadBuf;
use wasmtime_wasi::cli::IsTerminal;

/// Reports each of these once, and has nothing in between.
#[derive(Clone)]
struct Script(VecDeque<Option<io::ErrorKind>>);

impl IsTerminal for Script {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Script {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0.pop_front() {
            Some(Some(error)) => Poll::Ready(Err(error.into())),
            Some(None) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn an_end_that_was_polled_is_there_to_be_read() {
    let input = Input::new(&Script([None].into()));
    for _ in 0..3 {
        assert_eq!(input.look(), Events::IN.or(Events::HUP));
    }
    assert_eq!(input.read(false, &mut [0; 4]).await, Ok(0));
    // A terminal goes on after its end.
    assert_eq!(input.read(false, &mut [0; 4]).await, Err(Errno::EAGAIN));
}

#[tokio::test]
async fn an_error_that_was_polled_is_there_to_be_read() {
    let input = Input::new(&Script([Some(io::ErrorKind::BrokenPipe)].into()));
    assert_eq!((input.look(), input.look()), (Events::IN, Events::IN));
    assert_eq!(input.read(false, &mut [0; 4]).await, Err(Errno::EPIPE));
    assert_eq!(input.read(false, &mut [0; 4]).await, Err(Errno::EAGAIN));
}
