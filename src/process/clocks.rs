//! The clocks and the randomness that the operator chose for a guest.

use std::time::Duration;

use super::{Process, unpoisoned};

impl Process {
    /// The time since 1970.
    pub(crate) fn wall_time(&self) -> Duration {
        unpoisoned(&self.settings.wall_clock).now()
    }

    pub(crate) fn wall_resolution(&self) -> Duration {
        unpoisoned(&self.settings.wall_clock).resolution()
    }

    /// Nanoseconds since some moment.
    pub(crate) fn monotonic_time(&self) -> u64 {
        unpoisoned(&self.settings.monotonic_clock).now()
    }

    pub(crate) fn monotonic_resolution(&self) -> u64 {
        unpoisoned(&self.settings.monotonic_clock).resolution()
    }

    pub(crate) fn fill_random(&self, bytes: &mut [u8]) {
        unpoisoned(&self.settings.random).fill_bytes(bytes);
    }
}
