//! The other programs that a guest may start.

use clap::{Args, ValueEnum};

use super::{DirectoryArg, LIMITS, parse_directory};

#[derive(Debug, Args)]
pub(crate) struct ProcessArgs {
    /// Let the guest execute a file, or the files in a directory, under its own or another name: modules, and
    /// scripts that name a granted one (#!). Nothing else is executed, whatever directories the guest has
    #[arg(long, value_name = "HOST[::GUEST]", value_parser = parse_directory)]
    pub(crate) exec: Vec<DirectoryArg>,

    /// What becomes of the guest's other processes when its first one has ended: end them, or keep the guest running
    /// until all have
    #[arg(long, value_name = "end|keep", value_enum, default_value_t, hide_possible_values = true)]
    pub(crate) orphans: Orphans,

    /// How many processes may there be at once, the first one included. One that has ended counts until its parent
    /// has asked how
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = LIMITS, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_processes: u32,
}

/// What becomes of processes whose first one has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Orphans {
    #[default]
    End,
    Keep,
}
