//! Names of sockets in an embedder's process, where files move to other threads.

use super::*;
use std::path::Path;
use wasock::{Access, Address};

fn with_run(folder: &Path) -> Result<WasockCtxBuilder> {
    let every = "unix:/run/*".parse()?;
    let builder = WasockCtx::builder().listen(&every).connect(&every);
    Ok(builder.preopened_dir(folder, "/run", Access::ReadWrite)?)
}

#[tokio::test]
async fn an_async_embedders_guest_has_names() -> Result<()> {
    for program in [guest_tests::UNIX_STREAM, guest_tests::UNIX_SEQPACKET, guest_tests::UNIX_DATAGRAM] {
        let folder = tempfile::tempdir()?;
        run_async(program, with_run(folder.path())?.arg("guest").build_for_any_module()?).await?;
    }
    Ok(())
}

/// Every name of the guest is whole in events, and goes when the embedder wants it to.
#[tokio::test]
async fn names_are_events_and_are_removed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (observer, events) = events();
    let builder = with_run(folder.path())?.unix_unlink(true).observer(observer);
    run_async(guest_tests::UNIX_SEQPACKET, builder.arg("guest").build_for_any_module()?).await?;
    ensure!(std::fs::read_dir(folder.path())?.count() == 0, "names are left");
    let local = loop {
        if let Event::Listening { local, .. } = events.recv_timeout(WAIT_TIMEOUT)? {
            break local;
        }
    };
    ensure!(local.path() == Some("/run/packets"), "{local:?}");
    ensure!(local.to_string() == "unix:/run/packets" && local.inet().is_none());
    let accepted = events.iter().find_map(|event| match event {
        Event::Accepted { peer, local, .. } => Some((peer, local)),
        _ => None,
    });
    let (peer, at) = accepted.context("no connection was reported")?;
    ensure!(at == local && matches!(&peer, Address::Unix(name) if name.path().is_none()), "{peer:?}");
    Ok(())
}

/// Descriptors pass where calls are futures, too.
#[tokio::test]
async fn an_async_embedders_guest_passes_descriptors() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let loopback = "127.0.0.1:*".parse()?;
    let builder = WasockCtx::builder().listen(&loopback).connect(&loopback);
    let builder = builder.preopened_dir(folder.path(), "/", Access::ReadWrite)?.arg("guest");
    run_async(guest_tests::PASS_DESCRIPTORS, builder.build_for_any_module()?).await
}

/// Two services of one process: a descriptor that a guest of one sends is nothing to a guest of the
/// other one, which would wait for clients at it.
#[tokio::test]
async fn a_service_gets_no_descriptor_of_another_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (observer, events) = events();
    let receiver = with_run(folder.path())?.observer(observer).arg("guest").arg("receive");
    let receiver = receiver.build_for_any_module()?;
    let receiver = tokio::spawn(async move { run_async(guest_tests::PASS_BETWEEN, receiver).await });
    while !matches!(events.try_recv(), Ok(Event::Listening { .. })) {
        ensure!(!receiver.is_finished(), "the receiver has ended");
        tokio::task::yield_now().await;
    }
    let sender = with_run(folder.path())?.listen(&"127.0.0.1:*".parse()?).arg("guest").arg("send");
    run_async(guest_tests::PASS_BETWEEN, sender.build_for_any_module()?).await?;
    tokio::time::timeout(WAIT_TIMEOUT, receiver).await??
}
