//! `--admin`: an HTTP server for operators, on a thread and a runtime of its own.
//!
//! It is not the guests' business: whatever a client does there, that stalls, floods or sends garbage, costs this
//! thread and a bounded number of connections. No guest reaches it, whatever was granted: see
//! [`reserve`].
//!
//! | path | answer |
//! |---|---|
//! | `GET /` | the status as a page |
//! | `GET /status` | the same as JSON |
//! | `GET /metrics` | OpenMetrics |
//! | `GET /healthz`, `/readyz` | does the host live, does a generation serve |
//! | `POST /reload` | what has become of the reload, once it is done |
//! | `POST /drain` | at once; the service ends when its connections have ended |
//! | `POST /limits` | the limits, changed as the body says |
//!
//! `--probes` answers three of these at another address: see [`probes`].

mod address;
mod guard;
mod limits;
mod listener;
mod metrics;
mod page;
mod place;
mod places;
mod probes;
mod process;
mod reserve;
mod routes;
mod server;
mod shown;
mod status;
mod token;

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use wasock::Service;

pub(crate) use address::{AdminAddress, VARIABLE};
use guard::Guard;
pub(crate) use limits::LimitsRequest;
use listener::AdminListener;
pub(crate) use listener::listen_at_path;
pub(crate) use place::check_directories;
pub use place::unescaped_mount_point;
pub(crate) use probes::Probes;
pub(crate) use reserve::{reserve, reserve_descriptors, reserve_in};
pub(crate) use routes::Outcome;
use routes::{Access, State};
pub(crate) use shown::{Bytes, Span};
pub(crate) use status::{Limit, SCHEMA, Status};
pub(crate) use token::default_path as default_token_path;
use token::{Token, TokenFile};

use crate::args::RunArgs;
use crate::reload::Reloader;
use crate::report::say;
use crate::start;

/// An admin socket that listens, and takes no connection yet.
pub(crate) struct Admin {
    listener: AdminListener,
    /// Over an address: what a request needs, and where its token is.
    guard: Option<(Guard, TokenFile)>,
}

/// What goes with this process: the names of its socket and of its token.
static FILES: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());

pub(crate) fn keep_file(file: impl Send + 'static) {
    FILES.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(file));
}

/// This process ends: the answers that are on their way arrive, and the names of the socket and of the token go.
pub(crate) fn end() {
    const MOMENT: Duration = Duration::from_millis(500);
    server::wait_for_answers(MOMENT);
    FILES.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl Admin {
    /// Listens where `args` say, if they do, and keeps every guest of this process from there.
    ///
    /// # Errors
    ///
    /// Where it can't be listened there, or the token not be written.
    pub(crate) fn bind(args: &RunArgs) -> Result<Option<Self>> {
        let Some(at) = &args.admin.admin else { return Ok(None) };
        let listener = AdminListener::bind(at)?;
        let guard = match listener.address()? {
            AdminAddress::Unix(path) => {
                reserve_in(&path)?;
                None
            }
            AdminAddress::Inet(address) => {
                reserve::reserve_address(address);
                let path = args.admin.admin_token_file.clone().or_else(|| default_token_path(address));
                let path = path.context(
                    "--admin at an address needs --admin-token-file, for XDG_RUNTIME_DIR names no directory",
                )?;
                let token = Token::new()?;
                let file = TokenFile::write(&path, &token).with_context(|| {
                    format!("cannot write the token to {} (--admin-token-file)", path.display())
                })?;
                Some((Guard::new(address, token), file))
            }
        };
        Ok(Some(Self { listener, guard }))
    }

    /// Answers from now on.
    ///
    /// # Errors
    ///
    /// Where the host has no thread for it, or no descriptors.
    pub(crate) fn serve(self, service: &Service, reloader: Reloader) -> Result<()> {
        let at = self.listener.address()?;
        let guard = self.guard.map(|(guard, file)| {
            say!("wasock: admin at {at}, the token for changes in {}", file.path().display());
            keep_file(file);
            guard
        });
        if guard.is_none() {
            say!("wasock: admin at {at}");
        }
        let access = guard.map_or(Access::Owner, Access::Guarded);
        let state = State::new(service.clone(), reloader, access);
        let accepts = || match self.listener {
            AdminListener::Unix(listener, name) => {
                keep_file(name);
                server::Accepts::unix(listener)
            }
            AdminListener::Inet(listener) => server::Accepts::inet(listener),
        };
        answer_on_a_thread("wasock-admin", accepts, state).context("cannot answer operators (--admin)")
    }
}

/// Answers what comes in at what `accepts` makes, inside of a runtime, on a thread with this name.
fn answer_on_a_thread(
    name: &str,
    accepts: impl FnOnce() -> io::Result<server::Accepts>,
    state: State,
) -> Result<()> {
    let runtime = start::runtime()?;
    let accepts = {
        let _inside = runtime.enter();
        accepts()?
    };
    let works = move || runtime.block_on(server::serve(accepts, state));
    thread::Builder::new().name(name.to_owned()).spawn(works)?;
    Ok(())
}
