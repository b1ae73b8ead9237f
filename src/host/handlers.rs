//! The exported functions by which a module handles events.

use wasmtime::{Instance, Module, Store, TypedFunc, WasmParams};

pub(super) const ON_LISTEN: &str = "wasock_on_listen";
pub(super) const ON_ACCEPT: &str = "wasock_on_accept";
pub(super) const ON_READABLE: &str = "wasock_on_readable";
pub(super) const ON_CLOSED: &str = "wasock_on_closed";

/// Called in each copy of an instance, before anything else: not an event.
pub(super) const ON_CLONE: &str = "wasock_on_clone";

/// The names, in the order in which a connection meets them.
const NAMES: [&str; 4] = [ON_LISTEN, ON_ACCEPT, ON_READABLE, ON_CLOSED];

/// Those that a module exports.
pub(super) struct Handlers {
    pub(super) on_listen: Option<TypedFunc<(i32, i32), ()>>,
    pub(super) on_accept: Option<TypedFunc<(i32, i32), ()>>,
    pub(super) on_readable: Option<TypedFunc<i32, ()>>,
    pub(super) on_closed: Option<TypedFunc<i32, ()>>,
}

/// The handlers that `module` exports, by name. A module with one gets events.
pub(crate) fn handler_names(module: &Module) -> Vec<&'static str> {
    handlers_among(|name| module.get_export(name).is_some())
}

/// The handlers of a module, of which `is_export` says what it exports.
pub(super) fn handlers_among(is_export: impl Fn(&str) -> bool) -> Vec<&'static str> {
    NAMES.into_iter().filter(|name| is_export(name)).collect()
}

impl Handlers {
    /// The handlers of `instance`.
    ///
    /// # Errors
    ///
    /// Where one of the names stands for something else than its function.
    pub(super) fn find<T: 'static>(store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<Self> {
        Ok(Self {
            on_listen: find(store, instance, ON_LISTEN, "(i32, i32)")?,
            on_accept: find(store, instance, ON_ACCEPT, "(i32, i32)")?,
            on_readable: find(store, instance, ON_READABLE, "(i32)")?,
            on_closed: find(store, instance, ON_CLOSED, "(i32)")?,
        })
    }

    /// Is there none?
    pub(super) fn is_empty(&self) -> bool {
        self.on_listen.is_none() && self.on_accept.is_none() && !self.want_connections()
    }

    /// Is one of them called for connections?
    pub(super) fn want_connections(&self) -> bool {
        self.on_readable.is_some() || self.on_closed.is_some()
    }
}

fn find<T: 'static, P: WasmParams>(
    store: &mut Store<T>,
    instance: &Instance,
    name: &str,
    parameters: &str,
) -> wasmtime::Result<Option<TypedFunc<P, ()>>> {
    if instance.get_export(&mut *store, name).is_none() {
        return Ok(None);
    }
    let found = instance.get_typed_func::<P, ()>(&mut *store, name);
    found.map(Some).map_err(|_| {
        wasmtime::Error::msg(format!(
            "the module exports {name}, but not as the host calls it: it must be a function with the \
             parameters {parameters} and without a result"
        ))
    })
}
