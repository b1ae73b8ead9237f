//! The other kinds of socket: a table each, by POSIX. A profile changes what a name's
//! listener holds, as it does over a network, and nothing else: the default one is asked.

use super::super::{has_ipv6, run};
use super::Cell;
use anyhow::{Context as _, Result, ensure};
use std::fmt::Write as _;

/// Streams and messages in order, over names. A Unix name connects or fails at once, so there
/// is neither a state on the way nor one that failed; where the queue is full the socket is as
/// it was. `gone`: the peer closed; `reset`: and left something unread.
const CONNECTIONS: &str = "
              fresh    bound    queue_full listening connected accepted we_ended peer_ended both_ended gone   reset
bind          ok       EINVAL   ok         EINVAL    EINVAL    EINVAL   EINVAL   EINVAL     EINVAL     EINVAL EINVAL
listen        EINVAL   ok       EINVAL     ok        EISCONN   EISCONN  EISCONN  EISCONN    EISCONN    EISCONN EISCONN
accept        EINVAL   EINVAL   EINVAL     EAGAIN    EINVAL    EINVAL   EINVAL   EINVAL     EINVAL     EINVAL EINVAL
connect       ok       ok       ok         ENOTSUP   EISCONN   EISCONN  EISCONN  EISCONN    EISCONN    EISCONN EISCONN
recv          ENOTCONN ENOTCONN ENOTCONN   ENOTCONN  EAGAIN    EAGAIN   EAGAIN   end        end        end    ECONNRESET
recv_from     ENOTCONN ENOTCONN ENOTCONN   ENOTCONN  EAGAIN    EAGAIN   EAGAIN   end        end        end    ECONNRESET
send          ENOTCONN ENOTCONN ENOTCONN   ENOTCONN  ok        ok       EPIPE    ok         EPIPE      EPIPE  EPIPE
send_to       ENOTCONN ENOTCONN ENOTCONN   ENOTCONN  ok        ok       EPIPE    ok         EPIPE      EPIPE  EPIPE
shutdown_rd   ENOTCONN ENOTCONN ENOTCONN   ENOTCONN  ok        ok       ok       ok         ok         ok     ok
shutdown_wr   ENOTCONN ENOTCONN ENOTCONN   ENOTCONN  ok        ok       ok       ok         ok         ok     ok
shutdown_rdwr ENOTCONN ENOTCONN ENOTCONN   ENOTCONN  ok        ok       ok       ok         ok         ok     ok
addr_local    none     there    none       there     none      there    none     none       none       none   none
addr_peer     ENOTCONN ENOTCONN ENOTCONN   ENOTCONN  there     none     there    there      there      there  there
status        opening  opened   opening    opened    opened    opened   opened   opened     closed     closed closed
is_listening  no       no       no         yes       no        no       no       no         no         no     no
last_error    none     none     none       none      none      none     none     none       none       none   ECONNRESET
poll_read     hangup   hangup   hangup     waits     waits     waits    waits    hangup     hangup     hangup hangup
poll_write    hangup   hangup   hangup     waits     ready     ready    ready    ready      hangup     hangup hangup
";

/// Datagrams over a network. `no_reading`, `no_writing` and `neither` were shut down;
/// `refused` has a peer that is gone, and the network said so.
const UDP: &str = "
              fresh       bound       connected no_reading no_writing neither refused
bind          ok          EINVAL      EINVAL    EINVAL     EINVAL     EINVAL  EINVAL
listen        ENOTSUP     ENOTSUP     ENOTSUP   ENOTSUP    ENOTSUP    ENOTSUP ENOTSUP
accept        ENOTSUP     ENOTSUP     ENOTSUP   ENOTSUP    ENOTSUP    ENOTSUP ENOTSUP
connect       ok          ok          ok        ok         ok         ok      ok
recv          EAGAIN      EAGAIN      EAGAIN    end        EAGAIN     end     ECONNREFUSED
recv_from     EAGAIN      EAGAIN      EAGAIN    end        EAGAIN     end     ECONNREFUSED
send          EDESTADDRREQ EDESTADDRREQ ok      ok         EPIPE      EPIPE   ECONNREFUSED
send_to       ok          ok          ok        ok         EPIPE      EPIPE   ECONNREFUSED
shutdown_rd   ENOTCONN    ENOTCONN    ok        ok         ok         ok      ok
shutdown_wr   ENOTCONN    ENOTCONN    ok        ok         ok         ok      ok
shutdown_rdwr ENOTCONN    ENOTCONN    ok        ok         ok         ok      ok
addr_local    none        there       there     there      there      there   there
addr_peer     ENOTCONN    ENOTCONN    there     there      there      there   there
status        opening     opened      opened    opened     opened     opened  opened
is_listening  no          no          no        no         no         no      no
last_error    none        none        none      none       none       none    ECONNREFUSED
poll_read     waits       waits       waits     hangup     waits      hangup  hangup
poll_write    ready       ready       ready     ready      ready      hangup  hangup
";

/// Datagrams over names. `refused` has a peer that is gone: each message fails, and nothing is
/// pending. `peer_full`: the sender's own buffer is full of what its peer has not
/// read, so it has no room for others either.
const DATAGRAMS: &str = "
              fresh        bound        connected no_reading no_writing neither refused      peer_full
