//! Limits that are changed by a request.

use std::collections::BTreeMap;

use wasock::{ParseError, Service};

/// Limits by the names of their flags; null is as much as comes.
pub(crate) type LimitsRequest = BTreeMap<String, Option<u64>>;

/// Changes all of them, or none.
///
/// # Errors
///
/// Why none was changed.
pub(super) fn set(service: &Service, wanted: &LimitsRequest) -> Result<(), ParseError> {
    let wanted: Vec<_> = wanted.iter().map(|(name, most)| (name.as_str(), *most)).collect();
    service.set_limits(&wanted)
}
