//! A containerd of a test's own.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::image::Image;
use crate::left;

/// What these tests start, and the packages of Debian that have it.
pub(crate) const PROGRAMS: [(&str, &str); 5] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("setpriv", "util-linux"),
];

/// How long anything may take before a test gives up on it, on a machine that is busy.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The shim under test.
pub(crate) const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-wasock-v1");

/// The runtime by which containerd finds the shim, and that of the native twins.
pub(crate) const WASOCK: &str = "io.containerd.wasock.v1";
pub(crate) const RUNC: &str = "io.containerd.runc.v2";

/// That of the example `floor`, where it has been built.
pub(crate) const FLOOR: &str = "io.containerd.floor.v1";

/// Its shim.
pub(crate) fn floor() -> Option<PathBuf> {
    let path = Path::new(SHIM).parent()?.join("examples/floor");
    path.exists().then_some(path)
}

/// Where the shims keep what they compile, in the folder of a host.
pub(crate) const KEPT: &str = "shim";

/// A number of this process's, for names.
pub(crate) fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// An image that containerd has.
pub(crate) struct Imported {
    pub(crate) name: String,
    /// Of `ctr run` with arguments these are the whole command line.
    pub(crate) entrypoint: Vec<String>,
}

/// What a containerd is to be like.
#[derive(Default)]
struct Around<'a> {
    /// It answers the kubelet's calls, with these settings.
    for_kubelets: Option<&'a str>,
    lacks_groups: bool,
    /// Its shims have no folder for code.
    lacks_folder: bool,
}

/// A containerd that runs. It goes with this value, and so does everything that it has started.
pub(crate) struct Host {
    folder: TempDir,
    namespace: String,
    child: Child,
}

impl Host {
    /// Starts one; `None` where this machine can't.
    pub(crate) fn start() -> Result<Option<Self>> {
        Self::start_in(&Around::default())
    }

    /// Starts one that sees no control groups.
    pub(crate) fn start_without_groups() -> Result<Option<Self>> {
        Self::start_in(&Around { lacks_groups: true, ..Around::default() })
    }

    /// Starts one whose shims keep no code.
    pub(crate) fn start_without_folder() -> Result<Option<Self>> {
        Self::start_in(&Around { lacks_folder: true, ..Around::default() })
    }

    /// Starts one that answers the kubelet's calls, whose containers are in the namespace `k8s.io`.
    pub(crate) fn start_for_kubelets(settings: &str) -> Result<Option<Self>> {
        Self::start_in(&Around { for_kubelets: Some(settings), ..Around::default() })
    }

    fn start_in(around: &Around<'_>) -> Result<Option<Self>> {
        if let Some(missing) = missing(&[]) {
            ensure!(env::var_os("WASOCK_TEST_KUBERNETES").is_none(), "{missing}");
            eprintln!("passed over: {missing}");
            return Ok(None);
        }
        let folder = tempfile::Builder::new().prefix("wasock-shim-").tempdir()?;
        let (namespace, head) = match around.for_kubelets {
            Some(_) => ("k8s.io".to_owned(), ""),
            None => (
                format!("wasock-test-{}-{}", std::process::id(), next_number()),
                "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
            ),
        };
        let settings = around.for_kubelets.unwrap_or_default();
        let path = folder.path().display();
        let config = format!(
            "version = 2\n{head}root = \"{path}/root\"\nstate = \"{path}/state\"\n\
             [grpc]\n  address = \"{path}/c.sock\"\n[ttrpc]\n  address = \"{path}/t.sock\"\n{settings}"
        );
        fs::write(folder.path().join("config.toml"), config)?;
        let programs = folder.path().join("bin");
        fs::create_dir(&programs)?;
        symlink(SHIM, programs.join("containerd-shim-wasock-v1"))?;
        if let Some(floor) = floor() {
            symlink(floor, programs.join("containerd-shim-floor-v1"))?;
        }
        left::sweep();
        let child = Self::spawn(folder.path(), around)?;
        let host = Self { folder, namespace, child };
        host.wait_until_it_answers()?;
        Ok(Some(host))
    }

