//! Time limits and pending errors on every kind of socket.

use super::{Dialect, kinds_here, run_with_kinds};
use anyhow::{Context as _, Result};

fn holds_for(kind: &str) -> Result<()> {
    holds_in(guest_tests::KINDS_LIMITS, kind)
}

fn holds_in(program: &str, kind: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    run_with_kinds(folder.path()).args([program, kind]).succeed().map(drop)
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

/// In other dialects a limit of receiving is one of accepting too, and one of sending one of connecting.
fn hold_in(program: &str, dialect: Dialect) -> Result<()> {
    dialect.kinds().into_iter().try_for_each(|kind| holds_in(program, kind).context(kind.to_owned()))
}

#[test]
fn wasmedge() -> Result<()> {
    hold_in(guest_tests::wasmedge::KINDS_LIMITS, Dialect::WasmEdge)
}

#[test]
fn wamr() -> Result<()> {
    hold_in(guest_tests::wamr::KINDS_LIMITS, Dialect::Wamr)
}
