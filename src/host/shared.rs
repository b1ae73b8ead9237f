//! What is left of sockets that others have too.

use crate::socket::put_back_all;

/// Puts sockets that others have too into the mode in which they were handed over, and lets
/// no guest of this process accept from them any more.
///
/// For an embedder that ends its process while contexts are there still, by
/// [`std::process::exit`] for instance: a listener from which a guest has accepted is
/// nonblocking for everybody who has it, until the guest closes it or its context is dropped.
/// See [`WasockCtxBuilder::preopened_socket`](super::WasockCtxBuilder::preopened_socket).
pub fn restore_shared_sockets() {
    put_back_all();
}
