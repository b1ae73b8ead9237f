//! The maximum for backlogs in every profile, while the guest runs.

use super::{WAIT_TIMEOUT, events, granted, run_async};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use guest_tests::{Attempt, Client, is_refused};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasock::{Event, Handle, ListenProfile, WasockCtx};

/// How many wait in each profile, for a backlog of 2 and of 5.
const WAITING: [(ListenProfile, usize, usize); 5] = [
    (ListenProfile::Wasix, 2, 5),
    (ListenProfile::Posix, 2, 5),
    (ListenProfile::Winsock, 2, 5),
    (ListenProfile::Bsd, 3, 8),
    (ListenProfile::Linux, 3, 6),
];

/// An input on which nothing ever comes: the guest waits for it, and never accepts.
struct Silence;

impl IsTerminal for Silence {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Silence {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(Self)
    }
}

impl AsyncRead for Silence {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

/// Runs a guest that listens with a backlog of 5 beside `test`, which has a thread of
/// its own.
async fn beside(ctx: WasockCtx, test: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    tokio::select! {
        ended = run_async(guest_tests::LISTENER, ctx) => Err(anyhow!("the guest ended: {ended:?}")),
        done = tokio::task::spawn_blocking(test) => done?,
    }
}

/// Connects until so many wait, and sees one more left out.
fn fill(addr: SocketAddr, profile: ListenProfile, waiting: &mut Vec<Client>, count: usize) -> Result<()> {
    while waiting.len() < count {
        waiting.push(Client::connect(addr)?);
    }
    if profile == ListenProfile::Winsock {
        return is_refused(addr);
    }
    ensure!(Attempt::start(addr)?.is_unanswered()?, "{profile}: more than {count} wait");
    Ok(())
}

/// The next event about the backlog: how many may wait now.
fn changed(events: &mpsc::Receiver<Event>) -> Result<u32> {
    loop {
        if let Event::BacklogChanged { capacity, .. } = events.recv_timeout(WAIT_TIMEOUT)? {
            return Ok(capacity);
        }
    }
}

#[tokio::test]
async fn the_maximum_changes_in_every_profile() -> Result<()> {
    for (profile, few, many) in WAITING {
        let (observer, events) = events();
        let ctx = granted()?
            .arg("listener")
            .arg("127.0.0.1:0")
            .arg("5")
            .stdin(&Silence)
            .listen_profile(profile)
            .max_backlog(2)
            .observer(observer)
            .build_for_any_module()?;
        let handle = ctx.handle();
        beside(ctx, move || changes(profile, few, many, &handle, &events))
            .await
            .with_context(|| profile.to_string())?;
    }
    Ok(())
}

fn changes(
    profile: ListenProfile,
    few: usize,
    many: usize,
    handle: &Handle,
    events: &mpsc::Receiver<Event>,
) -> Result<()> {
    let addr = loop {
        match events.recv_timeout(WAIT_TIMEOUT)? {
            Event::Listening { local, result, backlog, .. } => {
                ensure!(backlog == 5 && result == Ok(u32::try_from(few)?), "{backlog}: {result:?}");
                break local.inet().context("no network address")?;
            }
            Event::Denied { .. } => bail!("denied"),
            _ => {}
        }
    };
    let mut waiting = Vec::new();
    fill(addr, profile, &mut waiting, few)?;
    // The guest's own backlog counts again, which was cut down to the maximum.
    handle.set_max_backlog(100);
    ensure!(changed(events)? == u32::try_from(many)?);
    fill(addr, profile, &mut waiting, many)?;
    // The same once more changes nothing, and is no event.
    handle.set_max_backlog(99);
    handle.set_max_backlog(2);
    ensure!(changed(events)? == u32::try_from(few)?);
    let excess = waiting.split_off(few);
    for mut client in excess {
        match profile {
            ListenProfile::Winsock => client.is_reset()?,
            _ => client.hears_nothing()?,
        }
    }
    waiting.iter().try_for_each(Client::hears_nothing)?;
    fill(addr, profile, &mut waiting, few)
}
