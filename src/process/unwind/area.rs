//! Where frames are put aside in the guest's memory.

use std::sync::{Arc, Mutex};

use crate::process::unpoisoned;

/// A part of the guest's memory that is the host's, to put frames aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Areas that no thread uses: one that begins takes over what another one has left.
pub(crate) type FreeAreas = Arc<Mutex<Vec<Area>>>;

/// The area of one thread.
#[derive(Debug)]
pub(crate) struct HeldArea {
    pub(crate) area: Area,
    free: FreeAreas,
}

impl HeldArea {
    /// One that no thread uses, if there is any.
    pub(crate) fn take(free: &FreeAreas) -> Option<Self> {
        let area = unpoisoned(free).pop()?;
        Some(Self { area, free: Arc::clone(free) })
    }

    /// A new one.
    pub(crate) fn new(area: Area, free: &FreeAreas) -> Self {
        Self { area, free: Arc::clone(free) }
    }
}

impl Drop for HeldArea {
    fn drop(&mut self) {
        unpoisoned(&self.free).push(self.area);
    }
}
