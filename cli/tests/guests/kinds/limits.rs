//! Time limits and pending errors on every kind of socket.

use super::{kinds_here, run_with_kinds};
use anyhow::Result;

fn holds_for(kind: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    run_with_kinds(folder.path()).args([guest_tests::KINDS_LIMITS, kind]).succeed().map(drop)
}

macro_rules! kinds {
    ($($kind:ident)*) => {$(
        #[test]
        fn $kind() -> Result<()> {
            if kinds_here().contains(&stringify!($kind)) { holds_for(stringify!($kind)) } else { Ok(()) }
        }
    )*};
}

kinds! { tcp_v4 tcp_v6 udp_v4 udp_v6 unix_stream unix_datagram }

/// The last of them has the name of the program.
#[test]
pub(crate) fn kinds_limits() -> Result<()> {
    holds_for("unix_seqpacket")
}
