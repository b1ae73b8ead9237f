//! `wasock ctl`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::admin::AdminAddress;

const HELP: &str = "\
Without ADDR the host is asked that the variable WASOCK_ADMIN names, and without that
unix:$XDG_RUNTIME_DIR/wasock.sock, or unix:/run/wasock.sock where XDG_RUNTIME_DIR is not set.

Example: wasock ctl unix:/run/web.sock limits set max-connections=500

Exit code: 0; 1 where the host refuses, or does not answer; 2 for wrong arguments.";

#[derive(Debug, Args)]
#[command(after_help = HELP, subcommand_precedence_over_arg = true)]
pub(crate) struct CtlArgs {
    /// Where the host answers, as its --admin says: unix:PATH or 127.0.0.1:PORT
    pub(crate) addr: Option<AdminAddress>,

    /// Read the token for a change over an address from this file, as the host's --admin-token-file
    /// says [default: wasock-IP-PORT.token in the directory of XDG_RUNTIME_DIR]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) order: CtlOrder,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CtlOrder {
    /// Say how the service stands
    Status {
        /// How to say it: as tables to read, or as JSON
        #[arg(long, value_enum, value_name = "text|json", default_value_t, hide_possible_values = true)]
        format: CtlFormat,
    },
    /// Put the module and the configuration as they are now in the place of what runs, and say what has become of it
    Reload,
    /// End the service gracefully
    Drain,
    /// Show the limits, or change some: `limits set max-connections=500`
    Limits {
        #[command(subcommand)]
        change: Option<LimitsChange>,
    },
    /// Print the metrics, in the text format of OpenMetrics
    Metrics,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsChange {
    /// Change limits while the service runs
    Set {
        /// A limit by the name of its flag, and what it is to allow: a number, or none
        #[arg(required = true, value_name = "NAME=N|none", value_parser = parse_limit)]
        limits: Vec<(String, Option<u64>)>,
    },
}

/// What `wasock ctl status` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CtlFormat {
    #[default]
    Text,
    Json,
}

fn parse_limit(text: &str) -> Result<(String, Option<u64>), String> {
    let expected = || "expected NAME=N or NAME=none, as in max-connections=500".to_owned();
    let (name, value) = text.trim_start_matches('-').split_once('=').ok_or_else(expected)?;
    let most = match value {
        "none" => None,
        number => Some(number.parse().map_err(|_| expected())?),
    };
    Ok((name.to_owned(), most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_name_and_a_number_or_none() {
        assert_eq!(parse_limit("max-connections=5"), Ok(("max-connections".to_owned(), Some(5))));
        assert_eq!(parse_limit("--max-connections=none"), Ok(("max-connections".to_owned(), None)));
        for wrong in ["max-connections", "max-connections=", "max-connections=-1", "max-connections=many"] {
            assert!(parse_limit(wrong).is_err(), "{wrong}");
        }
    }
}
