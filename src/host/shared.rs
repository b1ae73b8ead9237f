//! What is left of sockets that others have too.

use crate::socket::put_back_all;

/// Restores shared sockets to the mode in which they were inherited, and prevents guests of this process
/// from accepting from them any more.
///
/// For an embedder that ends its process while contexts are there still, by
/// [`std::process::exit`] for instance: a listener from which a guest has accepted is
/// nonblocking for all its owners, until the guest closes it or its context is dropped.
/// See [`WasockCtxBuilder::preopened_socket`](super::WasockCtxBuilder::preopened_socket).
pub fn restore_shared_sockets() {
    put_back_all();
}
