//! Every call on a socket in every state, for each profile.
//!
//! The program works each cell on a socket of its own, and uses that socket after a
//! call that failed or only asked: it is to be as good as before.

mod kinds;

use super::run_on_loopback;
use anyhow::{Context, Result, ensure};
use guest_tests::{Finished, Wasock};
use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};

/// What the default profile returns: a row for each call, a column for each state.
///
/// A connection is like one that was made (`connected`) also where it was accepted, or
/// where its attempt has arrived and was not read yet; every call on a closed descriptor
/// is EBADF. All of that is checked, and has no column.
const WASIX: &str = "
                fresh       bound       connecting connected we_ended peer_ended both_ended reset      failed       listening
bind            ok          EINVAL      EINVAL     EINVAL    EINVAL   EINVAL     EINVAL     EINVAL     ok           EINVAL
listen          EINVAL      ok          EISCONN    EISCONN   EISCONN  EISCONN    EISCONN    EISCONN    EINVAL       ok
accept          EINVAL      EINVAL      EINVAL     EINVAL    EINVAL   EINVAL     EINVAL     EINVAL     EINVAL       EAGAIN
accept_v2       EINVAL      EINVAL      EINVAL     EINVAL    EINVAL   EINVAL     EINVAL     EINVAL     EINVAL       EAGAIN
accept_preview1 EINVAL      EINVAL      EINVAL     EINVAL    EINVAL   EINVAL     EINVAL     EINVAL     EINVAL       EAGAIN
connect         EINPROGRESS EINPROGRESS EALREADY   EISCONN   EISCONN  EISCONN    EISCONN    EISCONN    ECONNREFUSED ENOTSUP
recv            ENOTCONN    ENOTCONN    EAGAIN     EAGAIN    EAGAIN   end        end        ECONNRESET ECONNREFUSED ENOTCONN
recv_from       ENOTCONN    ENOTCONN    EAGAIN     EAGAIN    EAGAIN   end        end        ECONNRESET ECONNREFUSED ENOTCONN
send            ENOTCONN    ENOTCONN    EAGAIN     ok        EPIPE    ok         EPIPE      ECONNRESET ECONNREFUSED ENOTCONN
send_to         ENOTCONN    ENOTCONN    EAGAIN     ok        EPIPE    ok         EPIPE      ECONNRESET ECONNREFUSED ENOTCONN
shutdown_rd     ENOTCONN    ENOTCONN    ENOTCONN   ok        ok       ok         ENOTCONN   ENOTCONN   ENOTCONN     ENOTCONN
shutdown_wr     ENOTCONN    ENOTCONN    ENOTCONN   ok        ok       ok         ENOTCONN   ENOTCONN   ENOTCONN     ENOTCONN
shutdown_rdwr   ENOTCONN    ENOTCONN    ENOTCONN   ok        ok       ok         ENOTCONN   ENOTCONN   ENOTCONN     ENOTCONN
addr_local      none        loopback    loopback   loopback  loopback loopback   loopback   loopback   none         loopback
addr_peer       ENOTCONN    ENOTCONN    ENOTCONN   loopback  loopback loopback   loopback   loopback   ENOTCONN     ENOTCONN
status          opening     opened      opening    opened    opened   opened     closed     closed     failed       opened
set_flag        ok          ok          ok         ok        ok       ok         ok         ok         ok           ok
flag            no          no          no         no        no       no         no         no         no           no
is_listening    no          no          no         no        no       no         no         no         no           yes
set_size        ok          ok          ok         ok        ok       ok         ok         ok         ok           ok
size            ok          ok          ok         ok        ok       ok         ok         ok         ok           ok
set_time        ok          ok          ok         ok        ok       ok         ok         ok         ok           ok
time            no          no          no         no        no       no         no         no         no           no
set_linger      ok          ok          ok         ok        ok       ok         ok         ok         ok           ok
linger          no          no          no         no        no       no         no         no         no           no
last_error      none        none        none       none      none     none       none       ECONNRESET ECONNREFUSED none
poll_read       hangup      hangup      waits      waits     waits    hangup     hangup     hangup     hangup       waits
poll_write      hangup      hangup      waits      ready     ready    ready      hangup     hangup     hangup       waits
";

/// Where the result of a profile differs: the states, the call, the outcome.
type Differences = &'static [(&'static str, &'static str, &'static str)];

