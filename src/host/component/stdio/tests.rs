//! What the host holds for the streams of a standard output that nobody reads.

use super::*;
use crate::observe::Limit;

/// Takes nothing, and is never ready to.
struct Full;

impl IsTerminal for Full {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Full {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Self)
    }
}

impl AsyncWrite for Full {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn full(memory: usize) -> (Stdout, Arc<Account>) {
    let account = Account::new(Limit::HostMemory, u64::try_from(memory).unwrap_or_default());
    (Stdout(Arc::new(Output::new(&Full)), Arc::clone(&account)), account)
}

fn zeroes(length: usize) -> Bytes {
    vec![0; length].into()
}

#[tokio::test]
async fn a_write_of_more_than_is_permitted_traps() {
    let (stdout, account) = full(100 * CHUNK);
    let mut stream = stdout.p2_stream();
    assert!(matches!(stream.check_write(), Ok(CHUNK)));
    assert!(matches!(stream.write(zeroes(CHUNK + 1)), Err(StreamError::Trap(_))));
    assert_eq!(account.used(), 0);
    assert!(stream.write(zeroes(CHUNK)).is_ok());
    assert!(matches!(stream.check_write(), Ok(0)));
    assert!(stream.write(zeroes(0)).is_ok());
    assert!(matches!(stream.write(zeroes(1)), Err(StreamError::Trap(_))));
}

#[tokio::test]
async fn all_that_waits_to_be_written_is_charged() {
    let (stdout, account) = full(2 * CHUNK);
    let mut streams: Vec<_> = (0..3).map(|_| stdout.p2_stream()).collect();
    let written: Vec<_> = streams.iter_mut().map(|stream| stream.write(zeroes(CHUNK))).collect();
    assert!(matches!(written.as_slice(), [Ok(()), Ok(()), Err(StreamError::LastOperationFailed(_))]));
    assert_eq!(account.left(), 0);
    streams.clear();
    assert_eq!(account.used(), 0);
}
