//! What a run has used of what it was granted, and what it was refused.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use wasock::observe::Escaped;
use wasock::{Address, Grant, Use};

use crate::args::{DirectoryArg, GrantArgs, RunArgs};

/// How many values are noted for each key; where there are more, the flags of the run take their place.
const MOST: usize = 256;

/// How many refusals are noted.
const MOST_REFUSED: usize = 256;

/// What the run was given.
pub(super) struct Given {
    command: Vec<String>,
    grants: GrantArgs,
    dir: Vec<DirectoryArg>,
    dir_ro: Vec<DirectoryArg>,
    exec: Vec<DirectoryArg>,
}

impl Given {
    pub(super) fn of(args: &RunArgs) -> Self {
        let (dir, dir_ro, exec) = (args.dir.clone(), args.dir_ro.clone(), args.processes.exec.clone());
        Self { command: args.command.clone(), grants: args.grants.clone(), dir, dir_ro, exec }
    }
}

/// What was used, by the keys of the file.
#[derive(Debug, Default)]
pub(super) struct Used {
    listen: Values,
    connect: Values,
    udp_bind: Values,
    udp_send: Values,
    resolve: Values,
    accept_from: Values,
    /// Were ports used that are published?
    publishes: bool,
    /// Each with the key that would allow it.
    refused: BTreeSet<String>,
}

/// The values of a key.
#[derive(Debug, Default)]
struct Values {
    noted: BTreeSet<String>,
    are_too_many: bool,
}

impl Values {
    /// Notes a value; is it new?
    fn add(&mut self, value: String) -> bool {
        if self.are_too_many || self.noted.contains(&value) {
            return false;
        }
        self.are_too_many = self.noted.len() >= MOST;
        self.are_too_many || self.noted.insert(value)
    }
}

impl Used {
    /// Notes a use that the grants of `args` allow. Returns whether that is new.
    pub(super) fn note(&mut self, wish: Use<'_>, args: &GrantArgs) -> bool {
        match wish {
            Use::TcpListen(at) if is_published(at, args) => !std::mem::replace(&mut self.publishes, true),
            Use::TcpListen(at) => bound(&mut self.listen, at, &args.listen),
            Use::UdpBind(at) if !covers(&args.udp_bind, at) => !std::mem::replace(&mut self.publishes, true),
            Use::UdpBind(at) => bound(&mut self.udp_bind, at, &args.udp_bind),
            Use::TcpConnect(to) => reached(&mut self.connect, to, &args.connect),
            Use::UdpSend(to) => reached(&mut self.udp_send, to, &args.udp_send),
            Use::UnixListen(path) => self.listen.add(format!("unix:{path}")),
            Use::UnixConnect(path) => self.connect.add(format!("unix:{path}")),
            Use::Resolve(name) if is_named(name, args) => false,
            Use::Resolve(name) => self.resolve.add(name.to_owned()),
            Use::TcpAccept(peer) | Use::UdpReceive(peer) => {
                let ip = peer.ip().to_canonical();
                let network = args.accept_from.iter().find(|network| network.contains(&ip));
                network.is_some_and(|network| self.accept_from.add(network.to_string()))
            }
            _ => false,
        }
    }

    /// Notes a refusal, with the flag that would allow it. Returns whether that is new.
    pub(super) fn refuse(&mut self, call: &str, what: &str, rule: &str, flag: &str) -> bool {
        let cure = if flag.is_empty() { String::new() } else { format!("; {flag} would allow it") };
        let text = Escaped(format_args!("{call} of {what}: {rule}{cure}")).to_string();
        self.refused.len() < MOST_REFUSED && self.refused.insert(text)
    }

