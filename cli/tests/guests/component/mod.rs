//! Components.

pub(crate) mod life;
mod load;
mod remainders;
pub(crate) mod servers;
pub(crate) mod service;
pub(crate) mod sockets;
