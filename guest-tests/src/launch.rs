//! What surrounds the command line under test: its limits, its descriptors, its signals.

use crate::Wasock;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// The group of processes without rights, on most systems; any number does.
const NO_GROUP: u32 = 65534;

impl Wasock {
    /// Lets the host have `count` descriptors and no more. This goes last: what is
    /// set later is lost on the shell that sets the limit.
    #[must_use]
    pub fn limit_descriptors(self, count: u32) -> Self {
        self.after_shell(&format!("ulimit -n {count}"))
    }

    /// Lets the host have `count` threads and no more. The kernel counts those of a user in
    /// a namespace of users. The tests of root run the host as the user `uid`, which has no
    /// other process, for root's own are free; those of another user in a namespace of its own.
    /// This goes last.
    #[must_use]
    pub fn limit_threads(self, uid: u32, count: u32) -> Self {
        let limit = ["prlimit".to_owned(), format!("--nproc={count}"), "--".to_owned()];
        if rustix::process::geteuid().is_root() {
            let user = [format!("--reuid={uid}"), format!("--regid={NO_GROUP}"), "--clear-groups".to_owned()];
            return self.through("setpriv", user.into_iter().chain(limit));
        }
        self.through("unshare", ["--user".to_owned()].into_iter().chain(limit))
    }

    /// Whether [`limit_threads`](Self::limit_threads) works for this user. A test that needs it
    /// says so and ends well.
    pub fn can_limit_threads() -> bool {
        let makes_namespaces = || Command::new("unshare").args(["--user", "true"]).output();
        let can = rustix::process::geteuid().is_root()
            || makes_namespaces().is_ok_and(|made| made.status.success());
        if !can {
            eprintln!("passed over: this user can make no namespace of users");
        }
        can
    }

    /// Passes `socket` to the host as a service manager does, under this name. This goes
    /// last, too.
    #[must_use]
    pub fn passing(self, name: &str, socket: impl Into<Stdio>) -> Self {
        let pass = format!("LISTEN_FDS=1 LISTEN_FDNAMES={name} LISTEN_PID=$$");
        let mut passing = self.after_shell(&format!("exec 3<&0 </dev/null && export {pass}"));
        passing.command.stdin(socket);
        passing
    }

    /// The same invocation after `commands` of a shell, which leaves its process to it.
    #[must_use]
    pub fn after_shell(self, commands: &str) -> Self {
        self.through("sh", ["-c".to_owned(), format!("{commands} && exec \"$0\" \"$@\"")])
    }

    /// The same invocation by `launcher`, which leaves its process to it.
    fn through(self, launcher: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(launcher);
        command.args(args).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let stdin = if self.has_stdin { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, ..self }
    }
}

/// Has this process handle the signals that it was started to ignore, as `nohup` and shells do:
/// what it starts has them as they are by default then. "Signals set to be caught by the calling
/// process image shall be set to the default action in the new process image" - exec(3p)
pub(crate) fn hear_ignored_signals() -> Result<()> {
    static DONE: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let done = DONE.get_or_init(|| handle_ignored().map_err(|error| format!("{error:#}")));
    done.clone().map_err(anyhow::Error::msg)
}

fn handle_ignored() -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    // The handlers stay when the runtime goes.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    for kind in [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ] {
        let bit = u32::try_from(kind.as_raw_value() - 1)?;
        if ignored.checked_shr(bit).unwrap_or(0) & 1 != 0 {
            let _handled = signal(kind).context("cannot handle a signal that is ignored")?;
        }
    }
    Ok(())
}