    fn spawn(folder: &Path, around: &Around<'_>) -> Result<Child> {
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        let path = format!("{}:{}", folder.join("bin").display(), env::var("PATH")?);
        // It ends with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if around.lacks_groups {
            // Of this containerd alone: the mounts of the machine stay.
            let unmount = "umount --recursive /sys/fs/cgroup; exec \"$@\"";
            command.args(["unshare", "--mount", "--propagation", "slave", "sh", "-c", unmount, "sh"]);
        }
        command.args(["containerd", "--config"]).arg(folder.join("config.toml"));
        // What this test's shims compile is this test's.
        let kept = if around.lacks_folder { PathBuf::new() } else { folder.join(KEPT) };
        command.env("WASOCK_SHIM_FOLDER", kept);
        command.env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().context("cannot start containerd")
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            // Its own limit to how long it waits for an answer.
            if self.ctr(&["--connect-timeout", "2s", "version"]).output()?.status.success() {
                return Ok(());
            }
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "containerd does not answer:\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What containerd and the shims have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> PathBuf {
        self.folder.path().join("c.sock")
    }

    /// `ctr` with these arguments.
    pub(crate) fn ctr(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.address()).args(["--namespace", &self.namespace]).args(args);
        command.stdin(Stdio::null());
        command
    }

    /// What `ctr` prints, which is to succeed.
    pub(crate) fn asked(&self, args: &[&str]) -> Result<String> {
        let output = self.ctr(args).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ctr {args:?}: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What `ctr` says on its standard error, which is to fail.
    pub(crate) fn refused(&self, args: &[&str]) -> Result<String> {
        let output = self.ctr(args).output()?;
        ensure!(!output.status.success(), "ctr {args:?} succeeds");
        Ok(String::from_utf8(output.stderr)?)
    }

    /// Has containerd take an image in.
    pub(crate) fn import(&self, image: &Image) -> Result<Imported> {
        let number = next_number();
        let archive = self.folder.path().join(format!("image-{number}.tar"));
        fs::write(&archive, image.archive()?)?;
        let name = format!("example.com/test-{number}");
        let archive = archive.to_str().context("a path")?;
        self.asked(&["image", "import", "--all-platforms", "--base-name", &name, archive])?;
        Ok(Imported { name: format!("{name}:v1"), entrypoint: image.entrypoint.clone() })
    }

    /// The process of a container that runs.
    pub(crate) fn pid_of(&self, id: &str) -> Result<u32> {
        let list = self.asked(&["task", "list"])?;
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(id));
        let pid = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(pid.with_context(|| format!("no task {id} in\n{list}"))?.parse()?)
    }

    /// The state of a container as `ctr` has it: `RUNNING`, `STOPPED`, or nothing of it.
    pub(crate) fn state_of(&self, id: &str) -> Result<Option<String>> {
        let list = self.asked(&["task", "list"])?;
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(id));
        Ok(line.and_then(|line| line.split_whitespace().nth(2)).map(str::to_owned))
    }

    /// Waits until a container is in this state.
    pub(crate) fn wait_for_state(&self, id: &str, state: &str) -> Result<()> {
        self.wait_until(|| Ok(self.state_of(id)?.as_deref() == Some(state)))
            .with_context(|| format!("{id} is not {state}"))
    }

    /// Waits until that is so.
    pub(crate) fn wait_until(&self, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !is_so()? {
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "not within {WAIT_TIMEOUT:?}:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until nothing is left of any container: no process, no mount, no socket, no control group.
    pub(crate) fn wait_until_nothing_is_left(&self) -> Result<()> {
        self.wait_until(|| Ok(left::of(self)?.is_empty()))
            .with_context(|| format!("left: {:#?}", left::of(self).unwrap_or_default()))
    }

    /// Ends all containers, the shims, and containerd.
    fn end(&mut self) -> Result<()> {
        let tasks = self.asked(&["task", "list", "--quiet"]).unwrap_or_default();
        for id in tasks.lines() {
            let _gone = self.ctr(&["task", "delete", "--force", id]).output();
        }
        let containers = self.asked(&["container", "list", "--quiet"]).unwrap_or_default();
        for id in containers.lines() {
            let _gone = self.ctr(&["container", "delete", id]).output();
        }
        // What is left in spite of that is ended here; the tests look for it before.
        for pid in left::processes(self)?.into_keys() {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _gone = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        self.stop()?;
        left::clean(self)
    }

    /// Ends containerd alone.
    fn stop(&mut self) -> Result<()> {
        let containerd = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        containerd.map(|pid| kill_process(pid, Signal::TERM)).transpose()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > WAIT_TIMEOUT {
                self.child.kill()?;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends containerd and starts it again, as an update of the machine does. Containers are to go on.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.restart_after(|| Ok(()))
    }

    /// The same, with something done while there is none.
    pub(crate) fn restart_after(&mut self, done: impl FnOnce() -> Result<()>) -> Result<()> {
        self.stop()?;
        done()?;
        self.child = Self::spawn(self.folder.path(), &Around::default())?;
        self.wait_until_it_answers()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
        if let Err(error) = self.end() {
            eprintln!("not cleaned up: {error:#}");
        }
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What this machine lacks for these tests, or of these programs besides.
pub(crate) fn missing(besides: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the tests of the shim need root".to_owned());
    }
    let lacks = |program: &str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        !found.is_ok_and(|output| output.status.success())
    };
    if let Some(program) = besides.iter().find(|program| lacks(program)) {
        return Some(format!("no {program}: `apt-get install {program}` would bring it"));
    }
    let lacking: Vec<_> = PROGRAMS.iter().filter(|(program, _)| lacks(program)).collect();
    let (program, _) = lacking.first()?;
    let packages: Vec<_> = lacking.iter().map(|(_, package)| *package).collect();
    Some(format!("no {program}: `apt-get install {}` would bring it", packages.join(" ")))
}

/// Fails with what went wrong, if that does not hold a sentence.
pub(crate) fn holds(text: &str, sentence: &str) -> Result<()> {
    if !text.contains(sentence) {
        bail!("{sentence:?} is not in\n{text}");
    }
    Ok(())
}
