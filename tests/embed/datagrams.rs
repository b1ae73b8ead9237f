//! Datagram sockets as an embedder sees them: where they are bound, and what was kept
//! from the guest.

use super::{WAIT_TIMEOUT, events, run_async};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::net::UdpSocket;
use wasock::{Event, WasockCtx};

#[test]
fn events_tell_where_messages_come_in_and_which_do_not() -> Result<()> {
    let (observer, events) = events();
    let builder = WasockCtx::builder().accept_from("127.0.0.1/32".parse()?).observer(observer);
    let builder =
        ["datagram_receiver", "epoll", "127.0.0.1:0"].iter().fold(builder, |all, arg| all.arg(*arg));
    let ctx = builder.udp_bind(&"127.0.0.1:0".parse()?).build_for_any_module()?;
    let handle = ctx.handle();
    let guest = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run_async(guest_tests::DATAGRAM_RECEIVER, ctx))
    });
    let Event::Bound { fd, local } = events.recv_timeout(WAIT_TIMEOUT)? else {
        bail!("another event came first")
    };
    let at = local.inet().context("no network address")?;
    ensure!(at.port() != 0 && fd == 3, "{at} {fd}");
    for (from, text) in [("127.0.0.2:0", "end"), ("127.0.0.3:0", "end"), ("127.0.0.1:0", "end")] {
        UdpSocket::bind(from)?.send_to(text.as_bytes(), at)?;
    }
    guest.join().map_err(|_| anyhow!("a panic"))??;
    ensure!(handle.flush_events(WAIT_TIMEOUT), "the events do not end");
    let told: Vec<Event> = events.try_iter().collect();
    let [Event::Denied { call: "sock_recv_from", what, .. }, Event::Denied { flag, .. }, dropped] = &told[..]
    else {
        bail!("{told:?}")
    };
    ensure!(what == "127.0.0.2" && flag == "--accept-from 127.0.0.3", "{told:?}");
    ensure!(*dropped == Event::Dropped { fd, local, count: 2 }, "{told:?}");
    Ok(())
}
