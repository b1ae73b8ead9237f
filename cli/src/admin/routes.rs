//! What is answered to which request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use wasock::Service;
use wasock::observe::Escaped;
use wasock::observe::status::ServiceStatus;

use super::guard::Guard;
use super::limits::{self, LimitsRequest};
use super::metrics;
use super::page;
use super::places::{MOST_WAITING, Place};
use super::process::ProcessStatus;
use super::status::{Around, Status};
use crate::manager;
use crate::reload::Reloader;
use crate::report::say;

/// How old what is shown may be: the kernel is not asked anew for each of many requests.
const FRESH: Duration = Duration::from_millis(100);

/// How many bytes the body of a request has at most, and how long it may take.
const MOST_BODY: usize = 4096;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What is answered about.
pub(super) struct State {
    service: Service,
    reloader: Reloader,
    access: Access,
    started: Instant,
    started_at: Duration,
    seen: Mutex<Option<(Instant, ServiceStatus)>>,
    /// Taken by those that wait for a reload.
    reloads: Semaphore,
}

/// Who comes, and what that one may ask.
pub(super) enum Access {
    /// The user that runs the host.
    Owner,
    /// Any program of this machine.
    Guarded(Guard),
    /// Whoever can connect, to ask what [`PROBED`] has.
    Probes,
}

/// What `--probes` answers: nothing that names a client, and no change.
const PROBED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What has become of a request to change something.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Outcome {
    /// `done`, `begun` or `failed`.
    pub(crate) outcome: String,
    /// Of a reload: the generation that serves now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u32>,
    /// Why it has changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Access {
    /// Why `request` gets no other answer.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Answer> {
        match self {
            Self::Owner => None,
            Self::Guarded(guard) => {
                let (status, why) = guard.check(request.method(), request.headers()).err()?;
                Some(failure(status, why))
            }
            Self::Probes => {
                let is_probed = PROBED.contains(&request.uri().path());
                (!is_probed).then(|| failure(StatusCode::NOT_FOUND, "there is no such path"))
            }
        }
    }
}

pub(super) type Answer = Response<Full<Bytes>>;

impl State {
    pub(super) fn new(service: Service, reloader: Reloader, access: Access) -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (started, seen, reloads) = (Instant::now(), Mutex::default(), Semaphore::new(MOST_WAITING));
        Self { service, reloader, access, started, started_at, seen, reloads }
    }

    /// How the service stands, or stood a moment ago.
    fn service_status(&self) -> ServiceStatus {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, status)) = &*seen
            && when.elapsed() < FRESH
        {
            return status.clone();
        }
        let status = self.service.status();
        *seen = Some((Instant::now(), status.clone()));
        status
    }

    /// What was seen is old from now on.
    fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn status(&self) -> Status {
        let around = Around {
            module: &self.reloader.module(),
            uptime: self.started.elapsed(),
            reloads_refused: self.reloader.refused(),
        };
        Status::of(&self.service_status(), &around)
    }
}

/// Answers `request`, which came on the connection with this place.
pub(super) async fn answer(state: &Arc<State>, request: Request<Incoming>, place: &Place) -> Answer {
    if let Some(refused) = state.access.refusal(&request) {
        return refused;
    }
    let method = request.method().clone();
    let is_look = matches!(method, Method::GET | Method::HEAD);
    match (request.uri().path(), is_look) {
        ("/", true) => page(state),
        ("/status", true) => json(StatusCode::OK, &state.status()),
        ("/metrics", true) => openmetrics(state),
        ("/healthz", true) => text(StatusCode::OK, "ok\n"),
        ("/readyz", true) => readiness(state),
        ("/reload", false) if method == Method::POST => reload(state, place).await,
        ("/drain", false) if method == Method::POST => drain(state),
        ("/limits", false) if method == Method::POST => match body(request).await {
            Ok(body) => change_limits(state, &body),
            Err(refused) => refused,
        },
        ("/" | "/status" | "/metrics" | "/healthz" | "/readyz", false) => not_allowed("GET, HEAD"),
        ("/reload" | "/drain" | "/limits", _) => not_allowed("POST"),
        _ => failure(StatusCode::NOT_FOUND, "there is no such path"),
    }
}

