//! The first of two futures.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// What was done first.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits for the first of two; `first` where both are done.
///
/// # Cancel safety
///
/// That of both. The other one goes on where the caller left it.
pub(crate) async fn either<A, B>(
    mut first: Pin<&mut impl Future<Output = A>>,
    mut second: Pin<&mut impl Future<Output = B>>,
) -> Either<A, B> {
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Either::First(done)),
        Poll::Pending => second.as_mut().poll(context).map(Either::Second),
    })
    .await
}