    /// The file: what the run needs of what was `given`.
    pub(super) fn written(&self, given: &Given) -> String {
        let mut text =
            "# What a run used of what it was granted. It may need more another time.\n".to_owned();
        if let Some((module, arguments)) = given.command.split_first() {
            text += &format!("module = {}\n", quoted(module));
            list(&mut text, "args", arguments.iter().cloned());
        }
        let Given { grants: given, dir, dir_ro, exec, .. } = given;
        let grants = |grants: &[Grant]| grants.iter().map(Grant::to_string).collect::<Vec<_>>();
        let mut key = |name: &str, values: &Values, given: Vec<String>| {
            if values.are_too_many {
                text += &format!("# more than {MOST} were used: as it was given\n");
                list(&mut text, name, given.into_iter());
            } else {
                list(&mut text, name, values.noted.iter().cloned());
            }
        };
        key("listen", &self.listen, grants(&given.listen));
        key("connect", &self.connect, grants(&given.connect));
        key("udp-bind", &self.udp_bind, grants(&given.udp_bind));
        key("udp-send", &self.udp_send, grants(&given.udp_send));
        key("resolve", &self.resolve, given.resolve.iter().map(ToString::to_string).collect());
        key("accept-from", &self.accept_from, given.accept_from.iter().map(ToString::to_string).collect());
        if self.publishes {
            list(&mut text, "publish", given.publish.iter().map(ToString::to_string));
        }
        if given.udp_strict {
            text += "udp-strict = true\n";
        }
        directories(&mut text, "dir", dir);
        directories(&mut text, "dir-ro", dir_ro);
        directories(&mut text, "exec", exec);
        for refused in &self.refused {
            text += &format!("# refused: {refused}\n");
        }
        text
    }
}

/// What files a guest uses is not noted.
fn directories(text: &mut String, key: &str, given: &[DirectoryArg]) {
    if !given.is_empty() {
        *text += "# as it was given\n";
    }
    list(text, key, given.iter().map(|it| format!("{}::{}", it.host.display(), it.guest)));
}

/// Notes where a socket is, unless the port was the system's choice, for which port 0 is granted.
fn bound(values: &mut Values, at: SocketAddr, granted: &[Grant]) -> bool {
    let at = canonical(at);
    let chosen = SocketAddr::new(at.ip(), 0).to_string();
    let is_choice = at.port() != 0 && (values.noted.contains(&chosen) || !covers(granted, at));
    !is_choice && values.add(at.to_string())
}

