//! How the guest's code, and its calls of the host, are run.

use wasmtime::{AsContextMut, Instance, InstancePre, TypedFunc, WasmParams, WasmResults};

/// How a store runs its guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallMode {
    /// On a fiber. A call that waits is a future, and whoever polls the guest goes on meanwhile.
    Async,
    /// On the stack of an embedder's thread. A call that waits stops that.
    Blocking,
    /// On the stack of a thread that is the guest's own, inside of the reactor for its waits. A call
    /// that waits parks it.
    OwnThread,
}

/// What a function is called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Enters the guest's code, where none of it runs.
    Entry,
    /// A handler or a destructor, maybe in the midst of the guest's code.
    Callback,
}

impl CallMode {
    /// Makes the instance of a store.
    ///
    /// # Errors
    ///
    /// Those of [`InstancePre::instantiate`].
    pub(super) async fn instantiate<T: Send + 'static>(
        self,
        pre: &InstancePre<T>,
        store: impl AsContextMut<Data = T> + Send,
    ) -> wasmtime::Result<Instance> {
        match self {
            Self::Async => pre.instantiate_async(store).await,
            Self::Blocking | Self::OwnThread => pre.instantiate(store),
        }
    }

    /// Calls a function of the guest's.
    ///
    /// A callback on the guest's own thread runs on a fiber: a handler that interrupts running code needs it,
    /// and a store that has had one takes no other call. It waits for nothing there but on the spot.
    ///
    /// # Errors
    ///
    /// Those of [`TypedFunc::call`].
    pub(super) async fn call<P: WasmParams + Sync, R: WasmResults + Sync>(
        self,
        store: impl AsContextMut<Data: Send> + Send,
        function: &TypedFunc<P, R>,
        parameters: P,
        role: Role,
    ) -> wasmtime::Result<R> {
        match (self, role) {
            (Self::Async, _) | (Self::OwnThread, Role::Callback) => {
                function.call_async(store, parameters).await
            }
            (Self::Blocking, _) | (Self::OwnThread, Role::Entry) => function.call(store, parameters),
        }
    }
}
