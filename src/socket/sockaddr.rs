//! Addresses as the kernel writes them.
//!
//! A peer chooses what its address holds, so nothing here may panic. Two of rustix's
//! conversions would: that of a Unix name of 108 bytes, whose NUL "takes the length of the
//! pathname beyond sizeof(sun_path)" (unix(7), BUGS), and that of an address shorter than
//! its family's. So no other file converts a [`SocketAddrAny`]; a test in `tests/layering.rs`
//! checks that.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use rustix::net::{AddressFamily, SocketAddrAny};

use super::Family;
use crate::error::Errno;

/// What the kernel calls a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostName {
    /// It was never bound.
    Unnamed,
    /// A path of the host's, 108 bytes at most.
    Path(Vec<u8>),
    /// A name outside of the file system.
    Abstract(Vec<u8>),
}

/// The bytes of the longest path: `sun_path` of `struct sockaddr_un`.
const PATH_MAX: usize = 108;

/// The bytes of `struct sockaddr_in` and `struct sockaddr_in6`.
const INET4: u32 = 16;
const INET6: u32 = 28;

/// The family of `address`.
///
/// # Errors
///
/// `EAFNOSUPPORT` for any other than IPv4, IPv6 and `AF_UNIX`.
pub(super) fn family(address: &SocketAddrAny) -> Result<Family, Errno> {
    match address.address_family() {
        AddressFamily::INET => Ok(Family::Inet4),
        AddressFamily::INET6 => Ok(Family::Inet6),
        AddressFamily::UNIX => Ok(Family::Unix),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// The network address that `address` is.
///
/// # Errors
///
/// `EAFNOSUPPORT` where it is none, or is cut short.
pub(super) fn inet(address: SocketAddrAny) -> Result<SocketAddr, Errno> {
    let least = match address.address_family() {
        AddressFamily::INET => INET4,
        AddressFamily::INET6 => INET6,
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    if address.addr_len() < least {
        return Err(Errno::EAFNOSUPPORT);
    }
    SocketAddr::try_from(address).map_err(|_| Errno::EAFNOSUPPORT)
}

/// The name that `address` is.
///
/// # Errors
///
/// `EAFNOSUPPORT` for another family than `AF_UNIX`.
pub(super) fn unix(address: &SocketAddrAny) -> Result<HostName, Errno> {
    if address.address_family() != AddressFamily::UNIX {
        return Err(Errno::EAFNOSUPPORT);
    }
    Ok(match bytes(address).split_at_checked(size_of::<u16>()) {
        Some((_, [0, name @ ..])) if !name.is_empty() => HostName::Abstract(name.to_vec()),
        // The NUL may be missing, and bytes after it mean nothing.
        Some((_, path)) if path.first().is_some_and(|first| *first != 0) => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            HostName::Path(path.iter().copied().take(PATH_MAX).collect())
        }
        _ => HostName::Unnamed,
    })
}

/// The bytes of `address`, the family first; none where they can't be had.
///
/// rustix shows them to no safe code but a [`Hasher`], which is given all of them.
fn bytes(address: &SocketAddrAny) -> Vec<u8> {
    let mut copy = Copied(Vec::with_capacity(128));
    address.hash(&mut copy);
    let is_whole = u32::try_from(copy.0.len()) == Ok(address.addr_len());
    if is_whole { copy.0 } else { Vec::new() }
}

/// Stores the bytes that it is given, and none of the lengths.
struct Copied(Vec<u8>);

impl Hasher for Copied {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{
        SendFlags, SocketAddrUnix, SocketFlags, SocketType, acceptfrom_with, bind, connect, getpeername,
        getsockname, listen, recvfrom, sendto, socket,
    };
    use std::path::{Path, PathBuf};

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    /// A path of so many bytes below `folder`.
    fn long(folder: &Path, bytes: usize) -> PathBuf {
        let prefix = folder.as_os_str().len() + 1;
        folder.join("a".repeat(bytes.saturating_sub(prefix)))
    }

    fn path(path: &Path) -> HostName {
        HostName::Path(path.as_os_str().as_encoded_bytes().to_vec())
    }

    #[test]
    fn names_are_read_up_to_the_longest() -> TestResult {
        let folder = tempfile::tempdir()?;
        for length in [folder.path().as_os_str().len() + 2, 106, 107, 108] {
            let name = long(folder.path(), length);
            let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
            bind(&fd, &SocketAddrUnix::new(&name)?)?;
            assert_eq!(unix(&getsockname(&fd)?), Ok(path(&name)), "{length}");
        }
        Ok(())
    }

    /// By every system call that returns an address: of an accepted peer, of the peer, of a
    /// sender.
    #[test]
    fn the_longest_name_of_a_peer_is_read_from_every_call() -> TestResult {
        let folder = tempfile::tempdir()?;
        let (server, client) = (folder.path().join("s"), long(folder.path(), 108));
        let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        bind(&listener, &SocketAddrUnix::new(&server)?)?;
        listen(&listener, 1)?;
        let peer = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        bind(&peer, &SocketAddrUnix::new(&client)?)?;
        connect(&peer, &SocketAddrUnix::new(&server)?)?;
        let (accepted, told) = acceptfrom_with(&listener, SocketFlags::CLOEXEC)?;
        assert_eq!(told.as_ref().map(unix), Some(Ok(path(&client))));
        assert_eq!(getpeername(&accepted)?.as_ref().map(unix), Some(Ok(path(&client))));

        let to = folder.path().join("d");
        let receiver = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
        bind(&receiver, &SocketAddrUnix::new(&to)?)?;
        let sender = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
        // Of the same length, with another last byte.
        let from = client.to_string_lossy().strip_suffix('a').map(|it| PathBuf::from(format!("{it}b")));
        let from = from.ok_or("no name")?;
        bind(&sender, &SocketAddrUnix::new(&from)?)?;
        sendto(&sender, b"x", SendFlags::empty(), &SocketAddrUnix::new(&to)?)?;
        let (_, _, told) = recvfrom(&receiver, &mut [0; 4], rustix::net::RecvFlags::empty())?;
        assert_eq!(told.as_ref().map(unix), Some(Ok(path(&from))));
        Ok(())
    }

    #[test]
    fn no_name_and_abstract_names_are_distinguished() -> TestResult {
        let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        assert_eq!(unix(&getsockname(&fd)?), Ok(HostName::Unnamed));
        let longest = [b"wasock-test\0".as_slice(), &std::process::id().to_be_bytes(), &[b'x'; 91]].concat();
        assert_eq!(longest.len(), 107);
        bind(&fd, &SocketAddrUnix::new_abstract_name(&longest)?)?;
        assert_eq!(unix(&getsockname(&fd)?), Ok(HostName::Abstract(longest)));
        Ok(())
    }

    #[test]
    fn families_are_not_mixed_up() -> TestResult {
        let four: SocketAddr = "127.0.0.1:80".parse()?;
        let six: SocketAddr = "[fe80::1%3]:80".parse()?;
        for address in [four, six] {
            let any = SocketAddrAny::from(address);
            assert_eq!(unix(&any), Err(Errno::EAFNOSUPPORT));
            assert_eq!(inet(any), Ok(address));
        }
        let name = SocketAddrAny::from(SocketAddrUnix::new("/x")?);
        assert_eq!((family(&name), inet(name)), (Ok(Family::Unix), Err(Errno::EAFNOSUPPORT)));
        Ok(())
    }
}
