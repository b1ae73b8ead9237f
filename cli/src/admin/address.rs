//! Where a host answers its operators.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What a path begins with.
const UNIX: &str = "unix:";

/// The variable that names the address of the host that `wasock ctl` asks.
pub(crate) const VARIABLE: &str = "WASOCK_ADMIN";

/// An address of this machine alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    /// A socket with this path.
    Unix(PathBuf),
    /// A port at a loopback address.
    Inet(SocketAddr),
}

impl AdminAddress {
    /// The one that is asked where none is named.
    pub(crate) fn default_path() -> PathBuf {
        match std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
            Some(folder) => PathBuf::from(folder).join("wasock.sock"),
            None => PathBuf::from("/run/wasock.sock"),
        }
    }
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected unix:PATH, 127.0.0.1:PORT or [::1]:PORT";
        if let Some(path) = text.strip_prefix(UNIX) {
            if path.is_empty() {
                return Err(expected.to_owned());
            }
            if path.starts_with('@') {
                return Err(format!(
                    "a name outside of the file system, as {text}, is open to every user: {expected}; a file of that \
                     name is {UNIX}./{path}"
                ));
            }
            return Ok(Self::Unix(path.into()));
        }
        let address: SocketAddr = text.parse().map_err(|_| expected.to_owned())?;
        if address.ip().to_canonical().is_loopback() {
            return Ok(Self::Inet(address));
        }
        Err(format!(
            "{address} can be reached from other machines, and what is said here is not encrypted: {expected}; \
             an operator elsewhere comes by ssh -L or by a proxy"
        ))
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            Self::Inet(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_this_machine_alone() {
        for (text, expected) in [
            ("unix:/run/wasock.sock", AdminAddress::Unix("/run/wasock.sock".into())),
            ("127.0.0.1:9000", AdminAddress::Inet(([127, 0, 0, 1], 9000).into())),
            ("[::1]:0", AdminAddress::Inet((std::net::Ipv6Addr::LOCALHOST, 0).into())),
        ] {
            assert_eq!(text.parse().as_ref(), Ok(&expected));
            assert_eq!(expected.to_string(), text);
        }
        for wrong in ["", "unix:", "unix:@name", "localhost:9000", "9000", "127.0.0.1", ":9000"] {
            assert!(wrong.parse::<AdminAddress>().is_err(), "{wrong}");
        }
        for open in ["0.0.0.0:9000", "[::]:9000", "10.0.0.1:9000", "[::ffff:10.0.0.1]:9000"] {
            let refused = open.parse::<AdminAddress>();
            assert!(refused.is_err_and(|why| why.contains("other machines")), "{open}");
        }
    }
}
