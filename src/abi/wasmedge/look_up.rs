//! Names to addresses.
//!
//! The numbers that a look-up fails with are the dialect's own, so all of the call is its waiting half,
//! whose errors may be such: see `abi/errno.rs`.

use wiggle::{GuestMemory, GuestPtr};

use super::bindings::types;
use super::bindings::wasmedge_look_up::WasmedgeLookUp;
use super::list;
use crate::abi::call::Call;
use crate::abi::look_up::{LookUp, Maps, port_of};
use crate::abi::memory::{check_out, check_out_value};
use crate::error::{Error, LookUpError};
use crate::socket::{Family, Kind};

/// The longest name that the resolver takes, in bytes, with the NUL that guests put behind it.
const MAX_NAME: u32 = 256;

const PASSIVE: u16 = 1;
const CANONICAL_NAME: u16 = 2;
const NUMERIC_HOST: u16 = 4;
const NUMERIC_SERVICE: u16 = 8;
const V4_MAPPED: u16 = 16;
const ALL: u16 = 32;
const ONLY_CONFIGURED: u16 = 64;

impl WasmedgeLookUp for Call<'_> {
    fn sock_getaddrinfo(
        &mut self,
        memory: &mut GuestMemory<'_>,
        node: GuestPtr<[u8]>,
        service: GuestPtr<[u8]>,
        hints: u32,
        res: GuestPtr<u32>,
        max_res: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_n)?;
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let hints = Hints::read(memory, hints)?;
                let (node, service) = (text(memory, node)?, text(memory, service)?);
                let (look_up, wants_name) = hints.apply(node, &service)?;
                if max_res == 0 {
                    return Err(LookUpError::Memory.into());
                }
                let first = memory.read(res)?;
                let entries = list::read(memory, first, max_res)?;
                let name = look_up.node.clone().filter(|_| wants_name);
                let found = call.look_up_as("sock_getaddrinfo", look_up).await?;
                let written = list::write(memory, &entries, &found, name.as_deref())?;
                if written == 0 {
                    return Err(LookUpError::Memory.into());
                }
                Ok(memory.write(ret_n, written)?)
            })
        }))
    }
}

/// What the guest says of what it wants, by numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Hints {
    flags: u16,
    family: u8,
    kind: u8,
    protocol: u8,
}

impl Hints {
    /// Those at `at`; none where that is 0.
    fn read(memory: &GuestMemory<'_>, at: u32) -> Result<Self, Error> {
        if at == 0 {
            return Ok(Self::default());
        }
        let hints = memory.read(GuestPtr::<types::Addrinfo>::new(at))?;
        Ok(Self {
            flags: hints.ai_flags,
            family: hints.ai_family,
            kind: hints.ai_socktype,
            protocol: hints.ai_protocol,
        })
    }

    /// What they make of a node and a service; and whether the name is wanted too.
    ///
    /// # Errors
    ///
    /// In the order of the reference host: `NoName` without both, `BadFlags`, `Family`, `SockType`;
    /// and those of [`port_of`].
    fn apply(self, node: String, service: &str) -> Result<(LookUp, bool), LookUpError> {
        // "EAI_NONAME: ... Neither nodename nor servname were supplied."
        if node.is_empty() && service.is_empty() {
            return Err(LookUpError::NoName);
        }
        let known =
            PASSIVE | CANONICAL_NAME | NUMERIC_HOST | NUMERIC_SERVICE | V4_MAPPED | ALL | ONLY_CONFIGURED;
        let has = |flag: u16| self.flags & flag != 0;
        if self.flags & !known != 0 || has(CANONICAL_NAME) && node.is_empty() {
            return Err(LookUpError::BadFlags);
        }
        let family = match self.family {
            0 => None,
            1 => Some(Family::Inet4),
            2 => Some(Family::Inet6),
            _ => return Err(LookUpError::Family),
        };
        let maps = match (has(V4_MAPPED), has(ALL)) {
            (false, _) => Maps::Never,
            (true, false) => Maps::IfNothingElse,
            (true, true) => Maps::Always,
        };
        let look_up = LookUp {
            node: Some(node).filter(|node| !node.is_empty()),
            port: port_of(service, has(NUMERIC_SERVICE))?,
            family,
            kinds: self.kinds()?,
            is_passive: has(PASSIVE),
            is_numeric: has(NUMERIC_HOST),
            maps,
        };
        Ok((look_up, has(CANONICAL_NAME)))
    }

    /// The kinds of sockets: any 0, datagrams 1, streams 2; of any protocol 0, TCP 1, UDP 2.
    fn kinds(self) -> Result<Vec<Kind>, LookUpError> {
        let kinds: &[Kind] = match self.kind {
            0 => &[Kind::Stream, Kind::Datagram],
            1 => &[Kind::Datagram],
            2 => &[Kind::Stream],
            _ => return Err(LookUpError::SockType),
        };
        let is_of = |kind: &Kind| match self.protocol {
            0 => true,
            1 => *kind == Kind::Stream,
            2 => *kind == Kind::Datagram,
            _ => false,
        };
        let kinds: Vec<Kind> = kinds.iter().copied().filter(is_of).collect();
        if kinds.is_empty() { Err(LookUpError::SockType) } else { Ok(kinds) }
    }
}

/// A name, without the NUL that both guest libraries count in its length.
///
/// # Errors
///
/// `NoName` for what no name is: too long, not UTF-8, with a NUL inside.
fn text(memory: &GuestMemory<'_>, at: GuestPtr<[u8]>) -> Result<String, Error> {
    let (start, length) = at.offset();
    check_out(memory, start, length)?;
    if length > MAX_NAME {
        return Err(LookUpError::NoName.into());
    }
    let mut bytes = memory.to_vec(at)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    let text = String::from_utf8(bytes).map_err(|_| LookUpError::NoName)?;
    if text.contains('\0') { Err(LookUpError::NoName.into()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(kind: u8, protocol: u8) -> Result<Vec<Kind>, LookUpError> {
        Hints { kind, protocol, ..Hints::default() }.kinds()
    }

    #[test]
    fn kinds_and_protocols_go_together() {
        assert_eq!(kinds(0, 0), Ok(vec![Kind::Stream, Kind::Datagram]));
        assert_eq!(kinds(0, 2), Ok(vec![Kind::Datagram]));
        assert_eq!(kinds(2, 1), Ok(vec![Kind::Stream]));
        for (kind, protocol) in [(3, 0), (0, 3), (1, 1), (2, 2)] {
            assert_eq!(kinds(kind, protocol), Err(LookUpError::SockType), "{kind} {protocol}");
        }
    }

    #[test]
    fn wrong_hints_are_told_apart() {
        let applied = |flags, family, node: &str, service: &str| {
            let hints = Hints { flags, family, ..Hints::default() };
            hints.apply(node.to_owned(), service).map(|_| ())
        };
        assert_eq!(applied(0, 0, "", ""), Err(LookUpError::NoName));
        assert_eq!(applied(128, 0, "a", ""), Err(LookUpError::BadFlags));
        assert_eq!(applied(CANONICAL_NAME, 0, "", "80"), Err(LookUpError::BadFlags));
        assert_eq!(applied(0, 3, "a", ""), Err(LookUpError::Family));
        assert_eq!(applied(0, 0, "a", "no-such"), Err(LookUpError::Service));
        assert_eq!(applied(NUMERIC_SERVICE, 0, "a", "http"), Err(LookUpError::NoName));
        assert_eq!(applied(PASSIVE, 2, "", "80"), Ok(()));
    }
}
