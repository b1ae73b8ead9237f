//! A server that saves what it has by a copy of itself, and goes on.

use super::*;
use crate::asyncify::rewritten;
use guest_tests::{Running, asyncified};

struct Saving {
    host: Running,
    address: SocketAddr,
    folder: TempDir,
}

impl Saving {
    fn started() -> Result<Option<Self>> {
        let Some(program) = rewritten(asyncified::SAVING_SERVER)? else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        let data = format!("{}::/data", folder.path().display());
        let host = run_on_loopback().args(["--dir", &data]);
        let mut host = host.args([program, "127.0.0.1:0", "/data/values"]).start()?;
        let address = host.listening()?;
        Ok(Some(Self { host, address, folder }))
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        text(self.address, &format!("/set/{name}/{value}")).map(drop)
    }

    /// Waits until `count` saves have ended, all of them well.
    fn saves(&self, count: u32) -> Result<()> {
        wait_until("a save", || {
            let saves = text(self.address, "/saves")?;
            ensure!(saves.split(' ').nth(1) == Some("0"), "saves: {saves}");
            Ok(saves == format!("{count} 0 false"))
        })
    }

    fn saved(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("values"))?)
    }
}

/// The copy has what there was when it began, and its own changes are its own.
#[test]
pub(crate) fn saving_server() -> Result<()> {
    let Some(server) = Saving::started()? else { return Ok(()) };
    server.set("a", "1")?;
    server.set("b", "2")?;
    text(server.address, "/hold")?;
    server.set("a", "3")?;
    server.set("c", "4")?;
    ensure!(get(server.address, "/save")?.status == 409, "two save at once");
    ensure!(text(server.address, "/saves")? == "0 0 true");
    text(server.address, "/go")?;
    server.saves(1)?;
    ensure!(server.saved()? == "a 1\nb 2\n", "{}", server.saved()?);
    // The copy has changed all values, of which nothing is seen here.
    for (name, value) in [("a", "3"), ("b", "2"), ("c", "4")] {
        ensure!(text(server.address, &format!("/get/{name}"))? == value, "{name}");
    }
    text(server.address, "/save")?;
    server.saves(2)?;
    ensure!(server.saved()? == "a 3\nb 2\nc 4\n", "{}", server.saved()?);
    server.host.stop().map(drop)
}

/// Two values that are always set at once are equal in every save.
#[test]
fn many_saves_under_load_are_whole() -> Result<()> {
    let Some(server) = Saving::started()? else { return Ok(()) };
    server.set("name", "value")?;
    text(server.address, "/save")?;
    server.saves(1)?;
    let before = server.host.descriptors()?;
    let loads =
        ["/pair/1", "/pair/2", "/get/name", "/pair/3"].map(|path| Load::begin(server.address, 1, path));
    for count in 2..=15 {
        text(server.address, "/save")?;
        server.saves(count)?;
        let saved = server.saved()?;
        let value = |name: &str| saved.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        ensure!(value("left") == value("right") && value("name") == Some("value"), "{saved}");
    }
    for load in loads {
        load.goes_on(1)?;
        load.end()?;
    }
    wait_until("the last copy", || Ok(server.host.descriptors()? <= before))?;
    server.host.stop().map(drop)
}
