//! What the tasks of this repository share: its folders, the programs that it compiles, and the
//! tools that they need.

pub mod dist;
pub mod kubernetes;
pub mod licences;
pub mod setup;
pub mod workspace;