bind          ok           EINVAL       EINVAL    EINVAL     EINVAL     EINVAL  EINVAL       EINVAL
listen        ENOTSUP      ENOTSUP      ENOTSUP   ENOTSUP    ENOTSUP    ENOTSUP ENOTSUP      ENOTSUP
accept        ENOTSUP      ENOTSUP      ENOTSUP   ENOTSUP    ENOTSUP    ENOTSUP ENOTSUP      ENOTSUP
connect       ok           ok           ok        ok         ok         ok      ok           ok
recv          EAGAIN       EAGAIN       EAGAIN    end        EAGAIN     end     EAGAIN       EAGAIN
recv_from     EAGAIN       EAGAIN       EAGAIN    end        EAGAIN     end     EAGAIN       EAGAIN
send          EDESTADDRREQ EDESTADDRREQ ok        ok         EPIPE      EPIPE   ECONNREFUSED EAGAIN
send_to       ok           ok           ok        ok         EPIPE      EPIPE   ok           EAGAIN
shutdown_rd   ENOTCONN     ENOTCONN     ok        ok         ok         ok      ok           ok
shutdown_wr   ENOTCONN     ENOTCONN     ok        ok         ok         ok      ok           ok
shutdown_rdwr ENOTCONN     ENOTCONN     ok        ok         ok         ok      ok           ok
addr_local    none         there        there     there      there      there   there        there
addr_peer     ENOTCONN     ENOTCONN     there     there      there      there   there        there
status        opening      opened       opened    opened     opened     opened  opened       opened
is_listening  no           no           no        no         no         no      no           no
last_error    none         none         none      none       none       none    none         none
poll_read     waits        waits        waits     hangup     waits      hangup  waits        waits
poll_write    ready        ready        ready     ready      ready      hangup  ready        waits
";

/// Where some results differ: the call, the states (all where there is none), the outcome.
type Differences = &'static [(&'static str, &'static str, &'static str)];

/// "ECONNRESET: A connection was forcibly closed by a peer." - send(3p). Linux reports that to a
/// stream at its next receive, after EPIPE, and messages at the next call of either kind.
const RESET: (&str, &str, &str) = ("send send_to", "reset", "ECONNRESET");

/// One of a pair has no name, nor has its peer.
const NAMELESS: (&str, &str, &str) = ("addr_local addr_peer", "", "none");

/// It has no address yet, and may get one.
const FREE: (&str, &str, &str) = ("bind", "", "ok");

fn expected<'a>(table: &'a str, differences: Differences, cell: &Cell) -> Result<&'a str> {
    if cell.state == "closed" {
        return Ok("EBADF");
    }
    let names = |list: &str, name: &str| list.split(' ').any(|it| it == name);
    let differs = differences.iter().find(|(calls, states, _)| {
        names(calls, &cell.call) && (states.is_empty() || names(states, &cell.state))
    });
    if let Some((.., outcome)) = differs {
        return Ok(outcome);
    }
    let mut rows = table.trim().lines();
    let states = rows.next().context("no states")?;
    let column = states.split_whitespace().position(|name| name == cell.state);
    let column = column.with_context(|| format!("no column for {}", cell.state))?;
    let row = rows.find(|row| row.split_whitespace().next() == Some(&cell.call));
    row.and_then(|row| row.split_whitespace().nth(column + 1))
        .with_context(|| format!("no row for {}", cell.call))
}

/// Works each cell of `table`, in `states` states and the closed one.
fn answers(kind: &str, table: &str, differences: Differences, states: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut host = run().args(["--dir", &format!("{}::/run", folder.path().display())]);
    for grant in ["unix:/run/*", "127.0.0.1:*", "[::1]:*"] {
        host = host.args(["--listen", grant, "--connect", grant]);
    }
    for grant in ["127.0.0.1:*", "[::1]:*"] {
        host = host.args(["--udp-bind", grant, "--udp-send", grant]);
    }
    let finished = host.args([guest_tests::SOCKET_STATES, kind]).succeed()?;
    let cells = finished.stdout.lines().map(Cell::read).collect::<Result<Vec<_>>>()?;
    let mut wrong = String::new();
    for cell in &cells {
        let expected = expected(table, differences, cell)?;
        if cell.outcome != expected || !cell.is_proved() {
            writeln!(wrong, "{cell:?}: expected {expected}")?;
        }
    }
    ensure!(wrong.is_empty(), "{kind}:\n{wrong}");
    let calls = table.trim().lines().count() - 1;
    ensure!(cells.len() == (states + 1) * calls, "{} cells in {states} states", cells.len());
    Ok(())
}

#[test]
fn unix_stream() -> Result<()> {
    answers("unix_stream", CONNECTIONS, &[], 11)
}

#[test]
fn unix_seqpacket() -> Result<()> {
    answers("unix_seqpacket", CONNECTIONS, &[RESET], 11)
}

#[test]
fn pair_stream() -> Result<()> {
    answers("pair_stream", CONNECTIONS, &[NAMELESS], 6)
}

#[test]
fn pair_seqpacket() -> Result<()> {
    answers("pair_seqpacket", CONNECTIONS, &[RESET, NAMELESS], 6)
}

#[test]
fn udp_over_ipv4() -> Result<()> {
    answers("udp4", UDP, &[], 7)
}

#[test]
fn udp_over_ipv6() -> Result<()> {
    if has_ipv6() { answers("udp6", UDP, &[], 7) } else { Ok(()) }
}

#[test]
fn unix_datagram() -> Result<()> {
    answers("unix_datagram", DATAGRAMS, &[], 8)
}

#[test]
fn pair_datagram() -> Result<()> {
    answers("pair_datagram", DATAGRAMS, &[NAMELESS, FREE], 6)
}
