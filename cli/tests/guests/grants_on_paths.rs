//! A grant on the path of a socket is for the socket that is there, whatever the guest does to
//! names in its own directories.

use super::run;
use anyhow::{Context as _, Result, ensure};
use guest_tests::Wasock;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::path::Path;
use tempfile::TempDir;

/// Directories of the host, with listeners that count their clients.
struct Host {
    folder: TempDir,
    secrets: Vec<UnixListener>,
    granted: UnixListener,
}

impl Host {
    /// A granted socket, and others that are not.
    fn new(granted: &str, secrets: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let listen = |name: &str| -> Result<UnixListener> {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().context("no folder")?)?;
            let listener = UnixListener::bind(path)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let secrets = secrets.iter().map(|name| listen(name)).collect::<Result<_>>()?;
        let granted = listen(granted)?;
        Ok(Self { folder, secrets, granted })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A directory of it, as `--dir` takes it.
    fn dir(&self, name: &str, guest: &str) -> [String; 2] {
        ["--dir".to_owned(), format!("{}::{guest}", self.path().join(name).display())]
    }

    /// Was the granted socket reached, and no other one?
    fn check(&self, is_reached: bool) -> Result<()> {
        let reached = |listener: &UnixListener| match listener.accept() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        };
        for secret in &self.secrets {
            ensure!(!reached(secret)?, "{:?} was reached", secret.local_addr()?);
        }
        ensure!(reached(&self.granted)? == is_reached, "the granted one: not {is_reached}");
        Ok(())
    }
}

/// Takes the steps, each of which goes as it says: `rename /run/a /run/b: EACCES`.
fn steps(host: Wasock, steps: &[&str]) -> Result<guest_tests::Finished> {
    let orders = steps.iter().map(|step| step.rsplit_once(": ").map_or(*step, |(order, _)| order));
    let finished = host.arg(guest_tests::SOCKET_MOVES).args(orders).succeed()?;
    for (line, step) in finished.stdout.lines().zip(steps) {
        ensure!(line == *step, "{line}, not as expected: {step}\n{finished}");
    }
    ensure!(finished.stdout.lines().count() == steps.len(), "{finished}");
    Ok(finished)
}

/// The program that does its own renaming and linking.
#[test]
pub(crate) fn socket_name_moved() -> Result<()> {
    let host = Host::new("app.sock", &["secret.sock"])?;
    let finished = run()
        .args(host.dir("", "/run"))
        .args(["--connect", "unix:/run/app.sock", guest_tests::SOCKET_NAME_MOVED])
        .finish()?;
    // EACCES by the one, success by the other.
    let finished = finished.expect_code(2 * 16)?;
    finished.expect_stderr("wasock: denied path_rename of unix:/run/app.sock to unix:/run/app.old: ")?;
    host.check(true)
}

#[test]
pub(crate) fn socket_moves() -> Result<()> {
    let host = Host::new("app.sock", &["secret.sock"])?;
    let guest = run().args(host.dir("", "/run")).args(["--connect", "unix:/run/app.sock"]);
    let finished = steps(
        guest,
        &[
            "rename /run/secret.sock /run/app.sock: EACCES",
            "rename /run/app.sock /run/old.sock: EACCES",
            "link /run/app.sock /run/more.sock: EACCES",
            "link /run/secret.sock /run/app.sock: EACCES",
            // The name is free now, and granted.
            "unlink /run/app.sock: done",
            "rename /run/secret.sock /run/app.sock: EACCES",
            "rename /run/./secret.sock /run/none/../app.sock: ENOENT",
            "rename /run/../run/secret.sock /run/app.sock: EPERM",
            "link /run/secret.sock /run/app.sock: EACCES",
            "connect /run/app.sock: ENOENT",
            "symlink secret.sock /run/app.sock: done",
            "connect /run/app.sock: EACCES",
            "unlink /run/app.sock: done",
            "symlink secret.sock /run/way: done",
            "link_target /run/way /run/app.sock: EACCES",
            "link /run/way /run/app.sock: done",
            "connect /run/app.sock: EACCES",
            // On some file systems these are one name.
            "rename /run/secret.sock /run/APP.sock: EACCES",
            // What is no socket moves as ever.
            "rename /run/way /run/other: done",
        ],
    )?;
    finished.expect_stderr("allow it with --connect unix:/run/secret.sock")?;
    host.check(false)
}

