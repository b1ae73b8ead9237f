//! Refusals, in the operator's words.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::Use;
use super::named::NamedAddresses;
use crate::address::UnixName;
use crate::error::Errno;
use crate::observe::Escaped;

/// A refusal, in the operator's words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Denial {
    /// The address or name that was asked for. A name is the guest's to choose, and escaped.
    pub what: String,
    /// The rule that decided: `no --listen grant covers it`.
    pub rule: Cow<'static, str>,
    /// The flag that would allow exactly this; empty where none would.
    pub flag: String,
}

impl Denial {
    /// No grant has it.
    pub(super) fn ungranted(wish: Use<'_>) -> Self {
        let what = what(wish);
        let (rule, flag) = match wish {
            Use::TcpListen(_) | Use::UnixListen(_) => ("no --listen grant covers it", "--listen"),
            Use::TcpConnect(_) | Use::UnixConnect(_) => ("no --connect grant covers it", "--connect"),
            Use::UdpBind(_) => ("no --udp-bind grant covers it", "--udp-bind"),
            Use::UdpSend(_) => ("no --udp-send grant covers it", "--udp-send"),
            Use::TcpAccept(_) | Use::UdpReceive(_) => ("no --accept-from network has it", "--accept-from"),
            Use::Resolve(_) => ("no --resolve grant covers it", "--resolve"),
        };
        let value = match wish {
            Use::TcpAccept(peer) | Use::UdpReceive(peer) => peer.ip().to_canonical().to_string(),
            _ => match wish.address() {
                // The form in which the policy sees it.
                Some(address) => SocketAddr::new(address.ip().to_canonical(), address.port()).to_string(),
                None => for_a_shell(&what),
            },
        };
        Self { what, rule: rule.into(), flag: format!("{flag} {value}") }
    }

    /// The name `name`, which is granted, has the address `there`, and that is none to which a name
    /// may lead.
    pub(super) fn of_name_that_leads_inside(wish: Use<'_>, name: &str, there: SocketAddr) -> Self {
        let rule = format!("{} leads there, which is no address that a name is granted for", Escaped(name));
        let Self { what, flag, .. } = Self::ungranted(wish);
        let flag = flag.split(' ').next().unwrap_or_default();
        let host = match there {
            SocketAddr::V4(four) => four.ip().to_string(),
            SocketAddr::V6(six) => format!("[{}]", six.ip()),
        };
        let value = for_a_shell(&format!("{}@{host}:{}", Escaped(name), there.port()));
        Self { what, rule: rule.into(), flag: format!("{flag} {value}") }
    }

    /// Whether `named`, which is granted, has the address is not known.
    pub(super) fn of_name_without_address(wish: Use<'_>, named: &NamedAddresses, errno: Errno) -> Self {
        let Self { what, rule, flag } = Self::ungranted(wish);
        Self {
            what,
            rule: format!("{rule}, and {} could not be looked up: {errno}", named.names).into(),
            flag,
        }
    }

    /// The file with this path of the guest's is no program that it may execute.
    pub(crate) fn of_execution(path: &str) -> Self {
        let what = Escaped(path).to_string();
        let flag = format!("--exec {}", for_a_shell(&format!("FILE::{what}")));
        Self { what, rule: "no --exec grant covers it".into(), flag }
    }

    /// Descriptors are passed to nobody outside of the guest's own service.
    pub(crate) fn of_passing() -> Self {
        Self {
            what: "descriptors".to_owned(),
            rule: "the other end of the Unix socket is not of this service".into(),
            flag: String::new(),
        }
    }

    /// Something forbids it, whatever is granted.
    pub(super) fn by_rule(wish: Use<'_>, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what(wish), rule: rule.into(), flag: String::new() }
    }
}

/// The address or the name.
fn what(wish: Use<'_>) -> String {
    match wish {
        // Whatever its port: the next one may come from another.
        Use::UdpReceive(from) => from.ip().to_canonical().to_string(),
        Use::UnixListen(path) | Use::UnixConnect(path) => UnixName::new(path).to_string(),
        Use::Resolve(name) => Escaped(name).to_string(),
        Use::TcpListen(address)
        | Use::TcpAccept(address)
        | Use::TcpConnect(address)
        | Use::UdpBind(address)
        | Use::UdpSend(address) => address.to_string(),
    }
}

/// `text` as a shell reads it. The guest chose it, and the operator is invited to paste it.
pub(super) fn for_a_shell(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,*".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_can_be_pasted() {
        for (path, flag) in [
            ("/run/app.sock", "--listen unix:/run/app.sock"),
            ("/run/$(reboot)", "--listen 'unix:/run/$(reboot)'"),
            ("/run/it's", r"--listen 'unix:/run/it'\''s'"),
            ("/a b", "--listen 'unix:/a b'"),
        ] {
            assert_eq!(Denial::ungranted(Use::UnixListen(path)).flag, flag);
        }
        let denial = Denial::ungranted(Use::Resolve("a;b\u{1b}[2J\nwasock: c"));
        assert_eq!(denial.what, r"a;b\u{1b}[2J\nwasock: c");
        assert_eq!(denial.flag, r"--resolve 'a;b\u{1b}[2J\nwasock: c'");
    }
}
