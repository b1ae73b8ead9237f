//! How a running service is watched and told what to do.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::admin::AdminAddress;
use crate::args::sockets::{SocketSource, parse_probed};
use crate::duration::parse_duration;

#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// Answer operators here, over HTTP: metrics, the status as JSON and as a page, reloads, drains
    /// and limits (`wasock ctl`). A unix:PATH is for this user alone; an address is one of this machine
    /// alone. No guest reaches it, whatever is granted
    #[arg(long, value_name = "unix:PATH|127.0.0.1:PORT")]
    pub(crate) admin: Option<AdminAddress>,

    /// Write the token that a change needs over an address of --admin to this file, which this user
    /// alone can read [default: wasock-IP-PORT.token in the directory of XDG_RUNTIME_DIR]
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,

    /// Answer /healthz, /readyz and /metrics here to whoever can connect, and nothing else: for an
    /// orchestrator and a collector of metrics, which come over a network
    #[arg(long, value_name = "ADDR", value_parser = parse_probed)]
    pub(crate) probes: Option<SocketSource>,

    /// End with code 0 once there was nothing to do for so long: no connection, no byte, no work. The
    /// service manager, whose sockets it has (--adopt, --listen-fds), starts it again with the next client
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) idle_exit: Option<Duration>,
}

impl AdminArgs {
    /// Is more asked for than one run of one guest?
    pub(crate) fn is_service(&self) -> bool {
        self.admin.is_some() || self.probes.is_some() || self.idle_exit.is_some()
    }

    /// What has no effect without another flag, and which that is.
    pub(crate) fn without_effect(&self) -> Option<&'static str> {
        let needs_token = matches!(self.admin, Some(AdminAddress::Inet(_)));
        let is_idle = self.admin_token_file.is_some() && !needs_token;
        is_idle.then_some("--admin-token-file has no effect without --admin at an address")
    }
}