/// Names that differ in case alone are two where the file system says so.
#[test]
fn upper_and_lower_case_widen_nothing() -> Result<()> {
    let host = Host::new("app.sock", &["APP.sock"])?;
    steps(
        run().args(host.dir("", "/run")).args(["--connect", "unix:/run/app.sock"]),
        &[
            "unlink /run/app.sock: done",
            "rename /run/APP.sock /run/app.sock: EACCES",
            "connect /run/APP.sock: EACCES",
            "connect /run/app.sock: ENOENT",
        ],
    )?;
    host.check(false)
}

/// A guest with grants for a whole directory moves sockets in it, and not out of it.
#[test]
fn sockets_move_between_names_with_the_same_grants() -> Result<()> {
    let host = Host::new("app.sock", &["out/secret.sock"])?;
    let both = ["--connect", "unix:/run/*", "--listen", "unix:/run/*"];
    steps(
        run().args(host.dir("", "/run")).args(both).args(["--connect", "unix:/run/out/granted.sock"]),
        &[
            "rename /run/app.sock /run/new.sock: done",
            "connect /run/app.sock: ENOENT",
            "connect /run/new.sock: done",
            "link /run/new.sock /run/app.sock: done",
            "bind /run/own.sock.tmp: done",
            "rename /run/own.sock.tmp /run/own.sock: done",
            "rename /run/own.sock /run/out/own.sock: EACCES",
            "link /run/own.sock /run/out/granted.sock: EACCES",
            "rename /run/out/secret.sock /run/secret.sock: EACCES",
            "rename /run/out/secret.sock /run/out/granted.sock: EACCES",
        ],
    )?;
    host.check(true)?;
    // Every path is granted: there is nothing to widen.
    let every = ["--connect", "unix:*", "--listen", "unix:*"];
    steps(
        run().args(host.dir("", "/run")).args(every),
        &["rename /run/app.sock /run/out/app.sock: done", "rename /run/out /run/moved: done"],
    )?;
    host.check(false)
}

/// What is denied is denied under every name.
#[test]
fn a_denied_socket_is_not_moved_out_of_its_denial() -> Result<()> {
    let host = Host::new("app.sock", &["a/secret.sock"])?;
    steps(
        run().args(host.dir("", "/run")).args([
            "--connect",
            "unix:*",
            "--listen",
            "unix:*",
            "--deny-connect",
            "unix:/run/a/secret.sock",
        ]),
        &[
            "connect /run/a/secret.sock: EACCES",
            "rename /run/a/secret.sock /run/open.sock: EACCES",
            "link /run/a/secret.sock /run/open.sock: EACCES",
            "rename /run/a /run/b: EACCES",
            "connect /run/app.sock: done",
            "rename /run/app.sock /run/new.sock: done",
        ],
    )?;
    host.check(true)
}

/// A guest's listener cannot be moved to where it may not listen.
#[test]
fn a_listener_keeps_its_name() -> Result<()> {
    let host = Host::new("app.sock", &[])?;
    steps(
        run().args(host.dir("", "/run")).args(["--listen", "unix:/run/sub/own.sock"]),
        &[
            "mkdir /run/sub: done",
            "bind /run/sub/own.sock: done",
            "rename /run/sub/own.sock /run/docker.sock: EACCES",
            "link /run/sub/own.sock /run/docker.sock: EACCES",
            "rename /run/sub /run/other: EACCES",
        ],
    )?;
    ensure!(!host.path().join("docker.sock").exists() && !host.path().join("other").exists());
    Ok(())
}

/// Directories on the way of a grant keep their names, and no other one gets such a name.
#[test]
fn directories_on_the_way_stay() -> Result<()> {
    for grant in ["unix:/d/a/run/app.sock", "unix:/d/a/run/*"] {
        let host = Host::new("a/run/app.sock", &["b/run/app.sock", "b/app.sock", "a/c/app.sock"])?;
        let finished = steps(
            run().args(host.dir("", "/d")).args(["--connect", grant]),
            &[
                "rename /d/a/run /d/old: EACCES",
                "rename /d/a/run/ /d/old/: EACCES",
                "rename /d/a /d/old: EACCES",
                "rename /d/b /d/a: EACCES",
                "rename /d/b /d/A: EACCES",
                "rename /d/b/run /d/a/run: EACCES",
                "rename /d/a/c /d/a/run: EACCES",
                "rename_in /d/a c run: EACCES",
                "rename_in /d/a run old: EACCES",
                // Others are moved as ever.
                "rename /d/a/c /d/b/c: done",
                "rename /d/b /d/e: done",
                "connect /d/e/run/app.sock: EACCES",
                "connect /d/e/c/app.sock: EACCES",
                "connect /d/a/run/app.sock: done",
            ],
        )?;
        finished.expect_stderr("wasock: denied path_rename of /d/a/run to /d/old: ")?;
        host.check(true)?;
    }
    Ok(())
}

