//! An instance for each connection.

use clap::Args;
use wasock::ConnectionAs;

use super::sockets::{SocketSource, parse_place};

/// How many instances may live at once, where the operator does not say.
const MAX_INSTANCES: u32 = 1024;

#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// Listen here, and run an instance of the module for each connection, which ends with it. It needs no
    /// --listen. A unix:PATH is the host's here
    #[arg(long, value_name = "ADDR", value_parser = parse_place)]
    pub(crate) per_connection: Vec<SocketSource>,

    /// How an instance finds its connection: stdio is standard input and output, as under inetd and
    /// UCSPI; fd is descriptor 3, as of a service manager that accepts; event is the module's own
    /// wasock_on_accept
    #[arg(long, value_name = "stdio|fd|event", default_value_t)]
    pub(crate) per_connection_as: ConnectionAs,

    /// How many instances may live at once; one more connection waits in the queue of its listener
    /// [default: 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_instances: Option<u32>,

    /// Start the module once, and give each connection a copy of it as it was when its start
    /// returned (--per-connection-as event). What its start drew of randomness all copies have:
    /// see wasock_on_clone
    #[arg(long)]
    pub(crate) warm: bool,
}

impl ConnectionArgs {
    /// How many instances may live at once.
    pub(crate) fn max_instances(&self) -> u32 {
        self.max_instances.unwrap_or(MAX_INSTANCES)
    }

    /// Has each connection an instance of its own?
    pub(crate) fn is_asked(&self) -> bool {
        !self.per_connection.is_empty()
    }

    /// What has no effect, because no instance is for a connection.
    pub(crate) fn without_listener(&self) -> Option<&'static str> {
        if self.is_asked() {
            return None;
        }
        [
            (self.per_connection_as != ConnectionAs::default(), "--per-connection-as"),
            (self.max_instances.is_some(), "--max-instances"),
            (self.warm, "--warm"),
        ]
        .into_iter()
        .find_map(|(is_given, flag)| is_given.then_some(flag))
    }
}
