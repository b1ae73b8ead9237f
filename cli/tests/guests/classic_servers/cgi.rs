//! A program for each request, as CGI has it.

use super::*;
use crate::asyncify::rewritten;
use guest_tests::{Running, asyncified};

fn started(folder: &Path) -> Result<Option<(Running, SocketAddr)>> {
    let Some(program) = rewritten(asyncified::CGI_SERVER)? else { return Ok(None) };
    let host = with_programs(run_on_loopback(), folder);
    let mut host = host.args([program, "127.0.0.1:0", "/bin"]).start()?;
    let address = host.listening()?;
    Ok(Some((host, address)))
}

#[test]
pub(crate) fn cgi_server() -> Result<()> {
    let folder = programs(&[])?;
    let Some((host, address)) = started(folder.path())? else { return Ok(()) };
    let answer = text(address, "/cgi-bin/report?a=b")?;
    ensure!(answer == "method=GET script=/cgi-bin/report query=a=b length=0 body=\n", "{answer}");
    let body = "x".repeat(30_000);
    let request = format!(
        "POST /cgi-bin/report HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(address, &request)?.text();
    let expected = format!("method=POST script=/cgi-bin/report query= length=30000 body={body}\n");
    ensure!(answer == expected, "{answer}");
    let large = get(address, "/cgi-bin/report?large=300000")?;
    ensure!(large.body.len() == 300_000 && large.body.iter().all(|byte| *byte == b'x'));
    for (path, status, said) in [
        ("/cgi-bin/report?missing", 404, "nothing there\n"),
        ("/cgi-bin/report?exit=7", 502, "exit code 7\n"),
        ("/cgi-bin/report?crash", 502, "signal 6\n"),
        ("/cgi-bin/echo", 502, "no head\n"),
        ("/cgi-bin/none", 404, "no such program\n"),
        ("/cgi-bin/../secret", 404, "no such program\n"),
    ] {
        let answer = get(address, path)?;
        ensure!((answer.status, answer.text().as_str()) == (status, said), "{path}: {answer:?}");
    }
    host.stop().map(drop)
}

#[test]
fn programs_answer_many_requests_at_once() -> Result<()> {
    let folder = programs(&[])?;
    let Some((host, address)) = started(folder.path())? else { return Ok(()) };
    text(address, "/cgi-bin/report")?;
    let before = host.descriptors()?;
    let load = Load::begin(address, 6, "/cgi-bin/report?load");
    load.goes_on(150)?;
    load.end()?;
    wait_until("the last programs", || Ok(host.descriptors()? <= before))?;
    host.stop().map(drop)
}
