//! What is measured: each workload is a server, a client, and what is read off them.

mod components;

use super::build::DIALECTS;
use super::goal::Goal;
use super::server::Service;

/// What a client does to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Drive {
    /// Requests one after another on connections that stay: `wrk`, or `turns`.
    Http { connections: usize },
    /// A connection for each request: `ab`, or `churn`.
    Churn { connections: usize },
    /// The same by `churn` in any case, which is leaner. In a burst all of them begin at once.
    Connect { connections: usize, is_burst: bool },
    /// Bytes from the client to the server.
    Send,
    /// Bytes from the server to the client.
    Receive,
    /// 64 bytes there and back, at half of what the slower side can do.
    HalfLoad { connections: usize },
    /// Connections that say nothing, and few that do.
    MostlyIdle { idle: usize, active: usize, payload: &'static str },
    /// From the start of the process to its first answer.
    Start { module: Module, is_cached: bool },
}

/// The module that is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Module {
    Small,
    Big,
}

/// One figure of a run.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    /// What it is, behind the name of the workload.
    pub(super) what: &'static str,
    /// Its name among the values of a run.
    pub(super) key: &'static str,
    pub(super) unit: &'static str,
    pub(super) goal: Goal,
}

pub(super) const fn measure(
    what: &'static str,
    key: &'static str,
    unit: &'static str,
    goal: Goal,
) -> Measure {
    Measure { what, key, unit, goal }
}

/// A server, a client, and what is read off them.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) service: Service,
    pub(super) drive: Drive,
    pub(super) measures: Vec<Measure>,
    /// Where it is one of several of growing size: their name, and its size.
    pub(super) series: Option<(&'static str, usize)>,
    pub(super) is_in_quick: bool,
}

impl Workload {
    fn new(name: &str, service: Service, drive: Drive, measures: &[Measure]) -> Self {
        let (name, measures) = (name.to_owned(), measures.to_vec());
        Self { name, service, drive, measures, series: None, is_in_quick: true }
    }

    /// Only the full run has it.
    fn in_full(self) -> Self {
        Self { is_in_quick: false, ..self }
    }

    /// How many descriptors each side needs for it, some to spare.
    pub(super) fn descriptors(&self) -> usize {
        SPARE
            + match self.drive {
                Drive::MostlyIdle { idle, active, .. } => idle + active,
                Drive::Http { connections }
                | Drive::Churn { connections }
                | Drive::Connect { connections, .. }
                | Drive::HalfLoad { connections } => connections,
                Drive::Send | Drive::Receive | Drive::Start { .. } => 1,
            }
    }
}

const REQUESTS: &str = "requests/s";
const CONNECTIONS: &str = "connections/s";

/// All of them, in the order of the table, for a machine that allows a process so many
/// descriptors.
pub(super) fn all(descriptors: u64) -> Vec<Workload> {
    [
        keep_alive(),
        connections(),
        streams(),
        mostly_idle(descriptors),
        threads(),
        instances(),
        dialects(),
        components::workloads(),
        profiles(),
        growth(),
        starts(),
    ]
    .concat()
}

fn keep_alive() -> Vec<Workload> {
    let mut workloads = Vec::new();
    for (way, connections) in
        [("poll", 1), ("poll", 32), ("poll", 512), ("epoll", 1), ("epoll", 32), ("epoll", 512)]
    {
        let goal = if connections == 32 { Goal::RatioAtLeast(0.90) } else { Goal::None };
        let plural = if connections == 1 { "" } else { "s" };
        let workload = Workload::new(
            &format!("keep-alive HTTP, {way}, {connections} connection{plural}"),
            Service::http(way),
            Drive::Http { connections },
            &[measure("", "rate", REQUESTS, goal)],
        );
        // The quick run has each way once with few and once with many.
        let is_in_quick = !matches!((way, connections), ("poll", 512) | ("epoll", 1));
        workloads.push(Workload { is_in_quick, ..workload });
    }
    workloads
}

