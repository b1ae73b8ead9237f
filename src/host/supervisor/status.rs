//! How a service stands, for an operator's look.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::Handle;
use super::super::service::Service;
use super::super::supervision::{GenerationView, WorkerView};
use crate::observe::Limit;
use crate::observe::status::{
    GenerationState, GenerationStatus, InstanceStatus, ServiceStatus, WorkerStatus,
};
use crate::service::{GuestListener, Peak, inode_of};

/// How often is looked whether the loop of the service has answered.
const LOOK: Duration = Duration::from_millis(5);

impl Service {
    /// How the service stands now: its generations with what their instances have, its listeners with their
    /// queues, its limits, and what was counted.
    ///
    /// The kernel is asked for the queues of all listeners of this machine and for the processor time of each
    /// thread of the guests; the guests do not wait for it. Not for each request of a busy operator.
    ///
    /// # Blocking
    ///
    /// Makes system calls, none of which waits.
    pub fn status(&self) -> ServiceStatus {
        let now = Instant::now();
        let mut of_guests = Vec::new();
        let (is_running, is_draining, generations) = {
            let orders = self.supervision().orders();
            (orders.is_running, orders.drains, orders.generations.clone())
        };
        let settings = generations.iter().find(|it| it.state == GenerationState::Serving);
        let settings = Arc::clone(settings.map_or(self.inner(), |it| &it.service));
        let mut peak = Peak::default();
        let generations: Vec<_> =
            generations.into_iter().map(|it| look(it, now, &mut of_guests, &mut peak)).collect();
        let sum = |of: fn(&GenerationStatus) -> u64| generations.iter().map(of).fold(0, u64::saturating_add);
        let serving = generations.iter().find(|it| it.state == GenerationState::Serving);
        let mut limits = settings.limit_status(peak, sum(|it| it.open_connections));
        if let Some(chosen) = &self.supervision().connections {
            let (most, used) = (chosen.max_instances.into(), sum(|it| it.instances));
            limits.push(settings.limit_status_of(Limit::Instances, "instances", Some(most), Some(used)));
            of_guests.extend(serving.iter().flat_map(|it| {
                chosen.listeners.iter().filter_map(|given| {
                    let (local, is_inherited) = (given.inherited.local.clone(), given.inherited.is_shared);
                    let (inode, generation) = (inode_of(&given.fd)?, it.number);
                    Some(GuestListener { local, inode, generation, queue: None, is_inherited })
                })
            }));
        }
        let listeners = self.inner().listeners(of_guests);
        let listens = |number| listeners.iter().any(|it| it.generations.contains(&number));
        // Where each connection has an instance, the host itself listens.
        let is_for_connections = self.supervision().connections.is_some();
        let is_ready = !is_draining
            && serving.is_some_and(|it| {
                is_for_connections
                    || it.workers.iter().any(|worker| worker.instance.is_some())
                        && (listens(it.number) || self.inner().takes_datagrams(it.number))
            });
        ServiceStatus {
            is_running,
            is_draining,
            is_ready,
            limits,
            denials: self.inner().report().denials(),
            metrics: self.metrics(),
            generations,
            listeners,
        }
    }

    /// Does the loop of [`run`](Self::run) answer within `limit`? For a watchdog: where it does not, no
    /// instance is started, replaced or ended any more.
    ///
    /// # Blocking
    ///
    /// Stops its thread until then.
    pub fn answers(&self, limit: Duration) -> bool {
        let looks = || {
            let orders = self.supervision().orders();
            orders.is_running.then_some(orders.looks)
        };
        let Some(before) = looks() else { return false };
        let begun = Instant::now();
        self.inner().changed();
        loop {
            match looks() {
                Some(now) if now != before => return true,
                Some(_) if begun.elapsed() < limit => std::thread::sleep(LOOK),
                _ => return false,
            }
        }
    }
}

/// How a generation stands; adds where its instances listen to `listeners`, and what one of them uses at
/// most to `peak`.
fn look(
    view: GenerationView,
    now: Instant,
    listeners: &mut Vec<GuestListener>,
    peak: &mut Peak,
) -> GenerationStatus {
    let worker = |worker: WorkerView| {
        let look =
            worker.instance.and_then(|(handle, since)| handle.look(now.saturating_duration_since(since)));
        let instance = look.map(|(instance, found)| {
            listeners.extend(found);
            instance
        });
        WorkerStatus { number: worker.number, state: worker.state, restarts: worker.restarts, instance }
    };
    let workers: Vec<_> = view.workers.into_iter().map(worker).collect();
    let of_workers = || workers.iter().filter_map(|worker| worker.instance.clone());
    let of_connections: Option<Vec<_>> =
        view.for_connections.as_ref().map(|live| live.all().iter().filter_map(Handle::uses).collect());
    let all = of_connections.unwrap_or_else(|| of_workers().collect());
    *peak = all.iter().fold(*peak, Peak::with);
    let sum = |of: fn(&InstanceStatus) -> u64| all.iter().map(of).fold(0, u64::saturating_add);
    let count = |many: usize| u64::try_from(many).unwrap_or(u64::MAX);
    let (instances, open_connections) = match view.for_connections {
        // Each has one.
        Some(live) => (count(live.count()), count(live.count())),
        None => (count(all.len()), sum(|it| it.open_connections)),
    };
    GenerationStatus {
        number: view.number,
        state: view.state,
        age: now.saturating_duration_since(view.started),
        left: view.deadline.map(|deadline| deadline.saturating_duration_since(now)),
        instances,
        open_connections,
        processes: sum(|it| it.processes),
        descriptors: sum(|it| it.descriptors),
        memory: sum(|it| it.memory),
        host_memory: sum(|it| it.host_memory),
        workers,
    }
}
