//! A client for HTTP/1.1 that does exactly what a test tells it to.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// One connection to a server.
#[derive(Debug)]
pub struct HttpClient {
    stream: BufReader<TcpStream>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The number of the first line.
    pub status: u16,
    /// Names in lower case, values as they came.
    pub headers: Vec<(String, String)>,
    /// As long as `Content-Length` says.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl HttpClient {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, WAIT_TIMEOUT)
            .with_context(|| format!("cannot connect to {addr}"))?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        stream.set_write_timeout(Some(WAIT_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Sends a request for a path, and reads the answer.
    ///
    /// # Errors
    ///
    /// When no whole answer comes.
    pub fn get(&mut self, path: &str) -> Result<Response> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())?;
        self.response()
    }

    /// Reads one answer.
    ///
    /// # Errors
    ///
    /// When no whole answer comes.
    pub fn response(&mut self) -> Result<Response> {
        let mut response = self.head()?;
        let length = response.header("content-length").context("an answer without a length")?;
        response.body = vec![0; length.parse()?];
        self.stream.read_exact(&mut response.body).context("a body that ends early")?;
        Ok(response)
    }

    /// Reads one answer without a body, as to `HEAD`.
    ///
    /// # Errors
    ///
    /// When no whole head comes.
    pub fn head(&mut self) -> Result<Response> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).context("no status")?.parse()?;
        ensure!(line.starts_with("HTTP/1.1 "), "an answer that begins with {line:?}");
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Response { status, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(':').with_context(|| format!("header {line:?}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Insists that the server closes now, without another byte.
    ///
    /// # Errors
    ///
    /// When it sends more, resets, or leaves the connection open.
    pub fn expect_end(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).context("no end of the connection")?;
        ensure!(rest.is_empty(), "more than was asked for: {:?}", String::from_utf8_lossy(&rest));
        Ok(())
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn finish(&self) -> Result<()> {
        Ok(self.stream.get_ref().shutdown(Shutdown::Write)?)
    }

    /// Closes with a reset.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn reset(self) -> Result<()> {
        let stream = self.stream.into_inner();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).context("no answer")?;
        ensure!(line.ends_with("\r\n"), "a line that ends early: {line:?}");
        Ok(line.trim_end().to_owned())
    }
}