/// Connected once is connected: the kernel and the host agree in that.
const CONNECTED: &str = "connecting connected we_ended peer_ended both_ended reset";

const POSIX: Differences = &[("fresh failed", "listen", "EDESTADDRREQ"), (CONNECTED, "listen", "EINVAL")];
const WINSOCK: Differences = &[];
const BSD: Differences = &[(CONNECTED, "listen", "EINVAL")];
const LINUX: Differences = &[("fresh failed", "listen", "ok"), (CONNECTED, "listen", "EINVAL")];

/// One call in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) state: String,
    pub(crate) call: String,
    /// An errno, or what the call returned.
    pub(crate) outcome: String,
    /// What became of the socket, where it was used afterwards.
    pub(crate) after: String,
}

impl Cell {
    pub(crate) fn read(line: &str) -> Result<Self> {
        let mut words = line.splitn(4, ' ').map(str::to_owned);
        let mut word = || words.next();
        let (state, call, outcome) = (word(), word(), word());
        let after = word().unwrap_or_default();
        let incomplete = || format!("no cell: {line:?}");
        Ok(Self {
            state: state.with_context(incomplete)?,
            call: call.with_context(incomplete)?,
            outcome: outcome.with_context(incomplete)?,
            after,
        })
    }

    fn failed(&self) -> bool {
        self.outcome.starts_with('E')
    }

    /// A failed call changes nothing, an attempt that began arrives, and a listener serves.
    fn is_proved(&self) -> bool {
        match self.after.as_str() {
            "unchanged" => self.outcome != "EINPROGRESS",
            "arrives" => self.outcome == "EINPROGRESS",
            "serves" => self.call == "listen" && !self.failed(),
            other => other.is_empty() && self.call != "listen" && !self.failed(),
        }
    }
}

/// A listener with a full queue: further clients wait outside.
struct FullListener {
    listener: TcpListener,
    _inside: TcpStream,
}

impl FullListener {
    fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // Linux holds one more than it is passed.
        rustix::net::listen(&listener, 0)?;
        let inside = TcpStream::connect(listener.local_addr()?)?;
        Ok(Self { listener, _inside: inside })
    }

    fn make_room(&self) -> Result<()> {
        Ok(rustix::net::listen(&self.listener, 1000)?)
    }
}

/// Runs the program and gives its cells.
pub(crate) fn cells(wasock: Wasock) -> Result<Vec<Cell>> {
    let full = FullListener::new()?;
    let mut running = wasock.arg(full.listener.local_addr()?.to_string()).start()?;
    running.wait_for_stdout("make room")?;
    full.make_room()?;
    let finished = running.finish()?.expect_code(0)?;
    finished.stdout.lines().filter(|line| *line != "make room").map(Cell::read).collect()
}

/// `wasock run` with a profile and what its table needs: the wildcard is granted for
/// the profile that listens there by itself.
pub(crate) fn run_with_profile(profile: &str) -> Wasock {
    run_on_loopback().args(["--listen-profile", profile, "--listen", "0.0.0.0:0"])
}

/// The outcome of a cell, by the table and the differences.
fn expected(differences: Differences, state: &str, call: &str) -> Result<&'static str> {
    let column_of = if matches!(state, "accepted" | "arrived") { "connected" } else { state };
    if state == "closed" {
        return Ok("EBADF");
    }
    let differs = differences
        .iter()
        .find(|(states, of, _)| *of == call && states.split(' ').any(|state| state == column_of));
    if let Some((.., outcome)) = differs {
        return Ok(outcome);
    }
    let mut rows = WASIX.trim().lines();
    let states = rows.next().context("no states")?;
    let column = states.split_whitespace().position(|name| name == column_of);
    let column = column.with_context(|| format!("no column for {state}"))?;
    let row = rows.find(|row| row.split_whitespace().next() == Some(call));
    row.and_then(|row| row.split_whitespace().nth(column + 1)).with_context(|| format!("no row for {call}"))
}

