//! An embedder's own check beside the grants.

use super::{WAIT_TIMEOUT, events, expect_ok, granted, listening_async, run_async};
use anyhow::{Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use wasock::Event;
use wasock::Use;

#[tokio::test]
async fn a_check_refuses_what_is_granted() -> Result<()> {
    let (observer, events) = events();
    let builder = granted()?.observer(observer).check(|wish| !matches!(wish, Use::TcpListen(_)));
    let ended = run_async(guest_tests::MEMORY_EXPORTED_PLAIN, builder.build_for_any_module()?).await;
    // "EACCES"
    ensure!(format!("{ended:?}").contains("exit code 2"), "{ended:?}");
    match events.recv_timeout(WAIT_TIMEOUT)? {
        Event::Denied { call: "sock_bind", what, rule, flag } => {
            ensure!(what == "127.0.0.1:0" && flag.is_empty(), "{what} {flag}");
            ensure!(rule == "the host's own check refuses it", "{rule}");
        }
        other => ensure!(false, "{other:?}"),
    }
    Ok(())
}

/// The port that the host chose is asked for as well, and each peer.
#[tokio::test]
async fn a_check_is_asked_for_each_use() -> Result<()> {
    let (observer, events) = events();
    let turned_away = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&turned_away);
    let ports = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&ports);
    let builder = granted()?.observer(observer).check(move |wish| match wish {
        Use::TcpListen(address) => {
            seen.fetch_max(address.port().into(), Relaxed);
            true
        }
        // The first peer panics, the second is refused, and the third is accepted.
        Use::TcpAccept(_) => {
            let before = count.fetch_add(1, Relaxed);
            assert!(before != 0, "as the test wants it");
            before > 1
        }
        _ => false,
    });
    let guest = run_async(guest_tests::MEMORY_EXPORTED_PLAIN, builder.build_for_any_module()?);
    let client = async {
        let address = listening_async(events).await?;
        tokio::task::spawn_blocking(move || {
            for _ in 0..2 {
                guest_tests::is_refused(address)?;
            }
            expect_ok(address).map(|()| address)
        })
        .await?
    };
    let (ended, address) = tokio::join!(guest, client);
    ended?;
    ensure!(ports.load(Relaxed) == address?.port().into(), "not asked for the port that was chosen");
    ensure!(turned_away.load(Relaxed) == 3, "asked {turned_away:?} times");
    Ok(())
}
