//! What the tests of this repository, its fuzzers and the tables of its manual look at.
//!
//! It is no part of the interface, and changes without notice.

#[cfg(any(test, feature = "fuzzing"))]
pub use crate::abi::fuzzing;
pub use crate::abi::{Argument, ArgumentKind, CoreType, FUNCTIONS, Function, LACKING, OTHER_TYPES};
pub use crate::abi::{added_in, detect};
pub use crate::error::Trap;
#[cfg(feature = "components")]
pub use crate::host::{ComponentInstance, Repeated};
pub use crate::host::{ConnectionInstances, OneConnection, add_to_linker_on_own_thread};
pub use crate::socket::listen::{ListenRules, NegativeBacklog, OverflowPolicy, QueueCapacity, UnboundListen};
