//! Every call and every option of sockets, on every kind of socket.
//!
//! Two tables list the results, and docs/calls.md shows them. Guests make the calls of the
//! tables, and each row is a test.

mod call_table;
pub(crate) mod calls;
pub(crate) mod limits;
mod native;
mod option_table;
pub(crate) mod options;

use super::{has_ipv6, run};
use guest_tests::Wasock;
use std::path::Path;

/// The kinds, by the names that the guests know, in the order of the columns.
const KINDS: [&str; 7] =
    ["tcp_v4", "tcp_v6", "udp_v4", "udp_v6", "unix_stream", "unix_datagram", "unix_seqpacket"];

/// The kinds that this machine has.
fn kinds_here() -> Vec<&'static str> {
    let has_ipv6 = has_ipv6();
    KINDS.into_iter().filter(|kind| has_ipv6 || !kind.ends_with("_v6")).collect()
}

/// A dialect besides WASIX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    WasmEdge,
    Wamr,
}

impl Dialect {
    /// The kinds that this machine has, as far as the dialect has them.
    fn kinds(self) -> Vec<&'static str> {
        let has = |kind: &&str| match self {
            Self::WasmEdge => *kind != "unix_seqpacket",
            Self::Wamr => !kind.starts_with("unix_"),
        };
        kinds_here().into_iter().filter(has).collect()
    }
}

/// `wasock run` with the loopback granted for every use, and every name in `/run`.
fn run_with_kinds(folder: &Path) -> Wasock {
    let host = run().args(["--dir", &format!("{}::/run", folder.display())]);
    ["127.0.0.1:*", "[::1]:*"]
        .iter()
        .fold(host, |host, addr| {
            host.args(["--listen", addr, "--connect", addr, "--udp-bind", addr, "--udp-send", addr])
        })
        .args(["--listen", "unix:/run/*", "--connect", "unix:/run/*"])
        .args(["--udp-bind", "239.255.18.9:*", "--udp-bind", "[ff01::18:9]:*"])
}
