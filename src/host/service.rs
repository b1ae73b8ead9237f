//! A service, as an embedder has it.

use std::sync::Arc;

use super::WasockCtx;
use super::builder::BuildError;
use super::connection_options::ConnectionOptions;
use super::supervision::{Options, Supervision};
use super::template::Template;
use crate::service;

/// What outlives the instances of a guest: the policy, the limits, the observer, and with
/// [`WasockCtxBuilder::keep_listeners`](super::WasockCtxBuilder::keep_listeners) the sockets that
/// they listen or receive at.
///
/// Cheap to clone. One of [`Service::builder`] runs its instances by itself: see
/// [`run`](Self::run), [`reload`](Self::reload) and [`drain`](Self::drain). Else each context has one, and
/// a context that this one makes is for another instance of the same service, which may run while
/// earlier ones do.
///
/// An instance that binds to the address of a held listener gets that very socket, as long as
/// no live instance in the same place (its generation and worker) has it. So clients that connect
/// between two instances wait in the queue, and none is refused. One that listens at a port of
/// the host's choice gets the port that the instance before it had.
#[derive(Clone)]
pub struct Service {
    template: Template,
    supervision: Arc<Supervision>,
}

impl WasockCtx {
    /// The service that this context is an instance of.
    pub fn service(&self) -> Service {
        Service { template: Template::of(self), supervision: Arc::default() }
    }
}

impl Service {
    /// One whose instances are supervised so.
    pub(super) fn supervised(
        template: Template,
        options: Options,
        connections: Option<ConnectionOptions>,
    ) -> Self {
        Self { template, supervision: Arc::new(Supervision::new(options, connections)) }
    }

    pub(super) fn supervision(&self) -> &Supervision {
        &self.supervision
    }

    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    pub(super) fn inner(&self) -> &Arc<service::ServiceState> {
        &self.template.service
    }

    /// A context for the first instance of the next generation. While an earlier generation
    /// lives, what the new one sets on held sockets (options, the backlog) takes effect when it
    /// is [ready](super::Handle::ready).
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn next_generation(&self) -> Result<WasockCtx, BuildError> {
        self.context(self.inner().next_generation())
    }

    /// A context for one more worker of the newest generation: an instance that listens at the
    /// same sockets. `number` tells it from the others of its generation, of which the first one
    /// is 0.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn worker(&self, number: u32) -> Result<WasockCtx, BuildError> {
        self.context(self.inner().worker(number))
    }

    /// How many sockets are held.
    pub fn held_listeners(&self) -> usize {
        self.inner().held_count()
    }

    /// Holds no listener any more: those that no instance has open are closed, and clients that
    /// wait there are reset. The others close with their instances.
    pub fn release_listeners(&self) {
        self.inner().let_go();
    }

    /// A context for this instance.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub(super) fn context(&self, instance: service::Instance) -> Result<WasockCtx, BuildError> {
        self.template.context(instance).map_err(BuildError::of)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("held_listeners", &self.held_listeners()).finish_non_exhaustive()
    }
}
