//! Names of hosts, as every version of WASI has them.

use std::net::{IpAddr, Ipv6Addr};

use super::failure::Failure;
use crate::observe::text::Quoted;
use crate::policy::Use;
use crate::process::Process;

/// The call, as the operator knows it.
pub(super) const RESOLVE: &str = "resolve-addresses";

/// More bytes than any name of a host has, also before it is converted.
const MAX_NAME: usize = 1024;

/// How much of a name the trace prints, in characters.
const SHOWN: usize = 64;

/// A name, as the trace prints it.
pub(super) fn shown(name: &str) -> String {
    let start: String = name.chars().take(SHOWN).collect();
    let rest = if start.len() < name.len() { ".." } else { "" };
    format!("name={}{rest}", Quoted(&start))
}

/// What a name names.
pub(super) enum Named {
    Address(IpAddr),
    Domain(String),
}

/// "Unicode domain names are automatically converted to ASCII using IDNA encoding. If the input is an IP
/// address string, the address is parsed and returned as-is" - wasi:sockets/ip-name-lookup
///
/// # Errors
///
/// [`Failure::Argument`] for what is neither.
pub(super) fn host(name: &str) -> Result<Named, Failure> {
    if name.len() > MAX_NAME {
        return Err(Failure::Argument);
    }
    if let Ok(ip) = name.parse::<Ipv6Addr>() {
        return Ok(Named::Address(ip.into()));
    }
    match url::Host::parse(name) {
        Ok(url::Host::Ipv4(ip)) => Ok(Named::Address(ip.into())),
        Ok(url::Host::Ipv6(ip)) => Ok(Named::Address(ip.into())),
        Ok(url::Host::Domain(domain)) => Ok(Named::Domain(domain)),
        Err(_) => Err(Failure::Argument),
    }
}

/// Asks the policy whether the guest may look `name` up; the operator learns of it where not.
pub(super) fn may_look_up(process: &Process, name: &str) -> bool {
    let allowed = process.policy().check(Use::Resolve(name));
    allowed.map_err(|denial| process.report().report_denial(RESOLVE, denial)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<String> {
        match host(name).ok()? {
            Named::Address(ip) => Some(ip.to_string()),
            Named::Domain(domain) => Some(domain),
        }
    }

    #[test]
    fn a_name_is_a_domain_or_an_address() {
        for (name, expected) in [
            ("example.com", Some("example.com")),
            ("m\u{fc}nchen.de", Some("xn--mnchen-3ya.de")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("", None),
            (" ", None),
            ("a.b<&>", None),
            ("127.0.0.1:80", None),
            ("http://example.com/", None),
        ] {
            assert_eq!(named(name).as_deref(), expected, "{name:?}");
        }
        assert_eq!(named(&"a".repeat(MAX_NAME + 1)), None);
    }

    #[test]
    fn a_long_name_is_cut_where_a_character_ends() {
        assert_eq!(shown("a\nb"), "name=\"a\\nb\"");
        let long = "\u{fc}".repeat(100);
        assert_eq!(shown(&long), format!("name=\"{}\"..", "\u{fc}".repeat(SHOWN)));
    }
}
