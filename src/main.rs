//! The command `wasock`; everything is in `wasock::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wasock::cli::main()
}
