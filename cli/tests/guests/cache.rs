//! The compile cache. What proves its files is tested in `trusted-code`.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{run, run_on_loopback};
use anyhow::{Context as _, Result, ensure};
use guest_tests::components::COMPONENT_LIFE;
use guest_tests::{ARGS_ENV_EXIT, HttpClient, Wasock};
use tempfile::TempDir;

/// A cache in a directory that goes at the end.
struct Cache(TempDir);

impl Cache {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self) -> Wasock {
        run().arg("--cache").arg(self.path())
    }

    /// The files of code, and what tells one from another that takes its place.
    fn files(&self) -> Result<Vec<(PathBuf, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.path().join("code"))? {
            let entry = entry?;
            files.push((entry.path(), entry.metadata()?.ino()));
        }
        files.sort();
        Ok(files)
    }
}

#[test]
fn what_was_compiled_is_there_at_the_next_start() -> Result<()> {
    for (program, argument, count) in [(ARGS_ENV_EXIT, "0", 1), (COMPONENT_LIFE, "ok", 2)] {
        let cache = Cache::new()?;
        let first = cache.run().args(["-v", program, argument]).succeed()?;
        let files = cache.files()?;
        ensure!(files.len() == count, "{files:?}: {first}");
        // The files are held until the next ones were written: so a number is one file's.
        let held: Vec<File> = files.iter().map(|(path, _)| File::open(path)).collect::<Result<_, _>>()?;
        cache.run().args([program, argument]).succeed()?.expect_no_stderr("wasock: ")?;
        ensure!(cache.files()? == files, "{program} was compiled again");
        drop(held);
    }
    Ok(())
}

#[test]
fn other_settings_are_other_code() -> Result<()> {
    let cache = Cache::new()?;
    cache.run().args([ARGS_ENV_EXIT, "0"]).succeed()?;
    cache.run().args(["--no-threads", ARGS_ENV_EXIT, "0"]).succeed()?;
    ensure!(cache.files()?.len() == 2);
    Ok(())
}

#[test]
fn a_file_that_is_broken_is_compiled_anew() -> Result<()> {
    let cache = Cache::new()?;
    cache.run().args([ARGS_ENV_EXIT, "0"]).succeed()?;
    let (path, _) = cache.files()?.pop().context("there is no file")?;
    let whole = fs::read(&path)?;
    let mut changed = whole.clone();
    // In the midst of the code.
    if let Some(byte) = changed.get_mut(whole.len() / 2) {
        *byte ^= 1;
    }
    for broken in [changed.as_slice(), whole.get(..whole.len() / 2).unwrap_or_default(), b""] {
        fs::remove_file(&path)?;
        fs::write(&path, broken)?;
        fs::set_permissions(&path, Permissions::from_mode(0o400))?;
        let finished = cache.run().args(["-v", ARGS_ENV_EXIT, "0"]).succeed()?;
        finished.expect_stderr("it is not as it was written")?;
        ensure!(fs::read(&path)?.len() == whole.len(), "it was not compiled anew");
        cache.run().args(["-v", ARGS_ENV_EXIT, "0"]).succeed()?.expect_no_stderr("as it was written")?;
    }
    Ok(())
}

#[test]
fn many_hosts_share_one() -> Result<()> {
    let cache = Cache::new()?;
    let starts = (0..8).map(|_| cache.run().args([ARGS_ENV_EXIT, "0"]).start());
    let running = starts.collect::<Result<Vec<_>>>()?;
    for host in running {
        host.finish()?.expect_code(0)?.expect_no_stderr("wasock: ")?;
    }
    ensure!(cache.files()?.len() == 1, "{:?}", cache.files()?);
    Ok(())
}

#[test]
fn what_is_removed_goes_on_running() -> Result<()> {
    let cache = Cache::new()?;
    let flags = ["--reload-signal", "HUP"];
    let start = || {
        let host = run_on_loopback().arg("--cache").arg(cache.path()).args(flags);
        host.args([guest_tests::HTTP_SERVER, "127.0.0.1:0"]).start()
    };
    let mut first = start()?;
    first.listening()?;
    first.stop()?;
    let mut server = start()?;
    let addr = server.listening()?;
    fs::remove_dir_all(cache.path().join("code"))?;
    HttpClient::connect(addr)?.get("/")?;
    // There is nothing to write to any more, and that is no reason to fail.
    server.signal(rustix::process::Signal::HUP)?;
    server.wait_for_stderr("generation 2 serves")?;
    HttpClient::connect(addr)?.get("/")?;
    server.stop().map(drop)
}

