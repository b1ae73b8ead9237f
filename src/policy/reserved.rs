//! Sockets of the host's own, which no guest reaches, whatever was granted.

use std::net::{IpAddr, SocketAddr};

use super::Use;

/// What tells a file from every other one: its device, and its number there. It has the same by each of its
/// names, also by one that a guest or a peer has given it since.
pub type FileId = (u64, u64);

/// Where the host's own sockets are.
#[derive(Clone, Default)]
pub(super) struct Reserved {
    addresses: Vec<SocketAddr>,
    files: Vec<FileId>,
}

/// Why one is refused. There is no flag that would allow it.
pub(super) const RULE: &str = "it is the host's own socket, which no grant opens";

impl Reserved {
    pub(super) fn add_address(&mut self, address: SocketAddr) {
        self.addresses.push(canonical(address));
    }

    pub(super) fn add_file(&mut self, file: FileId) {
        self.files.push(file);
    }

    /// Is any file reserved?
    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Is that one?
    pub(super) fn has_file(&self, file: FileId) -> bool {
        self.files.contains(&file)
    }

    /// Does `wish` lead to a reserved address, or take it?
    pub(super) fn has(&self, wish: Use<'_>) -> bool {
        let there = match wish {
            Use::TcpConnect(there) | Use::UdpSend(there) | Use::TcpListen(there) | Use::UdpBind(there) => {
                there
            }
            Use::TcpAccept(_)
            | Use::UdpReceive(_)
            | Use::UnixListen(_)
            | Use::UnixConnect(_)
            | Use::Resolve(_) => return false,
        };
        let there = canonical(there);
        self.addresses.iter().any(|reserved| {
            // "INADDR_ANY ... any address for binding", and to connect to it is to connect to
            // this machine. - ip(7)
            let is_any = |ip: IpAddr| ip.is_unspecified();
            reserved.port() == there.port()
                && (reserved.ip() == there.ip() || is_any(reserved.ip()) || is_any(there.ip()))
        })
    }
}

/// An IPv4 address is one, however it is written.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::super::{Grant, Policy};
    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn no_writing_of_the_address_leads_there() -> TestResult {
        let mut policy = Policy::default();
        let all: Grant = "*:*".parse()?;
        policy.allow_connect(&all);
        policy.allow_udp_send(&all);
        policy.allow_listen(&all);
        policy.allow_udp_bind(&all);
        policy.reserve_address("127.0.0.1:9000".parse()?);
        for text in [
            "127.0.0.1:9000",
            "[::ffff:127.0.0.1]:9000",
            "0.0.0.0:9000",
            "[::]:9000",
            "[::ffff:0.0.0.0]:9000",
        ] {
            let there = text.parse()?;
            for wish in
                [Use::TcpConnect(there), Use::UdpSend(there), Use::TcpListen(there), Use::UdpBind(there)]
            {
                let denial = policy.check(wish).err().ok_or(text)?;
                assert!(denial.rule == RULE && denial.flag.is_empty(), "{denial:?}");
            }
            // Nor does an answer.
            assert!(policy.check_send(there, || true).is_err(), "{text}");
        }
        for text in ["127.0.0.1:9001", "127.0.0.2:9000", "[::1]:9000", "10.0.0.1:9000"] {
            assert!(policy.check(Use::TcpConnect(text.parse()?)).is_ok(), "{text}");
        }
        Ok(())
    }

    #[test]
    fn a_file_is_reserved_by_what_it_is() -> TestResult {
        let mut policy = Policy::default();
        policy.allow_connect(&"unix:*".parse()?);
        assert!(!policy.reserves_files());
        policy.reserve_file((1, 2));
        let wish = Use::UnixConnect("/any/name");
        assert!(policy.reserves_files() && policy.check_file(wish, (1, 2)).is_err());
        assert!(policy.check_file(wish, (1, 3)).is_ok() && policy.check(wish).is_ok());
        Ok(())
    }
}
