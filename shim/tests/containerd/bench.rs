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

use crate::host::{FLOOR, Host, Imported, RUNC, WASOCK, floor};
use crate::network::Network;
use crate::{left, programs};

/// How often each is started, how many are idle side by side, and how long requests are counted.
const STARTS: usize = 15;
const IDLE: usize = 50;
const COUNTED: Duration = Duration::from_secs(4);
const ROUNDS: usize = 5;

/// The shim, the twin, and the least that a shim of the same crate takes.
struct All {
    host: Host,
    images: Vec<(Imported, &'static str)>,
}

impl All {
    fn import() -> Result<Option<Self>> {
        let Some(host) = Host::start()? else { return Ok(None) };
        let mut images = vec![
            (host.import(&programs::http_server()?)?, WASOCK),
            (host.import(&programs::native_http_server()?)?, RUNC),
        ];
        match floor() {
            Some(_) => images.push((host.import(&programs::http_server()?)?, FLOOR)),
            None => eprintln!("without the least that a shim takes: `cargo build --example floor` makes it"),
        }
        Ok(Some(Self { host, images }))
    }

    fn start(&self, which: usize, network: &Network) -> Result<(String, Duration)> {
        let (image, runtime) = self.images.get(which).context("one of them")?;
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

fn compare(what: &str, unit: &str, found: &[f64]) {
    let [own, of_twin, rest @ ..] = found else { return };
    println!(
        "{what}: wasock {own:.2} {unit}, runc with the native twin {of_twin:.2} {unit}, ratio {:.2}",
        own / of_twin
    );
    if let [floor] = rest {
        println!("{what}: a shim without an engine {floor:.2} {unit}, ratio {:.2}", floor / of_twin);
    }
}

#[test]
#[ignore = "a measurement"]
fn start_to_first_answer() -> Result<()> {
    let Some(all) = All::import()? else { return Ok(()) };
    let mut times = vec![Vec::new(); all.images.len()];
    for round in 0..=STARTS {
        for (which, times) in times.iter_mut().enumerate() {
            let network = Network::make()?;
            let (id, time) = all.start(which, &network)?;
            all.end(&id)?;
            // The first one fills caches, and compiles.
            if round > 0 {
                times.push(time.as_secs_f64() * 1e3);
            } else if which == 0 {
                println!("the first start of a module on a host: {:.0} ms", time.as_secs_f64() * 1e3);
            }
        }
    }
    let medians: Vec<_> = times.into_iter().map(median).collect();
    compare("from `ctr run` to the first answer", "ms", &medians);
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
    let Some(all) = All::import()? else { return Ok(()) };
    let mut found = vec![0.0; all.images.len()];
    for (which, found) in found.iter_mut().enumerate() {
        let mut ids = Vec::new();
        let mut networks = Vec::new();
        for _ in 0..IDLE {
            let network = Network::make()?;
            ids.push(all.start(which, &network)?.0);
            networks.push(network);
        }
        *found = memory(&all.host)? / f64::from(u32::try_from(IDLE)?);
        for id in ids {
            all.end(&id)?;
        }
        all.host.wait_until_nothing_is_left()?;
    }
    compare("memory of an idle container, its share of the shims included", "MiB", &found);
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
    let (Some(all), Some(mut outside)) = (All::import()?, outside()?) else { return Ok(()) };
    let port = outside.listening()?.port();
    let (image, _) = all.images.first().context("one of them")?;
    // In the host's network, as the other one: the interface between two namespaces is none of ours.
    let mut inside = all.host.run(image).flags(&["--net-host"]).args(&["0.0.0.0:0"]).start()?;
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
