//! What the copies of a module that has started are copies of.
//!
//! Its start may leave listeners open that the service has too: a guest that binds to the address of one gets that very socket,
//! for as long as its start takes. In a copy the number of such a listener stands for nothing that can be used, and
//! connections that come in there are delivered with it.

use std::sync::Arc;

use super::super::call_mode::CallMode;
use super::super::run::EndOfRun;
use super::super::service::Service;
use super::super::snapshot::{Refusal, frozen};
use super::super::template::Template;
use super::program::Program;
use crate::address::Address;
use crate::process::Process;
use crate::service::{Instance, Lent};
use crate::socket::{Inherited, Socket};

/// A listener of the service's that the start of a module has left open.
pub(super) struct LeftListener {
    /// Its descriptor.
    pub(super) number: u32,
    pub(super) local: Address,
}

/// A listener of the service's, which the start may have.
struct LentListener {
    lent: Lent,
    local: Address,
}

impl Program {
    /// Starts one instance, and returns the module `source` as that is then, and the listeners that it has left
    /// open.
    ///
    /// # Errors
    ///
    /// Those of the start; where it can't be copied.
    pub(super) async fn start_once(
        &self,
        service: &Service,
        template: &Template,
        number: u32,
        source: &[u8],
    ) -> wasmtime::Result<(Vec<u8>, Vec<LeftListener>)> {
        let instance = template.service.instance_for_connection(number);
        // Until its end it has them.
        let lent = lend(service, template, &instance);
        let ctx = template.context(instance).map_err(wasmtime::Error::new)?;
        let process = Arc::clone(ctx.thread.process());
        let _end = EndOfRun(Arc::clone(&process));
        let before = open_numbers(&process);
        let (mut store, instance) = self.instantiate(ctx).await?;
        self.guest().start(&mut store, &instance, CallMode::Async).await?;
        let left = left_open(&process, &before, &lent)?;
        let copy = frozen(source, &mut store, &instance).map_err(|refusal| match refusal {
            Refusal::Because(why) => wasmtime::Error::msg(format!("the module can't be copied: it {why}")),
            Refusal::Invalid => wasmtime::Error::msg("the module can't be copied: its instance is another's"),
        });
        Ok((copy?, left))
    }
}

/// Lends `instance` the listeners of the service, but for those with a queue of the host's: a second one at such a socket
/// would take clients away.
fn lend(service: &Service, template: &Template, instance: &Instance) -> Vec<LentListener> {
    let given = service.supervision().connections.iter().flat_map(|it| &it.listeners);
    let lent = given.filter_map(|given| {
        let local = given.inherited.local.clone();
        if template.service.has_own_queue(&local) {
            return None;
        }
        let inherited = Inherited { is_shared: true, ..given.inherited.clone() };
        let made = inherited.to_be_held(given.fd.try_clone().ok()?, local.clone()).ok()?;
        Some(LentListener { lent: template.service.lend(made, instance), local })
    });
    lent.collect()
}

fn open_numbers(process: &Process) -> Vec<u32> {
    let fds = process.fds();
    (0..fds.end()).filter(|fd| fds.get(*fd).is_ok()).collect()
}

/// What the start has left open, besides what was open `before`.
fn left_open(
    process: &Process,
    before: &[u32],
    lent: &[LentListener],
) -> wasmtime::Result<Vec<LeftListener>> {
    let now = open_numbers(process);
    if let Some(closed) = before.iter().find(|fd| !now.contains(fd)) {
        return Err(wasmtime::Error::msg(format!(
            "the start of the module has closed descriptor {closed}, which a copy would have"
        )));
    }
    now.into_iter()
        .filter(|fd| !before.contains(fd))
        .map(|number| {
            let open = process.fds().get(number).map(|descriptor| Arc::clone(&descriptor.open));
            let open = open.map_err(wasmtime::Error::new)?;
            let is_listening = |socket: &Socket| socket.stream().is_ok_and(|stream| stream.is_listening());
            let Some(socket) = open.open.socket().ok().filter(|socket| is_listening(socket)) else {
                return Err(wasmtime::Error::msg(format!(
                    "the start of the module has left descriptor {number} open, and a copy would have none of its \
                     own: close it in the start, or open it in a handler"
                )));
            };
            let is_it = |lent: &&LentListener| socket.claim().is_some_and(|claim| lent.lent.is_had_by(claim));
            if let Some(LentListener { local, .. }) = lent.iter().find(is_it) {
                return Ok(LeftListener { number, local: local.clone() });
            }
            let at = socket.local_address().map_or_else(|errno| errno.to_string(), |local| local.to_string());
            Err(wasmtime::Error::msg(format!(
                "the start of the module listens at {at}, where the service takes no connections for its copies: \
                 have the service listen there (--per-connection {at}), or the start not"
            )))
        })
        .collect()
}