fn answers_as(profile: &str, differences: Differences) -> Result<()> {
    let cells = cells(run_with_profile(profile).arg(guest_tests::SOCKET_STATES))?;
    let mut wrong = String::new();
    for cell in &cells {
        let expected = expected(differences, &cell.state, &cell.call)?;
        if cell.outcome != expected || !cell.is_proved() {
            writeln!(wrong, "{cell:?}: expected {expected}")?;
        }
    }
    ensure!(wrong.is_empty(), "profile {profile}:\n{wrong}");
    let calls = WASIX.trim().lines().count() - 1;
    ensure!(cells.len() == 13 * calls, "{} cells, not 13 times {calls}", cells.len());
    Ok(())
}

/// With the calls of another dialect: the same answers, where it has the call and the option.
fn answers_in(program: &str, profile: &str, differences: Differences) -> Result<()> {
    let cells = cells(run_with_profile(profile).arg(program))?;
    let (mut wrong, mut made) = (String::new(), 0);
    let is_there = |cell: &&Cell| !matches!(cell.outcome.as_str(), "ENOSYS" | "ENOPROTOOPT");
    for cell in cells.iter().filter(is_there) {
        let expected = expected(differences, &cell.state, &cell.call)?;
        made += 1;
        if cell.outcome != expected {
            writeln!(wrong, "{cell:?}: expected {expected}")?;
        }
    }
    ensure!(wrong.is_empty(), "profile {profile}:\n{wrong}");
    ensure!(made > 100, "{made} calls were made");
    Ok(())
}

#[test]
fn wasix_in_wasmedge() -> Result<()> {
    answers_in(guest_tests::wasmedge::SOCKET_STATES, "wasix", &[])
}

#[test]
fn wasix_in_wamr() -> Result<()> {
    answers_in(guest_tests::wamr::SOCKET_STATES, "wasix", &[])
}

#[test]
fn linux_in_wamr() -> Result<()> {
    answers_in(guest_tests::wamr::SOCKET_STATES, "linux", LINUX)
}

#[test]
fn wasix() -> Result<()> {
    answers_as("wasix", &[])
}

#[test]
fn posix() -> Result<()> {
    answers_as("posix", POSIX)
}

#[test]
fn winsock() -> Result<()> {
    answers_as("winsock", WINSOCK)
}

#[test]
fn bsd() -> Result<()> {
    answers_as("bsd", BSD)
}

#[test]
fn linux() -> Result<()> {
    answers_as("linux", LINUX)
}

/// The program without a profile: the default one is `wasix`.
#[test]
pub(crate) fn socket_states() -> Result<()> {
    let chosen = cells(run_with_profile("wasix").arg(guest_tests::SOCKET_STATES))?;
    let default = cells(run_on_loopback().arg(guest_tests::SOCKET_STATES))?;
    ensure!(chosen == default, "the default profile is another one");
    Ok(())
}

/// Which of several errors is returned, where an unbound listen is `unbound`.
fn order(profile: &str, grants: &[&str], unbound: &str) -> Result<Finished> {
    let folder = tempfile::tempdir()?;
    run_on_loopback()
        .args(grants)
        .args(["--listen-profile", profile, "--max-fds", "24", "--dir"])
        .arg(format!("{}::/", folder.path().display()))
        .args([guest_tests::ERROR_ORDER, unbound])
        .succeed()
}

/// Rule 9: descriptor, kind, rights, arguments, state, policy, operating system; in every profile.
#[test]
pub(crate) fn error_order() -> Result<()> {
    for (profile, unbound) in
        [("wasix", "EINVAL"), ("posix", "EDESTADDRREQ"), ("winsock", "EINVAL"), ("bsd", "EINVAL")]
    {
        let finished = order(profile, &[], unbound)?;
        ensure!(finished.stderr_lines_with("denied sock_listen").is_empty(), "{profile}\n{finished}");
    }
    Ok(())
}

/// Profile linux: a listen without an address binds the wildcard, and asks for exactly that.
#[test]
fn linux_asks_for_the_wildcard() -> Result<()> {
    // Nearly every port, but not the 0 that lets the host choose.
    let nearly = ["--listen", "*:2-65535"];
    let finished = order("linux", &nearly, "EACCES")?;
    for addr in ["0.0.0.0:0", "[::]:0"] {
        let line = format!(
            "denied sock_listen of {addr}: no --listen grant covers it; allow it with --listen {addr}"
        );
        ensure!(finished.stderr_lines_with(&line).len() == 1, "no {line:?}\n{finished}");
    }
    Ok(())
}