fn connections() -> Vec<Workload> {
    let rate = measure("", "rate", CONNECTIONS, Goal::RatioAtLeast(0.95));
    let storm = [
        Measure { goal: Goal::None, ..rate.clone() },
        measure("p99 from connect to answer", "p99_us", "us", Goal::None),
    ];
    let churn = |way: &str| {
        let name = format!("churn, {way}, 16 at once");
        let drive = Drive::Churn { connections: 16 };
        Workload::new(&name, Service::http(way), drive, std::slice::from_ref(&rate))
    };
    let connect = |name: &str, connections, is_burst, measures: &[Measure]| {
        Workload::new(name, Service::http("epoll"), Drive::Connect { connections, is_burst }, measures)
    };
    vec![
        churn("poll"),
        churn("epoll").in_full(),
        connect("churn by our own client, epoll, 16 at once", 16, false, std::slice::from_ref(&rate))
            .in_full(),
        connect("accept storm, epoll, bursts of 512", 512, true, &storm).in_full(),
    ]
}

fn streams() -> Vec<Workload> {
    let bulk = [measure("", "rate", "bytes/s", Goal::RatioAtLeast(0.95))];
    let latency =
        [measure("p50", "p50_us", "us", Goal::None), measure("p99", "p99_us", "us", Goal::RatioAtMost(1.25))];
    vec![
        Workload::new("bulk to the server, 64 KiB writes", Service::stream("sink"), Drive::Send, &bulk),
        Workload::new(
            "bulk from the server, 64 KiB writes",
            Service::stream("source"),
            Drive::Receive,
            &bulk,
        ),
        Workload::new(
            "echo of 64 bytes at half load, 16 connections",
            Service::stream("echo"),
            Drive::HalfLoad { connections: 16 },
            &latency,
        ),
    ]
}

/// The most connections.
const MANY: usize = 20_000;

/// The descriptors of a process that are no connections, and some to spare.
const SPARE: usize = 100;

fn mostly_idle(descriptors: u64) -> Vec<Workload> {
    let measures = [
        measure("host's memory a connection", "host_memory", "bytes", Goal::GuestAtMost(512.0)),
        measure("all memory a connection", "memory", "bytes", Goal::None),
        measure("echoes", "rate", "echoes/s", Goal::None),
        measure("processor time an echo", "server_us", "us", Goal::None),
        measure("processor time of a second without traffic", "idle_us", "us", Goal::None),
    ];
    let of = |count: usize| {
        let drive = Drive::MostlyIdle { idle: count - count / 100, active: count / 100, payload: "64" };
        let name = format!("{count} idle connections, 1 % active");
        Workload::new(&name, Service::stream("echo"), drive, &measures)
    };
    // Where fewer descriptors are allowed, as many as there are.
    let most = usize::try_from(descriptors).map_or(MANY, |most| most.saturating_sub(SPARE) / 100 * 100);
    vec![of(10_000), of(most.clamp(10_100, MANY)).in_full()]
}

fn threads() -> Vec<Workload> {
    let keep_alive = [measure("", "rate", REQUESTS, Goal::None)];
    let churn = [measure("", "rate", CONNECTIONS, Goal::None)];
    let once = Drive::Churn { connections: 16 };
    let held_open = Drive::Http { connections: 32 };
    vec![
        Workload::new(
            "a thread a connection, keep-alive, 32 connections",
            Service::threaded("each", 0),
            held_open.clone(),
            &keep_alive,
        ),
        Workload::new(
            "a thread a connection, churn, 16 at once",
            Service::threaded("each", 0),
            once.clone(),
            &churn,
        ),
        Workload::new("4 workers and a queue, churn, 16 at once", Service::threaded("pool", 4), once, &churn)
            .in_full(),
        Workload::new(
            "2 threads on one epoll, keep-alive, 32 connections",
            Service::threaded("shared", 2),
            held_open.clone(),
            &keep_alive,
        )
        .in_full(),
        Workload::new(
            "2 threads, an epoll each, keep-alive, 32 connections",
            Service::threaded("own", 2),
            held_open,
            &keep_alive,
        )
        .in_full(),
    ]
}

