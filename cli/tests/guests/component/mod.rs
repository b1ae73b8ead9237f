//! Components.

pub(crate) mod denials;
pub(crate) mod life;
mod listener;
mod load;
pub(crate) mod p3;
mod remainders;
pub(crate) mod servers;
pub(crate) mod service;
pub(crate) mod sockets;
