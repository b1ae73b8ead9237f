//! Components.

pub(crate) mod life;
mod load;
pub(crate) mod servers;
pub(crate) mod service;
pub(crate) mod sockets;
