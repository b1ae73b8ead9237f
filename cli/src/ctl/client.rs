//! One request to a host.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::admin::{AdminAddress, default_token_path};
use crate::{start, text_file};

/// How long a host may take to say how it stands.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take for a change: a reload compiles a module, and waits until it is ready.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How much of an answer is read.
const MOST: usize = 16 * 1024 * 1024;

pub(super) struct Client {
    at: AdminAddress,
    token_file: Option<PathBuf>,
}

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }
}

impl Client {
    pub(super) fn new(at: AdminAddress, token_file: Option<PathBuf>) -> Self {
        Self { at, token_file }
    }

    /// Sends one request, and reads the answer.
    ///
    /// # Errors
    ///
    /// Where no host answers there, or none in time; where the token can't be read.
    pub(super) fn ask(&self, method: &Method, path: &str, body: String) -> Result<Reply> {
        let request = self.request(method, path, body)?;
        let runtime = start::runtime()?;
        let limit = if *method == Method::GET { TIMEOUT } else { CHANGE_TIMEOUT };
        let asked = runtime.block_on(async {
            let exchange = async {
                match &self.at {
                    AdminAddress::Unix(path) => exchange(connect(path).await?, request).await,
                    AdminAddress::Inet(address) => {
                        exchange(TcpStream::connect(address).await?, request).await
                    }
                }
            };
            match tokio::time::timeout(limit, exchange).await {
                Ok(reply) => reply,
                Err(_) => bail!("it did not answer in time"),
            }
        });
        asked.with_context(|| format!("cannot ask the host at {}", self.at))
    }

    fn request(&self, method: &Method, path: &str, body: String) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path);
        match &self.at {
            AdminAddress::Unix(_) => request = request.header(HOST, "localhost"),
            AdminAddress::Inet(address) => {
                request = request.header(HOST, address.to_string());
                if *method != Method::GET {
                    request = request.header(AUTHORIZATION, format!("Bearer {}", self.token(*address)?));
                }
            }
        }
        Ok(request.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)))?)
    }

    fn token(&self, address: SocketAddr) -> Result<String> {
        let path = self.token_file.clone().or_else(|| default_token_path(address));
        let path = path.context("name the host's token: --token-file")?;
        let token = text_file::read(&path)
            .with_context(|| format!("cannot read the token in {} (--token-file)", path.display()))?;
        Ok(token.trim().to_owned())
    }
}

/// How long a place in the host's queue is waited for.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);

async fn connect(path: &Path) -> Result<UnixStream> {
    const PAUSE: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ensure!(
                    begun.elapsed() < QUEUE_TIMEOUT,
                    "its queue is full: others wait there already, and it answers none of them"
                );
                tokio::time::sleep(PAUSE).await;
            }
            connected => return Ok(connected?),
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Reply> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong there the sender learns.
    let drives = tokio::spawn(async move { _ = connection.await });
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST).collect().await;
    drives.abort();
    let body = body.map_err(|error| anyhow::anyhow!("its answer is cut, or too long: {error}"))?;
    Ok(Reply { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
}
