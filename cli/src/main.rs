//! The command `wasock`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wasock_cli::main()
}
