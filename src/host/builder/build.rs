//! Makes of what was chosen the contexts of one guest, or of the instances of a service.

use std::sync::Arc;

use wasmtime::Module;

use super::{BuildError, WasockCtxBuilder, preopened};
use crate::host::template::Template;
use crate::host::{OnTrap, WasockCtx};
use crate::process::{HostOutput, InheritedSockets, Output, is_variable};
use crate::service::{Holding, ServiceConfig, ServiceState};
use crate::socket::listen::ConnectionLimiter;

impl WasockCtxBuilder {
    /// The context of a program of this `module`, [adapted](WasockCtx::adapt_to) to what the module
    /// was built for.
    ///
    /// ```
    /// use wasmtime::{Engine, Module, Store};
    /// use wasock::WasockCtx;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, "(module)")?;
    /// let ctx = WasockCtx::builder().listen(&"127.0.0.1:8080".parse()?).build_for(&module)?;
    /// let store = Store::new(&engine, ctx);
    /// # Ok(())
    /// # }
    /// # example().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn build_for(self, module: &Module) -> Result<WasockCtx, BuildError> {
        let mut ctx = self.build_for_any_module()?;
        ctx.adapt_to(module);
        Ok(ctx)
    }

    /// The context of a program whose module is not known yet. [`Guest::run`](crate::Guest::run)
    /// adapts it to its own. In a store with instances of several modules it is for
    /// [`WasockCtx::adapt_to`]; a program of WASIX is not served as it expects without.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn build_for_any_module(self) -> Result<WasockCtx, BuildError> {
        let template = self.template(false)?;
        template.context(template.service.next_generation()).map_err(BuildError::of)
    }

    /// For instances that serve one connection each, of which nothing else may say that it is there.
    ///
    /// # Errors
    ///
    /// [`BuildError::SocketsPerConnection`].
    pub(in crate::host) fn for_connections(mut self) -> Result<Self, BuildError> {
        if !self.settings.inherited_sockets.names().is_empty() {
            return Err(BuildError::SocketsPerConnection);
        }
        self.settings.environment.retain(|assignment| !is_variable(assignment));
        Ok(self)
    }

    /// What contexts are made of, with a service that has no instance yet. Are the preopened sockets
    /// there for more than one instance?
    pub(in crate::host) fn template(mut self, has_many: bool) -> Result<Template, BuildError> {
        let is_restarted = self.on_trap == OnTrap::Restart;
        let mut inherited_sockets = std::mem::take(&mut self.inherited_sockets);
        inherited_sockets.are_kept = has_many || is_restarted;
        inherited_sockets.outlive_instances = has_many;
        // A listener that is held back is one that is held.
        let has_rate = !self.service.accept_rates.is_unlimited();
        if (is_restarted || has_rate) && self.service.held == Holding::Nothing {
            self.service.held = Holding::WhileRunning;
        }
        let adoptable = std::mem::take(&mut self.adoptable);
        let adoptable = adoptable.into_held(&self.settings.directories).map_err(BuildError::Socket)?;
        preopened::grant_adoptable(&mut self.service, &adoptable);
        let preopened = if has_rate || (has_many && self.service.held == Holding::Always) {
            inherited_sockets.listeners_to_hold(&self.settings.directories).map_err(BuildError::Socket)?
        } else {
            Vec::new()
        };
        let limits = self.connection_limits;
        self.template_with(Arc::new(inherited_sockets), |mut config| {
            // Those of a service may change while it runs.
            config.connection_limiter = match has_many {
                true => Some(ConnectionLimiter::changeable(limits)),
                false => ConnectionLimiter::new(limits),
            };
            let service = ServiceState::new(config);
            for (made, is_shared) in adoptable {
                service.inherit(made, is_shared);
            }
            for (made, is_shared) in preopened {
                service.inherit_preopened(made, is_shared);
            }
            service
        })
    }

    /// The same for the next generation of the service of `before`. The sockets that were given to
    /// that, and its observer, stay.
    pub(in crate::host) fn template_after(mut self, before: &Template) -> Result<Template, BuildError> {
        let limits = self.connection_limits;
        // The service's own.
        self.service.limits.drain_idle = before.service.limits().drain_idle;
        let inherited_sockets = Arc::clone(&before.settings.inherited_sockets);
        self.template_with(inherited_sockets, |config| before.service.with_settings(config, limits))
    }

    fn template_with(
        self,
        inherited_sockets: Arc<InheritedSockets>,
        service: impl FnOnce(ServiceConfig) -> Arc<ServiceState>,
    ) -> Result<Template, BuildError> {
        let Self { service: config, mut settings, on_trap, trace, make_limiter, .. } = self;
        settings.inherited_sockets = inherited_sockets;
        preopened::describe(&mut settings);
        for string in settings.arguments.iter().chain(&settings.environment) {
            if string.contains('\0') {
                return Err(BuildError::NulInString(string.clone()));
            }
        }
        let own = |output: HostOutput| Arc::new(Output::new(&output.stops(settings.blocks_on_files)));
        if self.inherits_stdout {
            settings.stdout = own(HostOutput::stdout());
        }
        if self.inherits_stderr {
            settings.stderr = own(HostOutput::stderr());
        }
        let service = service(config);
        Ok(Template { service, settings: Arc::new(settings), trace, on_trap, make_limiter })
    }
}
