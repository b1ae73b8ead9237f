//! Data over every kind of socket: each program does the same on each of them.

use super::{has_ipv6, run, run_on_loopback};
use anyhow::{Context as _, Result};
use guest_tests::Wasock;
use rustix::net::SendFlags;
use std::net::TcpListener;

/// Those that connect.
const CONNECTED: [&str; 6] =
    ["tcp4", "tcp6", "unix_stream", "unix_seqpacket", "pair_stream", "pair_seqpacket"];

/// Those of them that come to it by a connect.
const CONNECTING: [&str; 4] = ["tcp4", "tcp6", "unix_stream", "unix_seqpacket"];

/// Those where each message stands for itself.
const DATAGRAMS: [&str; 4] = ["udp4", "udp6", "unix_datagram", "pair_datagram"];

/// Everything on the loopback addresses and in `/run`.
fn granted(folder: &tempfile::TempDir) -> Wasock {
    let mut host = run().args(["--dir", &format!("{}::/run", folder.path().display())]);
    for grant in ["127.0.0.1:*", "[::1]:*", "unix:/run/*"] {
        host = host.args(["--listen", grant, "--connect", grant]);
    }
    for grant in ["127.0.0.1:*", "[::1]:*"] {
        host = host.args(["--udp-bind", grant, "--udp-send", grant]);
    }
    // To what no packet goes: the kernel refuses by itself.
    host.args(["--connect", "224.0.0.1:9", "--connect", "[ff02::1]:9"])
}

fn over(kinds: &[&str], program: &str) -> Result<()> {
    let has_ipv6 = has_ipv6();
    for kind in kinds.iter().filter(|kind| has_ipv6 || !kind.ends_with('6')) {
        let folder = tempfile::tempdir()?;
        let finished = granted(&folder).args([program, kind]).succeed();
        finished.and_then(|finished| finished.expect_stdout("done\n")).with_context(|| (*kind).to_owned())?;
    }
    Ok(())
}

/// A test for a program that does the same over every kind of these.
macro_rules! over_each {
    ($($program:ident $path:ident $kinds:expr;)*) => {$(
        #[test]
        pub(crate) fn $program() -> Result<()> {
            $kinds.iter().try_for_each(|kinds| over(kinds, guest_tests::$path))
        }
    )*};
}

over_each! {
    connect_outcomes CONNECT_OUTCOMES [CONNECTING.as_slice()];
    data_flags DATA_FLAGS [CONNECTED.as_slice(), &DATAGRAMS];
    data_vectors DATA_VECTORS [CONNECTED.as_slice(), &DATAGRAMS];
    data_partial DATA_PARTIAL [CONNECTED.as_slice(), &DATAGRAMS];
    data_ends DATA_ENDS [CONNECTED.as_slice()];
    data_linger DATA_LINGER [CONNECTED.as_slice()];
}

#[test]
pub(crate) fn send_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = format!("{}::/", folder.path().display());
    run_on_loopback().args(["--dir", &dir, guest_tests::SEND_FILE]).succeed().map(drop)
}

#[test]
pub(crate) fn data_urgent() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?.to_string();
    let guest = run_on_loopback().args([guest_tests::DATA_URGENT, &addr]).start()?;
    for _ in 0..2 {
        let (peer, _) = listener.accept()?;
        for (data, flags) in
            [(b"ab", SendFlags::empty()), (b"c ", SendFlags::OOB), (b"d ", SendFlags::empty())]
        {
            let data = data.trim_ascii_end();
            rustix::net::send(&peer, data, flags)?;
        }
    }
    guest.finish()?.expect_code(0)?.expect_stdout("done\n").map(drop)
}

/// The same with the calls of WasmEdge, over the kinds that it has.
mod wasmedge {
    use super::over;
    use guest_tests::wasmedge::{DATA_FLAGS, DATA_LINGER, DATA_PARTIAL, DATA_VECTORS};

    const CONNECTED: [&str; 3] = ["tcp4", "tcp6", "unix_stream"];
    const DATAGRAMS: [&str; 3] = ["udp4", "udp6", "unix_datagram"];

    #[test]
    fn data_flags() -> anyhow::Result<()> {
        over(&CONNECTED, DATA_FLAGS)?;
        over(&DATAGRAMS, DATA_FLAGS)
    }

    #[test]
    fn data_vectors() -> anyhow::Result<()> {
        over(&CONNECTED, DATA_VECTORS)?;
        over(&DATAGRAMS, DATA_VECTORS)
    }

    /// Streams are watched by an epoll there, which WasmEdge lacks.
    #[test]
    fn data_partial() -> anyhow::Result<()> {
        over(&["udp4", "udp6"], DATA_PARTIAL)
    }

    #[test]
    fn data_linger() -> anyhow::Result<()> {
        over(&CONNECTED, DATA_LINGER)
    }
}

/// The same with the calls of WAMR, over the kinds that it has.
mod wamr {
    use super::over;
    use guest_tests::wamr::{DATA_FLAGS, DATA_LINGER, DATA_PARTIAL, DATA_VECTORS};

    const CONNECTED: [&str; 2] = ["tcp4", "tcp6"];
    const DATAGRAMS: [&str; 2] = ["udp4", "udp6"];

    #[test]
    fn data_flags() -> anyhow::Result<()> {
        over(&CONNECTED, DATA_FLAGS)?;
        over(&DATAGRAMS, DATA_FLAGS)
    }

    #[test]
    fn data_vectors() -> anyhow::Result<()> {
        over(&CONNECTED, DATA_VECTORS)?;
        over(&DATAGRAMS, DATA_VECTORS)
    }

    /// Streams are watched by an epoll there, which WAMR lacks.
    #[test]
    fn data_partial() -> anyhow::Result<()> {
        over(&DATAGRAMS, DATA_PARTIAL)
    }

    #[test]
    fn data_linger() -> anyhow::Result<()> {
        over(&CONNECTED, DATA_LINGER)
    }
}
