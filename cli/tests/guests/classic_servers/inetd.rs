//! A program for each connection, which is its input and its output.

use super::*;
use guest_tests::{Client, Running};

fn started(host: Wasock, folder: &Path, program: &[&str]) -> Result<(Running, SocketAddr)> {
    let host = with_programs(host, folder).args([guest_tests::INETD, "127.0.0.1:0"]);
    let mut host = host.args(program).start()?;
    let address = host.listening()?;
    Ok((host, address))
}

#[test]
pub(crate) fn tools() -> Result<()> {
    let folder = programs(&[])?;
    let tool = |name: &str| run().with_stdin().arg(folder.path().join(name));
    tool("echo").args(["one", "two"]).succeed()?.expect_stdout("one two\n")?;
    let mut counts = tool("wc").start()?;
    counts.write_stdin(b"a b\nc\n")?;
    counts.finish()?.expect_code(0)?.expect_stdout("2 3 6\n")?;
    tool("fail").arg("3").finish()?.expect_code(3).map(drop)
}

#[test]
pub(crate) fn inetd() -> Result<()> {
    let folder = programs(&[])?;
    let (host, address) = started(run_on_loopback(), folder.path(), &["/bin/cat"])?;
    let mut clients = (0..5).map(|_| Client::connect(address)).collect::<Result<Vec<_>>>()?;
    for (index, client) in clients.iter_mut().enumerate().rev() {
        let message = format!("client {index}");
        client.say(&message)?;
        client.hears(&message)?;
    }
    for client in &mut clients {
        client.finish()?;
        client.hears_the_end()?;
    }
    host.stop().map(drop)
}

/// More clients than there may be processes: each waits for its turn.
#[test]
fn inetd_serves_all_who_ask() -> Result<()> {
    let folder = programs(&[])?;
    let host = run_on_loopback().args(["--max-processes", "4"]);
    let (host, address) = started(host, folder.path(), &["/bin/answer", "hello"])?;
    ensure!(text(address, "/")? == "hello\n");
    let before = host.descriptors()?;
    let load = Load::begin(address, 8, "/");
    load.goes_on(200)?;
    load.end()?;
    wait_until("the last programs", || Ok(host.descriptors()? <= before))?;
    host.stop().map(drop)
}

#[test]
fn inetd_goes_on_where_its_program_is_missing() -> Result<()> {
    let folder = programs(&[])?;
    let (mut host, address) = started(run_on_loopback(), folder.path(), &["/bin/missing"])?;
    let mut client = Client::connect(address)?;
    client.hears_the_end()?;
    host.wait_for_stderr("/bin/missing")?;
    Client::connect(address)?.hears_the_end()?;
    host.stop().map(drop)
}
