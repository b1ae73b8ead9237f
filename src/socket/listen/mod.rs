//! What a backlog means.
//!
//! The rules of the default profile, `wasix`; the other profiles join it here.

mod profile;

pub use profile::{capacity, kernel_backlog};
