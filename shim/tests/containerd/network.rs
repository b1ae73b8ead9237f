//! A network namespace for a container, as a network plugin makes it: an interface there, and its peer here.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::host::next_number;

pub(crate) struct Network {
    name: String,
    /// Where the container is, and where this side is.
    inside: Ipv4Addr,
    outside: Ipv4Addr,
}

impl Network {
    /// Makes one with addresses of its own.
    pub(crate) fn make() -> Result<Self> {
        let number = next_number();
        let process = std::process::id();
        // A network of four addresses; the range is for measurements of networks (RFC 2544).
        let block = (process.wrapping_mul(64).wrapping_add(number) % 0x7fff) * 4;
        let at = |host: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + block + host);
        let network = Self { name: format!("wasock-{process}-{number}"), outside: at(1), inside: at(2) };
        let (name, peer) = (network.name.clone(), format!("wt{process:x}{number:x}"));
        ip(&["netns", "add", &name])?;
        ip(&["link", "add", &peer, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        ip(&["address", "add", &format!("{}/30", network.outside), "dev", &peer])?;
        ip(&["link", "set", &peer, "up"])?;
        ip(&["-n", &name, "address", "add", &format!("{}/30", network.inside), "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "route", "add", "default", "via", &network.outside.to_string()])?;
        Ok(network)
    }

    /// What `ctr run` gets.
    pub(crate) fn flags(&self) -> [String; 2] {
        ["--with-ns".to_owned(), format!("network:/run/netns/{}", self.name)]
    }

    /// Where a port of the container is, seen from here.
    pub(crate) fn inside(&self, port: u16) -> SocketAddr {
        (self.inside, port).into()
    }

    /// Where this side is, seen from the container.
    pub(crate) fn outside(&self) -> Ipv4Addr {
        self.outside
    }

    /// A command in there.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The interface there goes with it, and its peer with that.
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!("not cleaned up: {error:#}");
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output()?;
    ensure!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
