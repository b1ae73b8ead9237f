//! Numbers, beside the native twin by `runc` in the same run: `cargo xtask bench --kubernetes`.
//!
//! They are medians of alternating rounds. Nothing here fails for being slow.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use guest_tests::{HttpClient, Running, Wasock};

use crate::host::{Host, Imported, RUNC, WASOCK};
use crate::network::Network;
use crate::{left, programs};

/// How often each is started, how many are idle side by side, and how long requests are counted.
const STARTS: usize = 15;
const IDLE: usize = 50;
const COUNTED: Duration = Duration::from_secs(4);
const ROUNDS: usize = 5;

/// The shim, and the twin.
struct Both {
    host: Host,
    images: [(Imported, &'static str); 2],
}

impl Both {
    fn import() -> Result<Option<Self>> {
        let Some(host) = Host::start()? else { return Ok(None) };
        let images = [
            (host.import(&programs::http_server()?)?, WASOCK),
            (host.import(&programs::native_http_server()?)?, RUNC),
        ];
        Ok(Some(Self { host, images }))
    }

    fn start(&self, which: usize, network: &Network) -> Result<(String, Duration)> {
        let (image, runtime) = self.images.get(which).context("one of two")?;
        let begun = Instant::now();
        let run = self.host.run(image).runtime(runtime).in_network(network).args(&["0.0.0.0:8080"]);
        let id = run.detach()?;
        first_answer(network.inside(8080))?;
        Ok((id, begun.elapsed()))
    }

    fn end(&self, id: &str) -> Result<()> {
        let _code = self.host.ctr(&["task", "delete", "--force", id]).output()?;
        self.host.asked(&["container", "delete", id]).map(drop)
    }
}

/// Waits for it without a pause that would be measured.
fn first_answer(addr: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    loop {
        if HttpClient::connect(addr).is_ok_and(|mut client| client.get("/").is_ok()) {
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(60), "no answer at {addr}");
        thread::sleep(Duration::from_micros(500));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn compare(what: &str, unit: &str, own: f64, of_twin: f64) {
    println!(
        "{what}: wasock {own:.3} {unit}, runc with the native twin {of_twin:.3} {unit}, ratio {:.2}",
        own / of_twin
    );
}

#[test]
#[ignore = "a measurement"]
fn start_to_first_answer() -> Result<()> {
    let Some(both) = Both::import()? else { return Ok(()) };
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=STARTS {
        for (which, times) in times.iter_mut().enumerate() {
            let network = Network::make()?;
            let (id, time) = both.start(which, &network)?;
            both.end(&id)?;
            // The first one fills caches.
            if round > 0 {
                times.push(time.as_secs_f64() * 1e3);
            }
        }
    }
    let [own, of_twin] = times.map(median);
    compare("from `ctr run` to the first answer", "ms", own, of_twin);
    Ok(())
}

/// What the processes of the containers and their shims have of memory, pages that are shared counted in parts.
fn memory(host: &Host) -> Result<f64> {
    let mut sum = 0.0;
    for pid in left::processes(host)?.into_keys() {
        let path = format!("/proc/{pid}/smaps_rollup");
        let Ok(text) = fs::read_to_string(path) else { continue };
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
        sum += line.split_whitespace().next().unwrap_or("0").parse::<f64>()?;
    }
    Ok(sum / 1024.0)
}

#[test]
#[ignore = "a measurement"]
fn memory_of_idle_containers() -> Result<()> {
    let Some(both) = Both::import()? else { return Ok(()) };
    let mut found = [0.0; 2];
    for (which, found) in found.iter_mut().enumerate() {
        let mut ids = Vec::new();
        let mut networks = Vec::new();
        for _ in 0..IDLE {
            let network = Network::make()?;
            ids.push(both.start(which, &network)?.0);
            networks.push(network);
        }
        *found = memory(&both.host)? / f64::from(u32::try_from(IDLE)?);
        for id in ids {
            both.end(&id)?;
        }
        both.host.wait_until_nothing_is_left()?;
    }
    let [own, of_twin] = found;
    compare("memory of an idle container, its share of the shims included", "MiB", own, of_twin);
    Ok(())
}

/// Requests in a second, by `wrk`.
fn rate(addr: SocketAddr) -> Result<f64> {
    let url = format!("http://{addr}/");
    let output =
        Command::new("wrk").args(["-t1", "-c32", &format!("-d{}s", COUNTED.as_secs()), &url]).output();
    let output = output.context("no wrk: `apt-get install wrk` would bring it")?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    Ok(line.with_context(|| format!("no rate in {text}"))?.trim().parse()?)
}

/// The command of the same build, outside of any container.
fn outside() -> Result<Option<Running>> {
    let Some(wasock) = env::var_os("WASOCK_COMMAND") else {
        eprintln!("passed over: WASOCK_COMMAND names no `wasock` to compare with");
        return Ok(None);
    };
    let wasock = Path::new(&wasock).to_str().context("a path")?;
    let command = Wasock::run(wasock).args(["--listen", "*:*", "--drain-timeout", "1s"]);
    Ok(Some(command.args([guest_tests::HTTP_SERVER, "0.0.0.0:0"]).start()?))
}

#[test]
#[ignore = "a measurement"]
fn requests_in_a_container_and_outside() -> Result<()> {
    let (Some(both), Some(mut outside)) = (Both::import()?, outside()?) else { return Ok(()) };
    let port = outside.listening()?.port();
    let (image, _) = both.images.first().context("one of two")?;
    // In the host's network, as the other one: the interface between two namespaces is none of ours.
    let mut inside = both.host.run(image).flags(&["--net-host"]).args(&["0.0.0.0:0"]).start()?;
    let addr = SocketAddr::from(([127, 0, 0, 1], inside.listening()?.port()));
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let [in_there, out_here] = &mut rates;
        in_there.push(rate(addr)?);
        out_here.push(rate(([127, 0, 0, 1], port).into())?);
    }
    let [own, of_other] = rates.map(median);
    println!("requests/s: in a container {own:.0}, outside {of_other:.0}, ratio {:.2}", own / of_other);
    Ok(())
}
