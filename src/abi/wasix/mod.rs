//! WASIX: what `wasix_32v1` has beyond preview 1.

pub(crate) mod address;
pub(crate) mod bindings;
mod errno;
