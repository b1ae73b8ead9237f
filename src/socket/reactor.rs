//! Which tokio runtime drives a socket.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// The runtime of the caller, or else one of our own with a single thread.
///
/// An async embedder's sockets live on the embedder's runtime. A blocking embedder,
/// and one whose executor is not tokio's, has none: the first socket then starts
/// the thread that all such sockets share.
///
/// # Panics
///
/// Where the host can't start a single thread; nothing that a guest does leads
/// there later, as the runtime is made once.
pub fn reactor() -> Handle {
    Handle::try_current().unwrap_or_else(|_| own_runtime().handle().clone())
}

/// The runtime for blocking embedders, whatever runtime the caller may be inside.
pub(crate) fn own_reactor() -> Handle {
    own_runtime().handle().clone()
}

fn own_runtime() -> &'static Runtime {
    static OWN: OnceLock<Runtime> = OnceLock::new();
    OWN.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("wasock-reactor").enable_all().build();
        #[expect(clippy::expect_used, reason = "a host that can't start one thread can't run a guest at all")]
        runtime.expect("the reactor thread starts")
    })
}
