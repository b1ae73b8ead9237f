//! The status page, in a browser: with scripts and without.

use super::{Site, WAIT_TIMEOUT, ask, at, run};
use anyhow::{Context as _, Result, ensure};
use guest_tests::{HttpClient, Running};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A browser, driven as WebDriver says: JSON over HTTP.
struct Browser {
    driver: Child,
    place: SocketAddr,
    session: String,
}

impl Browser {
    /// Starts one that runs scripts, or none; `None` where this machine has no browser.
    fn start(runs_scripts: bool) -> Result<Option<Self>> {
        let started =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = started else {
            eprintln!("passed over: this machine has no chromedriver");
            return Ok(None);
        };
        let lines = BufReader::new(driver.stdout.take().context("no stdout")?).lines();
        let mut browser = Self { driver, place: ([127, 0, 0, 1], 0).into(), session: String::new() };
        for line in lines {
            let line = line?;
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                browser.place.set_port(port.trim_end_matches('.').parse()?);
                break;
            }
        }
        let scripts = if runs_scripts { 1 } else { 2 };
        let answer = browser.order(
            "POST",
            "/session",
            &serde_json::json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:loggingPrefs": { "browser": "ALL" },
                "goog:chromeOptions": {
                    "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
                    "prefs": { "profile.managed_default_content_settings.javascript": scripts },
                },
            } } }),
        )?;
        let session = at(&answer, "/sessionId");
        let session = session.as_str().with_context(|| format!("no session: {answer}"))?;
        browser.session = format!("/session/{session}");
        Ok(Some(browser))
    }

    fn order(&self, method: &str, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        let (place, body) = (self.place, if method == "POST" { body.to_string() } else { String::new() });
        let length = body.len();
        let mut driver = HttpClient::connect(place)?;
        driver.send(
            format!("{method} {path} HTTP/1.1\r\nHost: {place}\r\nContent-Length: {length}\r\n\r\n{body}")
                .as_bytes(),
        )?;
        let answer = driver.response()?;
        let answer: serde_json::Value = serde_json::from_slice(&answer.body)?;
        Ok(at(&answer, "/value"))
    }

    fn open(&self, at: SocketAddr) -> Result<()> {
        let url = serde_json::json!({ "url": format!("http://{at}/") });
        self.order("POST", &format!("{}/url", self.session), &url).map(drop)
    }

    /// The page as it is now.
    fn page(&self) -> Result<String> {
        let page = self.order("GET", &format!("{}/source", self.session), &serde_json::Value::Null)?;
        Ok(page.as_str().context("no page")?.to_owned())
    }

    /// The page once it has all of this.
    fn page_with(&self, texts: &[&str]) -> Result<String> {
        let begun = Instant::now();
        loop {
            let page = self.page()?;
            if texts.iter().all(|text| page.contains(text)) {
                return Ok(page);
            }
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "{texts:?} are not all in\n{page}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the browser complains of.
    fn complaints(&self) -> Result<String> {
        let kind = serde_json::json!({ "type": "browser" });
        Ok(self.order("POST", &format!("{}/se/log", self.session), &kind)?.to_string())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _gone = self.order("DELETE", &self.session, &serde_json::Value::Null);
        let _gone = self.driver.kill();
        let _gone = self.driver.wait();
    }
}

/// A guest whose operators are answered over TCP.
fn guest(folder: &tempfile::TempDir) -> Result<(Running, SocketAddr)> {
    let own = folder.path().join("own");
    std::fs::create_dir(&own)?;
    let mut guest = run()
        .with_stdin()
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--admin-token-file"])
        .arg(folder.path().join("token"))
        .arg("--dir")
        .arg(format!("{}::/own", own.display()))
        .arg(guest_tests::HOST_SOCKETS)
        .start()?;
    let line = guest.wait_for_stderr("wasock: admin at ")?;
    let at = line.split("admin at ").nth(1).and_then(|rest| rest.split(',').next()).context("no address")?;
    Ok((guest, at.parse()?))
}

/// Names that would be markup.
const HOSTILE: [&str; 3] =
    ["/own/<script>alert(1)</script>", "/own/<img/src=x/onerror=alert(2)>", "/own/\"'>&amp;</td></table><b>"];

#[test]
fn the_page_shows_the_service_with_scripts_and_without() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut guest, at) = guest(&folder)?;
    for name in HOSTILE {
        guest.write_stdin(format!("unix {name}\n").as_bytes())?;
        guest.wait_for_stdout("EACCES")?;
    }
    let host = at.to_string();
    let raw = ask(TcpStream::connect(at)?, "GET", "/", &host, "")?;
    let policy = raw.header("content-security-policy").context("no policy")?;
    ensure!(
        policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    is_harmless(&raw.text())?;
    ensure!(raw.text().contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{}", raw.text());
    let Some(browser) = Browser::start(false)? else { return Ok(()) };
    browser.open(at)?;
    let without = browser.page()?;
    for text in
        ["Generations and workers", "serving", "max-connections", "Denied, the newest first", "--connect"]
    {
        ensure!(without.contains(text), "{text} is not in\n{without}");
    }
    is_harmless(&without)?;
    ensure!(!without.contains("data-live=") && !without.contains("<polyline"), "a script ran\n{without}");
    drop(browser);
    let Some(browser) = Browser::start(true)? else { return Ok(()) };
    browser.open(at)?;
    let with = browser.page_with(&["data-live=\"yes\"", "<polyline", "--connect"])?;
    is_harmless(&with)?;
    // It is kept up.
    guest.write_stdin(b"unix /own/the-next-one\n")?;
    is_harmless(&browser.page_with(&["the-next-one"])?)?;
    let complaints = browser.complaints()?;
    for complaint in ["Content Security Policy", "Uncaught", "Refused to"] {
        ensure!(!complaints.contains(complaint), "{complaints}");
    }
    drop(browser);
    guest.finish()?.expect_code(0).map(drop)
}

/// Is nothing of the hostile names markup?
fn is_harmless(page: &str) -> Result<()> {
    for markup in ["<script>alert", "<img", "<b>\n", "</table><b>"] {
        ensure!(!page.contains(markup), "{markup} is in\n{page}");
    }
    Ok(())
}

#[test]
fn a_page_over_a_unix_socket() -> Result<()> {
    let site = Site::start(&[])?;
    let page = site.get("/")?;
    ensure!(page.status == 200 && page.text().contains(&site.addr.to_string()), "{}", page.text());
    // Each answer has a word of its own for its own style and script.
    let other = site.get("/")?;
    let policy = |it: &guest_tests::Response| it.header("content-security-policy").map(str::to_owned);
    ensure!(policy(&page) != policy(&other), "one word for two");
    site.running.stop().map(drop)
}