fn page(state: &State) -> Answer {
    let Ok(page) = page::render(&state.status()) else {
        return failure(StatusCode::INTERNAL_SERVER_ERROR, "the page can't be made");
    };
    let mut answer = of_type(StatusCode::OK, "text/html; charset=utf-8", page.html);
    if let Ok(policy) = HeaderValue::from_str(&page.policy) {
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

fn openmetrics(state: &State) -> Answer {
    let process = ProcessStatus::read(state.started_at);
    match metrics::text(state.service_status(), state.reloader.refused(), process) {
        Ok(text) => of_type(StatusCode::OK, metrics::CONTENT_TYPE, text),
        Err(_) => failure(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be written"),
    }
}

fn readiness(state: &State) -> Answer {
    let status = state.service_status();
    match (status.is_ready, status.is_draining) {
        (true, _) => text(StatusCode::OK, "ready\n"),
        (false, true) => text(StatusCode::SERVICE_UNAVAILABLE, "the service drains\n"),
        (false, false) => text(StatusCode::SERVICE_UNAVAILABLE, "no generation is ready\n"),
    }
}

async fn reload(state: &State, place: &Place) -> Answer {
    let Ok(_among_few) = state.reloads.try_acquire() else {
        let why = format!("{MOST_WAITING} others wait for a reload already");
        return failure(StatusCode::SERVICE_UNAVAILABLE, &why);
    };
    let _waits = place.waits();
    let outcome = state.reloader.reload().await;
    state.forget();
    match outcome {
        Ok(generation) => {
            let outcome = "done".to_owned();
            json(StatusCode::OK, &Outcome { outcome, generation: Some(generation), error: None })
        }
        Err(why) => failure(StatusCode::CONFLICT, &why.to_string()),
    }
}

fn drain(state: &State) -> Answer {
    let is_first = !state.service_status().is_draining;
    // First of all: standard error may be full.
    state.service.drain();
    manager::drains();
    if is_first {
        say!("wasock: an operator's order: the connections may end, and the service with them");
    }
    state.forget();
    json(StatusCode::ACCEPTED, &Outcome { outcome: "begun".to_owned(), generation: None, error: None })
}

fn change_limits(state: &State, body: &[u8]) -> Answer {
    let wanted: LimitsRequest = match serde_json::from_slice(body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let why = format!("expected an object of limits, as in {{\"max-connections\": 100}}: {error}");
            return failure(StatusCode::BAD_REQUEST, &why);
        }
    };
    if let Err(why) = limits::set(&state.service, &wanted) {
        return failure(StatusCode::CONFLICT, &why.to_string());
    }
    state.forget();
    json(StatusCode::OK, &state.status().limits)
}

/// The body of a request, which is short.
async fn body(request: Request<Incoming>) -> Result<Bytes, Answer> {
    let body = Limited::new(request.into_body(), MOST_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or cut")),
        Err(_) => Err(failure(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

fn failure(status: StatusCode, why: &str) -> Answer {
    // Each of its lines.
    let why = why.lines().map(|line| Escaped(line).to_string()).collect::<Vec<_>>().join("\n");
    json(status, &Outcome { outcome: "failed".to_owned(), generation: None, error: Some(why) })
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = failure(StatusCode::METHOD_NOT_ALLOWED, "there is no such method here");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(value) {
        Ok(text) => of_type(status, "application/json", text + "\n"),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the answer can't be written\n"),
    }
}

fn text(status: StatusCode, text: &str) -> Answer {
    of_type(status, "text/plain; charset=utf-8", text.to_owned())
}

fn of_type(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