#[test]
fn a_guest_that_could_write_to_it_has_none() -> Result<()> {
    let cache = Cache::new()?;
    cache.run().args([ARGS_ENV_EXIT, "0"]).succeed()?;
    let before = cache.files()?;
    let inside = cache.path().join("code/inside");
    fs::create_dir(&inside)?;
    for directory in [cache.path(), &cache.path().join("code"), &inside] {
        let run = || cache.run().arg("--dir").arg(directory).args(["--no-threads", ARGS_ENV_EXIT, "0"]);
        let finished = run().succeed()?;
        finished.expect_one_line()?.expect_stderr("the compile cache is not used")?;
    }
    fs::remove_dir(&inside)?;
    ensure!(cache.files()? == before, "something was written there");
    // To look at it is another thing.
    let reads = cache.run().arg("--dir-ro").arg(cache.path()).args(["--no-threads", ARGS_ENV_EXIT, "0"]);
    reads.succeed()?.expect_no_stderr("wasock: ")?;
    ensure!(cache.files()?.len() == 2);
    Ok(())
}

#[test]
fn a_place_that_others_may_write_to_is_none() -> Result<()> {
    let cache = Cache::new()?;
    fs::set_permissions(cache.path(), Permissions::from_mode(0o777))?;
    let finished = cache.run().args([ARGS_ENV_EXIT, "0"]).succeed()?;
    finished.expect_one_line()?.expect_stderr("(--cache): ")?.expect_stderr("other users may write to it")?;
    fs::set_permissions(cache.path(), Permissions::from_mode(0o755))?;
    cache.run().args([ARGS_ENV_EXIT, "0"]).succeed()?.expect_no_stderr("wasock: ")?;
    fs::set_permissions(cache.path().join("code"), Permissions::from_mode(0o755))?;
    cache.run().args([ARGS_ENV_EXIT, "0"]).succeed()?.expect_stderr("chmod 700").map(drop)
}

#[test]
fn it_lies_below_the_folder_for_caches_by_itself() -> Result<()> {
    let home = tempfile::tempdir()?;
    let home = home.path().to_str().context("a path in UTF-8")?;
    run().env("XDG_CACHE_HOME", home).args([ARGS_ENV_EXIT, "0"]).succeed()?;
    let folder = Path::new(home).join("wasock/code");
    ensure!(fs::read_dir(&folder)?.count() == 1);
    ensure!(fs::metadata(&folder)?.permissions().mode() & 0o777 == 0o700);
    run().env("XDG_CACHE_HOME", "relative").env("HOME", home).args([ARGS_ENV_EXIT, "0"]).succeed()?;
    ensure!(Path::new(home).join(".cache/wasock/code").is_dir());
    // Not with a word against it.
    let other = tempfile::tempdir()?;
    let path = other.path().to_str().context("a path in UTF-8")?;
    run().env("XDG_CACHE_HOME", path).args(["--no-cache", ARGS_ENV_EXIT, "0"]).succeed()?;
    ensure!(fs::read_dir(other.path())?.count() == 0);
    let both = run().args(["--cache", path, "--no-cache", ARGS_ENV_EXIT, "0"]).finish()?;
    both.expect_code(2)?.expect_stderr("cannot be used with").map(drop)
}

/// A guest's programs go through the same cache.
#[test]
fn programs_that_a_guest_starts_are_kept() -> Result<()> {
    let cache = Cache::new()?;
    let programs = tempfile::tempdir()?;
    let path = programs.path().join("child");
    fs::copy(ARGS_ENV_EXIT, &path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    let mut parent = File::create(programs.path().join("parent.wat"))?;
    parent.write_all(EXECUTES.as_bytes())?;
    let run = || {
        let grant = format!("{}::/bin", programs.path().display());
        cache.run().args(["--exec", &grant]).arg(programs.path().join("parent.wat")).finish()?.expect_code(7)
    };
    run()?;
    let files = cache.files()?;
    ensure!(files.len() == 2, "{files:?}");
    run()?;
    ensure!(cache.files()? == files, "it was compiled again");
    Ok(())
}

/// Becomes `/bin/child 7`.
const EXECUTES: &str = r#"(module
    (import "wasix_32v1" "proc_exec3" (func $exec (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "/bin/child")
    (data (i32.const 96) "child\n7")
    (func (export "_start")
        (drop (call $exec
            (i32.const 64) (i32.const 10)
            (i32.const 96) (i32.const 7)
            (i32.const 0) (i32.const 0)
            (i32.const 0)
            (i32.const 0) (i32.const 0)))))"#;