fn instances() -> Vec<Workload> {
    let rate = |goal| measure("", "rate", CONNECTIONS, Goal::RatioAtLeast(goal));
    let time = measure("processor time", "server_us", "us", Goal::None);
    let churn = |name: &str, service, measures: &[Measure]| {
        Workload::new(name, service, Drive::Churn { connections: 16 }, measures)
    };
    vec![
        // What the executed programs take is not in the time of the server that executes them.
        churn(
            "an instance a connection, beside fork and exec, 16 at once",
            Service::per_connection(),
            &[rate(10.0)],
        ),
        churn(
            "an instance a connection, beside one instance, 16 at once",
            Service::per_connection_beside_one(),
            &[rate(0.5), time],
        ),
    ]
}

/// One source with the calls of each dialect, beside those of WASIX: what is different is the ABI alone.
fn dialects() -> Vec<Workload> {
    let rate = [measure("", "rate", REQUESTS, Goal::RatioAtLeast(0.97))];
    let workload = |(feature, name): (&'static str, &str)| {
        let name = format!("keep-alive HTTP by {name}'s calls, 32 connections, beside WASIX's");
        Workload::new(&name, Service::http_in(feature), Drive::Http { connections: 32 }, &rate)
    };
    DIALECTS.map(workload).into()
}

fn profiles() -> Vec<Workload> {
    let rate = [measure("", "rate", CONNECTIONS, Goal::None)];
    let profile = |name: &str| {
        let service = Service::http("poll").with_profile(name);
        Workload::new(&format!("churn, profile {name}"), service, Drive::Churn { connections: 16 }, &rate)
    };
    // `wasix` is the profile of every other row, and is here to be compared within a minute.
    vec![
        profile("wasix").in_full(),
        profile("posix").in_full(),
        profile("winsock"),
        profile("bsd").in_full(),
        profile("linux").in_full(),
    ]
}

/// The sizes of the series that grow.
const SIZES: [usize; 4] = [8, 64, 512, 4096];

fn growth() -> Vec<Workload> {
    let time = [measure("p50 of a request", "p50_us", "us", Goal::None)];
    let mut workloads = Vec::new();
    for (series, way) in [("descriptors in one poll", "poll"), ("connections in one epoll", "epoll")] {
        for size in SIZES {
            let drive = Drive::MostlyIdle { idle: size - 1, active: 1, payload: "http" };
            let name = format!("{size} {series}");
            let workload = Workload::new(&name, Service::http(way), drive, &time);
            let is_in_quick = matches!(size, 8 | 4096);
            workloads.push(Workload { series: Some((series, size)), is_in_quick, ..workload });
        }
    }
    workloads
}

fn starts() -> Vec<Workload> {
    let mut workloads = Vec::new();
    for (module, size) in [(Module::Small, "small"), (Module::Big, "3.5 MB")] {
        for (is_cached, from) in [(false, "compiled anew"), (true, "from the compile cache")] {
            let is_goal = module == Module::Big && is_cached;
            let goal = if is_goal { Goal::GuestAtMost(30.0) } else { Goal::None };
            let name = format!("start to first answer, {size} module, {from}");
            let time = [measure("", "ms", "ms", goal)];
            let workload =
                Workload::new(&name, Service::http("poll"), Drive::Start { module, is_cached }, &time);
            // To compile it takes seconds, each time.
            workloads.push(if is_cached { workload } else { workload.in_full() });
        }
    }
    workloads
}

#[cfg(test)]
mod tests {
    use super::all;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_workloads_have_one_name() {
        let all = all(u64::MAX);
        let names: BTreeSet<&str> = all.iter().map(|workload| workload.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
    }
}
