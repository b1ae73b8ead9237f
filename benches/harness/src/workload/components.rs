//! One source as a component of WASI 0.2, and a server of WASI 0.3.

use super::super::goal::Goal;
use super::super::server::{Beside, Service};
use super::{CONNECTIONS, Drive, Measure, Module, REQUESTS, Workload, measure};

pub(super) fn workloads() -> Vec<Workload> {
    let workload = |name: &str, beside, drive, measures: &[Measure]| {
        Workload::new(name, Service::component(beside), drive, measures)
    };
    let served = |name: &str, service, goal| {
        let measures = [
            measure("", "rate", REQUESTS, goal),
            measure("processor time a request", "server_us", "us", Goal::None),
        ];
        Workload::new(name, service, Drive::Http { connections: 32 }, &measures)
    };
    let keep_alive = |name: &str, beside, goal| served(name, Service::component(beside), goal);
    vec![
        keep_alive(
            "keep-alive HTTP by a component, 32 connections",
            Beside::Native,
            Goal::RatioAtLeast(0.85),
        ),
        keep_alive(
            "keep-alive HTTP by a component, 32 connections, beside Wasmtime's own run",
            Beside::Wasmtime,
            Goal::RatioAtLeast(1.5),
        ),
        keep_alive(
            "keep-alive HTTP by a component, 32 connections, beside an engine with async functions",
            Beside::Async,
            Goal::None,
        )
        .in_full(),
        served(
            "keep-alive HTTP by a component of WASI 0.3, 32 connections",
            Service::async_component(Beside::Native),
            Goal::None,
        ),
        served(
            "keep-alive HTTP by a component of WASI 0.3, 32 connections, beside Wasmtime's own run",
            Service::async_component(Beside::Wasmtime),
            Goal::RatioAtLeast(1.0),
        ),
        workload(
            "churn by a component, 16 at once",
            Beside::Native,
            Drive::Churn { connections: 16 },
            &[measure("", "rate", CONNECTIONS, Goal::RatioAtLeast(0.95))],
        ),
        workload(
            "start to first answer, small component, from the compile cache, beside the same module",
            Beside::Module,
            Drive::Start { module: Module::Small, is_cached: true },
            &[measure("", "ms", "ms", Goal::RatioAtMost(1.5))],
        ),
    ]
}
