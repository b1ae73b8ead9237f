//! Every call that takes a socket, on every kind: a row of the table, a test.

use super::call_table::{Counterparts, DIALECTS, Row, TABLE, WAMR, WASMEDGE};
use super::{Dialect, KINDS, kinds_here, run_with_kinds};
use anyhow::{Context as _, Result, anyhow, ensure};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What came of a call: by kind and call.
type Outcomes = BTreeMap<(String, String), String>;

/// One run of the guest, for all the rows.
static OUTCOMES: LazyLock<Result<Outcomes>> =
    LazyLock::new(|| made_by(guest_tests::KINDS_CALLS, &kinds_here()));

fn made_by(program: &str, kinds: &[&str]) -> Result<Outcomes> {
    let folder = tempfile::tempdir()?;
    let finished = run_with_kinds(folder.path()).arg(program).args(kinds).succeed()?;
    let outcome = |line: &str| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().with_context(|| format!("no outcome: {line:?}"));
        Ok(((word()?, word()?), word()?))
    };
    finished.stdout.lines().map(outcome).collect()
}

fn outcomes() -> Result<&'static Outcomes> {
    OUTCOMES.as_ref().map_err(|error| anyhow!("{error:#}"))
}

fn row(call: &str) -> Result<()> {
    let row = TABLE.iter().find(|row| row.call == call).context("no such row")?;
    let here = kinds_here();
    let mut wrong = Vec::new();
    for (kind, expected) in KINDS.into_iter().zip(row.answers).filter(|(kind, _)| here.contains(kind)) {
        let outcome = outcomes()?.get(&(kind.to_owned(), call.to_owned()));
        if outcome.map(String::as_str) != Some(expected) {
            wrong.push(format!("{kind}: {outcome:?}, not {expected}"));
        }
    }
    ensure!(wrong.is_empty(), "{call}\n{}", wrong.join("\n"));
    Ok(())
}

macro_rules! rows {
    ($($call:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($call)),*];
        $(
            #[test]
            fn $call() -> Result<()> {
                row(stringify!($call))
            }
        )*
    };
}

rows! {
    sock_open sock_pair sock_bind sock_listen sock_accept sock_accept_v2 sock_connect
    sock_send sock_send_to sock_send_file sock_recv sock_recv_from sock_send_msg sock_recv_msg sock_shutdown
    sock_join_multicast_v4 sock_leave_multicast_v4 sock_join_multicast_v6 sock_leave_multicast_v6
    sock_status sock_addr_local sock_addr_peer
    sock_set_opt_flag sock_get_opt_flag sock_set_opt_size sock_get_opt_size
    sock_set_opt_time sock_get_opt_time
    fd_read fd_write fd_close fd_dup fd_dup2 fd_renumber
    fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_fdflags_get fd_fdflags_set
    fd_filestat_get poll_oneoff epoll_ctl epoll_wait
    fd_advise fd_allocate fd_datasync fd_filestat_set_size fd_filestat_set_times fd_pread
    fd_prestat_get fd_pwrite fd_readdir fd_seek fd_sync fd_tell
    path_filestat_get path_open path_unlink_file
}

/// What the dialect has a call for does the same, on every kind that it has; the rest is `ENOSYS`.
fn same_in(dialect: &Counterparts, program: &str, kinds: Vec<&str>) -> Result<()> {
    let outcomes = made_by(program, &kinds)?;
    let mut wrong = Vec::new();
    for row in TABLE {
        let answers = KINDS.into_iter().zip(row.answers).filter(|(kind, _)| kinds.contains(kind));
        for (kind, answer) in answers {
            let expected = if dialect.of(row.call).is_some() { answer } else { "ENOSYS" };
            let outcome = outcomes.get(&(kind.to_owned(), row.call.to_owned()));
            if outcome.map(String::as_str) != Some(expected) {
                wrong.push(format!("{kind} {}: {outcome:?}, not {expected}", row.call));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}\n{}", dialect.dialect, wrong.join("\n"));
    Ok(())
}

#[test]
fn wasmedge() -> Result<()> {
    same_in(&WASMEDGE, guest_tests::wasmedge::KINDS_CALLS, Dialect::WasmEdge.kinds())
}

#[test]
fn wamr() -> Result<()> {
    same_in(&WAMR, guest_tests::wamr::KINDS_CALLS, Dialect::Wamr.kinds())
}

/// The table, the tests and the program have the same calls, and each has every kind.
#[test]
pub(crate) fn kinds_calls() -> Result<()> {
    let named: Vec<&str> = TABLE.iter().map(|row| row.call).collect();
    ensure!(named == TESTED, "the table and its tests differ");
    let made = outcomes()?.len();
    ensure!(made == named.len() * kinds_here().len(), "the program makes {made} calls");
    let unexplained = |row: &&Row| row.answers.iter().any(|it| *it != "works") && row.why.is_empty();
    let unexplained: Vec<&str> = TABLE.iter().filter(unexplained).map(|row| row.call).collect();
    ensure!(unexplained.is_empty(), "no reasons: {unexplained:?}");
    // Every call of the ABI that names a socket is a row.
    let missing: Vec<&str> = wasock::internals::FUNCTIONS
        .iter()
        // Those of another dialect reach the same sockets by other names.
        .filter(|function| function.added_by.is_none())
        .map(|function| function.name)
        .filter(|name| name.starts_with("sock_") && !named.contains(name))
        .collect();
    ensure!(missing.is_empty(), "no rows: {missing:?}");
    // And a counterpart is a call that its dialect has.
    let has = |id: &str, call: &str| {
        let is_its_own = |added_by: Option<&str>| added_by.is_none_or(|by| by == id);
        let mut functions = wasock::internals::FUNCTIONS.iter();
        let is_named = |name: &str| match call.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == call,
        };
        functions.any(|function| is_named(function.name) && is_its_own(function.added_by))
    };
    for dialect in DIALECTS {
        let lacking: Vec<_> = dialect.calls.iter().filter(|(_, call)| !has(dialect.id, call)).collect();
        ensure!(lacking.is_empty(), "not in {}: {lacking:?}", dialect.dialect);
    }
    Ok(())
}