/// Notes where a socket connects or sends: the address, or all the names that lead there.
fn reached(values: &mut Values, to: SocketAddr, granted: &[Grant]) -> bool {
    let to = canonical(to);
    if covers(granted, to) {
        return values.add(to.to_string());
    }
    let has_port = |grant: &&Grant| grant.ports().is_some_and(|ports| ports.contains(&to.port()));
    let named = granted.iter().filter(|grant| grant.is_of_names()).filter(has_port);
    let mut is_new = false;
    for grant in named {
        is_new |= values.add(grant.to_string());
    }
    is_new
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn covers(granted: &[Grant], address: SocketAddr) -> bool {
    granted.iter().any(|grant| grant.covers(&Address::Inet(address)))
}

/// Is a socket there because its port is published, and not because it may listen there?
fn is_published(at: SocketAddr, args: &GrantArgs) -> bool {
    let is_one = |port: u16| port == at.port() || port == 0;
    args.publish.iter().filter_map(|publish| publish.tcp_port()).any(is_one) && !covers(&args.listen, at)
}

/// Does a grant to reach out name it?
fn is_named(name: &str, args: &GrantArgs) -> bool {
    let all = args.connect.iter().chain(&args.udp_send);
    let first_port = |grant: &Grant| grant.ports().map_or(0, |ports| *ports.start());
    all.into_iter().any(|grant| grant.covers_name(name, first_port(grant)))
}

fn list(text: &mut String, key: &str, values: impl Iterator<Item = String>) {
    let values: Vec<String> = values.map(|value| quoted(&value)).collect();
    match values.as_slice() {
        [] => {}
        [one] => *text += &format!("{key} = [{one}]\n"),
        many => {
            let lines: String = many.iter().map(|value| format!("    {value},\n")).collect();
            *text += &format!("{key} = [\n{lines}]\n");
        }
    }
}

/// As a text of TOML. Paths and names are the guest's to choose.
fn quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if c.is_control() || !c.is_ascii() && Escaped(c).to_string().chars().count() > 1 => {
            format!("\\U{:08X}", u32::from(c))
        }
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use anyhow::{Result, bail};

    fn args(words: &[&str]) -> Result<RunArgs> {
        let words = ["wasock", "run"].iter().chain(words).map(Into::into);
        match Args::read(words)?.command {
            Command::Run(run) => Ok(*run),
            other => bail!("{other:?}"),
        }
    }

    #[test]
    fn the_smallest_policy_has_what_was_used() -> Result<()> {
        let args = args(&[
            "--listen=*:*",
            "--connect=10.0.0.0/8:*",
            "--connect=a.example:443",
            "--connect=b.example:80",
            "--udp-send=*:*",
            "--resolve=*",
            "--accept-from=127.0.0.0/8",
            "--accept-from=10.0.0.0/8",
            "--dir=/srv::/data",
            "m.wasm",
            "-x",
        ])?;
        let mut used = Used::default();
        for (wish, is_new) in [
            (Use::TcpListen("127.0.0.1:0".parse()?), true),
            (Use::TcpListen("127.0.0.1:40000".parse()?), false),
            (Use::TcpListen("[::]:8080".parse()?), true),
            (Use::TcpListen("[::]:8080".parse()?), false),
            (Use::UnixListen("/run/a\"b\n"), true),
            (Use::TcpConnect("10.1.2.3:5432".parse()?), true),
            (Use::TcpConnect("[::ffff:10.1.2.3]:5432".parse()?), false),
            (Use::TcpConnect("1.1.1.1:443".parse()?), true),
            (Use::Resolve("a.example"), false),
            (Use::Resolve("other.example"), true),
            (Use::TcpAccept("127.0.0.1:9".parse()?), true),
            (Use::TcpAccept("127.0.0.2:9".parse()?), false),
        ] {
            assert_eq!(used.note(wish, &args.grants), is_new, "{wish:?}");
        }
        assert!(used.refuse("sock_connect", "1.2.3.4:5\n", "no grant", "--connect 1.2.3.4:5"));
        let expected = "# What a run used of what it was granted. It may need more another time.\n\
            module = \"m.wasm\"\nargs = [\"-x\"]\n\
            listen = [\n    \"127.0.0.1:0\",\n    \"[::]:8080\",\n    \"unix:/run/a\\\"b\\U0000000A\",\n]\n\
            connect = [\n    \"10.1.2.3:5432\",\n    \"a.example:443\",\n]\n\
            resolve = [\"other.example\"]\naccept-from = [\"127.0.0.0/8\"]\n\
            # as it was given\ndir = [\"/srv::/data\"]\n\
            # refused: sock_connect of 1.2.3.4:5\\n: no grant; --connect 1.2.3.4:5 would allow it\n";
        assert_eq!(used.written(&Given::of(&args)), expected);
        Ok(())
    }

    #[test]
    fn what_is_noted_is_bounded() -> Result<()> {
        let args = args(&["--connect=10.0.0.0/8:*", "m.wasm"])?;
        let mut used = Used::default();
        for port in 1..1000 {
            used.note(Use::TcpConnect(SocketAddr::new("10.0.0.1".parse()?, port)), &args.grants);
            used.refuse("sock_connect", &port.to_string(), "", "");
        }
        let text = used.written(&Given::of(&args));
        assert!(text.contains("as it was given\nconnect = [\"10.0.0.0/8:*\"]"), "{text}");
        assert!(text.lines().count() < 300);
        Ok(())
    }
}
