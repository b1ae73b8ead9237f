//! `wasi:clocks/monotonic-clock`, whose pollables are times that a poll compares.

use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::DynPollable;

use super::clocks::monotonic_clock::{Duration, Host, Instant};
use super::source::Source;
use crate::abi::component::View;

impl Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        Ok(self.thread.process().monotonic_time())
    }

    fn resolution(&mut self) -> wasmtime::Result<Duration> {
        Ok(self.thread.process().monotonic_resolution())
    }

    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(Source::Clock(when))
    }

    fn subscribe_duration(&mut self, when: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.thread.process().monotonic_time();
        // One that no clock reaches is never due.
        self.subscribe(Source::Clock(now.saturating_add(when)))
    }
}