/// A way that does not exist yet can't be made of what is there.
#[test]
fn no_directory_is_moved_onto_the_way() -> Result<()> {
    let host = Host::new("unused.sock", &["b/app.sock", "c/run/app.sock"])?;
    steps(
        run().args(host.dir("", "/d")).args(["--connect", "unix:/d/a/run/app.sock"]),
        &[
            "rename /d/c /d/a: EACCES",
            "symlink c /d/a: done",
            "connect /d/a/run/app.sock: EACCES",
            "unlink /d/a: done",
            "mkdir /d/a: done",
            "rename /d/b /d/a/run: EACCES",
            "symlink ../b /d/a/run: done",
            "connect /d/a/run/app.sock: EACCES",
        ],
    )?;
    host.check(false)
}

/// One directory of the host's under two names, and one inside another.
#[test]
fn views_of_one_directory_have_the_grants_of_each() -> Result<()> {
    let host = Host::new("d/run/app.sock", &["d/run/secret.sock", "d/other/app.sock"])?;
    steps(
        run()
            .args(host.dir("", "/z"))
            .args(host.dir("d", "/x"))
            .args(host.dir("d", "/y"))
            .args(host.dir("d/run", "/run"))
            .args(["--connect", "unix:/y/run/app.sock", "--connect", "unix:/run/app.sock"]),
        &[
            "unlink /x/run/app.sock: done",
            "rename /x/run/secret.sock /x/run/app.sock: EACCES",
            "link /x/run/secret.sock /x/run/app.sock: EACCES",
            "rename /run/secret.sock /x/run/app.sock: EACCES",
            "rename /x/run /x/old: EACCES",
            "rename /x/other /x/run: EACCES",
            "rename /z/d /z/e: EACCES",
            "connect /y/run/secret.sock: EACCES",
            "connect /run/app.sock: ENOENT",
        ],
    )?;
    host.check(false)
}

/// The paths of descriptors in `/proc` lead to no socket.
#[test]
fn no_way_leads_through_proc() -> Result<()> {
    let host = Host::new("app.sock", &["secret.sock"])?;
    let (granted, secret) = (host.path().join("app.sock"), host.path().join("secret.sock"));
    let grant = format!("unix:{}", granted.display());
    let root = format!("/proc/self/root{}", secret.display());
    steps(
        run().args(["--dir-ro", "/::/", "--connect", &grant]),
        &[
            &format!("connect {}: done", granted.display()),
            &format!("connect {}: EACCES", secret.display()),
            &format!("connect {root}: EACCES"),
            &format!("connect /proc/self/cwd/..{root}: EACCES"),
        ],
    )?;
    host.check(true)
}

/// What the operator holds back, and what the guest has given away, is missing.
#[test]
fn bind_and_chdir_ask_the_rights_of_their_directory() -> Result<()> {
    const CREATE_FILE: u32 = 10;
    const OPEN: u32 = 13;
    let host = Host::new("app.sock", &[])?;
    let granted = |flag: &str| {
        let dir = format!("{}::/run", host.path().display());
        run().args([flag, &dir, "--listen", "unix:*", "--connect", "unix:*"])
    };
    fs::create_dir(host.path().join("sub"))?;
    steps(
        granted("--dir-ro"),
        &["bind /run/own.sock: EROFS", "chdir /run/sub: done", "connect /run/app.sock: done"],
    )?;
    steps(
        granted("--dir"),
        &[
            &format!("give_away /run {CREATE_FILE}: done"),
            "bind /run/own.sock: ENOTCAPABLE",
            "bind /run/sub/own.sock: ENOTCAPABLE",
            "connect /run/app.sock: done",
            "chdir /run/sub: done",
            "bind ../own.sock: ENOTCAPABLE",
            &format!("give_away /run {OPEN}: done"),
            "connect /run/app.sock: ENOTCAPABLE",
            "chdir /run/sub: ENOTCAPABLE",
            "chdir /: done",
        ],
    )?;
    ensure!(!host.path().join("own.sock").exists());
    Ok(())
}
