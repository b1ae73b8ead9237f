//! `sock_send_file` in every way that a guest can be run: what the kernel sends by itself where a guest may stop its thread is
//! copied elsewhere, with the same answers.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tokio::time::timeout;
use wasmtime::Engine;
use wasock::{Access, Ended, Guest};

use super::{WAIT_TIMEOUT, granted, plain};

#[tokio::test]
async fn a_file_is_sent_wherever_the_guest_runs() -> Result<()> {
    let engine = Engine::new(&Guest::engine_config()).map_err(plain)?;
    let guest = Guest::load(&engine, Path::new(guest_tests::SEND_FILE))?;
    for own_thread in [false, true] {
        for blocks_on_files in [false, true] {
            let folder = tempfile::tempdir()?;
            let ctx = granted()?
                .connect(&"127.0.0.1:*".parse()?)
                .preopened_dir(folder.path(), "/", Access::ReadWrite)?
                .blocks_on_files(blocks_on_files)
                .build_for_any_module()?;
            let run = guest.clone().own_thread(own_thread);
            let ended = timeout(WAIT_TIMEOUT, run.run(ctx)).await.context("it hangs")?;
            ensure!(ended.map_err(plain)? == Ended { code: 0 }, "{own_thread}, {blocks_on_files}");
        }
    }
    Ok(())
}
