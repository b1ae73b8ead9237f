//! What the service manager is told: `sd_notify(3)`.
//!
//! All of it is sent by one thread, for a manager may be slow. One that is gone is no error: the guest serves.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use wasock::Event;
use wasock::observe::Escaped;

use crate::admin;
use crate::args::SocketArgs;

/// How many news may wait. Where a manager takes none, the newest are lost.
const MOST_WAITING: usize = 256;

/// The longest text of a status.
const MOST_STATUS: usize = 256;

/// The variable that names the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Where news go, once there is a manager that wants them.
static NEWS: OnceLock<SyncSender<News>> = OnceLock::new();

/// Are the variables of this process another one's?
static IS_ANOTHERS: AtomicBool = AtomicBool::new(false);

/// From now on there is no service manager, whatever the variables of this process say: it was made by a program that
/// has one of its own.
pub(crate) fn leave_alone() {
    IS_ANOTHERS.store(true, Relaxed);
}

/// What has happened.
enum News {
    /// The guest listens, as this says.
    Listens(String),
    Reloads,
    /// A reload is over: what has become of it.
    Reloaded(String),
    Stops(Option<SyncSender<()>>),
    Status(String),
}

/// Says whether the host's main loop answers within so much time.
pub(crate) type Answers = Box<dyn Fn(Duration) -> bool + Send>;

/// Keeps guests from the socket of the service manager, if it has a name in the file system. Others no guest can
/// name.
pub(crate) fn reserve_socket() {
    if let Some(path) = socket() {
        // Where it is gone, nothing is to be reached.
        let _gone = admin::reserve_in(&path);
    }
}

/// The path of the service manager's socket, if it has one.
pub(crate) fn socket() -> Option<PathBuf> {
    let path = variable().filter(|path| path.as_encoded_bytes().starts_with(b"/"));
    path.map(PathBuf::from)
}

/// What names its socket.
fn variable() -> Option<OsString> {
    std::env::var_os(SOCKET).filter(|_| !IS_ANOTHERS.load(Relaxed))
}

/// Begins to tell the service manager, if there is one. `answers` is asked before it is told that the
/// host lives. A guest that is given listeners by `sockets` is ready from its start on.
///
/// # Errors
///
/// Where the host has no thread for it.
pub(crate) fn start(answers: Answers, sockets: &SocketArgs) -> io::Result<()> {
    if variable().is_none() {
        return Ok(());
    }
    let (sender, news) = mpsc::sync_channel(MOST_WAITING);
    let watchdog = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero());
    let works = move || {
        Manager { answers, watchdog, is_ready: false, reloads: false, has_stopped: false }.serve(&news)
    };
    thread::Builder::new().name("wasock-manager".to_owned()).spawn(works)?;
    _ = NEWS.set(sender);
    if sockets.listen_fds || !sockets.preopen_listen.is_empty() {
        tell(News::Listens("the guest has its listeners".to_owned()));
    }
    Ok(())
}

/// Whether a runtime answers, and what answers there.
pub(crate) fn of_runtime() -> (Answers, impl Future<Output = ()> + Send + 'static) {
    let (asks, mut asked) = tokio::sync::mpsc::channel::<SyncSender<()>>(1);
    let answers = move |limit| {
        let (answer, is_answered) = mpsc::sync_channel(1);
        asks.try_send(answer).is_ok() && is_answered.recv_timeout(limit).is_ok()
    };
    let answering = async move {
        while let Some(answer) = asked.recv().await {
            let _late = answer.try_send(());
        }
    };
    (Box::new(answers), answering)
}

fn tell(news: News) {
    if let Some(sender) = NEWS.get() {
        let _full = sender.try_send(news);
    }
}

/// A reload begins.
pub(crate) fn reloads() {
    tell(News::Reloads);
}

/// It is over.
pub(crate) fn reloaded(outcome: &Result<u32, String>) {
    tell(News::Reloaded(match outcome {
        Ok(generation) => format!("generation {generation} serves"),
        Err(why) => {
            // One line is shown.
            let why = why.lines().next().unwrap_or_default();
            format!("the last reload has changed nothing: {why}")
        }
    }));
}

/// The service drains.
pub(crate) fn drains() {
    tell(News::Stops(None));
}

/// The host is about to end. Waits for a moment until that is said.
pub(crate) fn stops() {
    const MOMENT: Duration = Duration::from_millis(200);
    let (said, is_said) = mpsc::sync_channel(1);
    if NEWS.get().is_some() {
        tell(News::Stops(Some(said)));
        let _late = is_said.recv_timeout(MOMENT);
    }
}

/// Takes note of an event.
pub(crate) fn observe(event: &Event) {
    if NEWS.get().is_none() {
        return;
    }
    match event {
        Event::Listening { local, result: Ok(_), .. } => tell(News::Listens(format!("listening on {local}"))),
        Event::Bound { local, .. } => tell(News::Listens(format!("bound on {local}"))),
        Event::InstanceRestarted { why, .. } => {
            let why = why.lines().next().unwrap_or_default();
            tell(News::Status(format!("the guest starts anew: {why}")));
        }
        _ => {}
    }
}

/// What the thread has that tells the manager.
struct Manager {
    answers: Answers,
    /// How often it wants to hear that the host lives.
    watchdog: Option<Duration>,
    is_ready: bool,
    /// Is a reload on its way? Then it is ready again once that is over.
    reloads: bool,
    /// Was the manager told that it stops?
    has_stopped: bool,
}

impl Manager {
    fn serve(mut self, news: &Receiver<News>) {
        // Twice as often as it must be.
        let interval = self.watchdog.map(|interval| interval / 2);
        let mut next = interval.and_then(|interval| Instant::now().checked_add(interval));
        loop {
            let heard = match next {
                Some(at) => news.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match heard {
                Ok(news) => self.hear(news),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let interval = interval.unwrap_or_default();
                    if (self.answers)(interval / 2) {
                        send(&[NotifyState::Watchdog]);
                    } else {
                        tracing::warn!(
                            "the host's main loop does not answer: the service manager is told nothing"
                        );
                    }
                    next = Instant::now().checked_add(interval);
                }
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Listens(what) if self.is_ready => send(&[NotifyState::Status(&shown(&what))]),
            News::Listens(what) => {
                self.is_ready = true;
                send(&[NotifyState::Ready, NotifyState::Status(&shown(&what))]);
            }
            News::Reloads => {
                self.reloads = true;
                // "MONOTONIC_USEC=… must be sent together with RELOADING=1" - sd_notify(3)
                match NotifyState::monotonic_usec_now() {
                    Ok(now) => send(&[NotifyState::Reloading, now]),
                    Err(error) => tracing::debug!("no clock: {error}"),
                }
            }
            News::Reloaded(what) => {
                let status = shown(&what);
                // "the service must also send READY=1 when it completed reloading" - sd_notify(3)
                match std::mem::take(&mut self.reloads) {
                    true if self.is_ready => send(&[NotifyState::Ready, NotifyState::Status(&status)]),
                    _ => send(&[NotifyState::Status(&status)]),
                }
            }
            News::Status(what) => send(&[NotifyState::Status(&shown(&what))]),
            News::Stops(said) => {
                // A drain says so, and the end that follows.
                if !std::mem::replace(&mut self.has_stopped, true) {
                    send(&[NotifyState::Stopping]);
                }
                let _late = said.map(|said| said.try_send(()));
            }
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager is not told: {error}");
    }
}

/// A text in one line, which is not long: a line more would be another message.
fn shown(text: &str) -> String {
    Escaped(text).to_string().chars().take(MOST_STATUS).collect()
}
