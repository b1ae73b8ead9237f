//! Guests beside one another, and beside the embedder's own tasks.

use super::{events, expect_ok, granted, is_served, listening_async, run_async};
use anyhow::{Result, anyhow};
use std::cell::Cell;
use std::time::Duration;

#[tokio::test]
async fn two_guests_answer_at_once() -> Result<()> {
    let (first_observer, first_events) = events();
    let (second_observer, second_events) = events();
    let first =
        granted()?.arg("server").arg("127.0.0.1:0").observer(first_observer).build_for_any_module()?;
    let second =
        granted()?.arg("server").arg("127.0.0.1:0").observer(second_observer).build_for_any_module()?;
    let clients = async {
        let (first, second) =
            tokio::try_join!(listening_async(first_events), listening_async(second_events))?;
        // Both connections are open at once, and each server replies on its own.
        let first = tokio::task::spawn_blocking(move || is_served(first));
        let second = tokio::task::spawn_blocking(move || is_served(second));
        let (first, second) = tokio::try_join!(first, second)?;
        first.and(second)
    };
    tokio::select! {
        ended = run_async(guest_tests::HTTP_SERVER, first) => Err(anyhow!("the first ended: {ended:?}")),
        ended = run_async(guest_tests::HTTP_SERVER, second) => Err(anyhow!("the second ended: {ended:?}")),
        done = clients => done,
    }
}

#[tokio::test]
async fn a_guest_that_waits_blocks_no_other() -> Result<()> {
    let (observer, events) = events();
    let ctx = granted()?.observer(observer).build_for_any_module()?;
    let ticks = Cell::new(0);
    let ticking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ticks.set(ticks.get() + 1);
        }
    };
    let client = async {
        let address = listening_async(events).await?;
        // The guest waits in a blocking accept meanwhile.
        let before = ticks.get();
        while ticks.get() < before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::task::spawn_blocking(move || expect_ok(address)).await?
    };
    tokio::select! {
        done = async { tokio::try_join!(run_async(guest_tests::MEMORY_EXPORTED_PLAIN, ctx), client) } => {
            done.map(drop)
        }
        () = ticking => Ok(()),
    }
}
