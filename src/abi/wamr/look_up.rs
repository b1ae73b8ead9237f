//! Names to addresses.

use wiggle::{GuestMemory, GuestPtr, GuestType};

use super::address::encode;
use super::bindings::types;
use super::bindings::wamr_look_up::WamrLookUp;
use super::socket::{family, kind, kind_number};
use crate::abi::call::Call;
use crate::abi::look_up::{Found, LookUp, port_of};
use crate::abi::memory::{check_out, check_out_value, read_text};
use crate::abi::transfer::count;
use crate::error::{Errno, Error, LookUpError};
use crate::socket::{Family, Kind};

/// The longest name that the resolver takes, in bytes, with its NUL.
const MAX_NAME: u32 = 256;

/// Sockets of any kind: -1 in the guest.
const ANY_KIND: u32 = u32::MAX;

impl WamrLookUp for Call<'_> {
    fn sock_addr_resolve(
        &mut self,
        memory: &mut GuestMemory<'_>,
        host: GuestPtr<u8>,
        service: GuestPtr<u8>,
        hints: GuestPtr<types::AddrInfoHints>,
        addrs: GuestPtr<types::AddrInfo>,
        max_addrs: u32,
        ret_n: GuestPtr<u32>,
    ) -> Result<(), Error> {
        check_out_value(memory, ret_n)?;
        let room = max_addrs.checked_mul(types::AddrInfo::guest_size()).ok_or(Errno::EINVAL)?;
        check_out(memory, addrs.offset(), room)?;
        let (host, service) = (text(memory, host)?, text(memory, service)?);
        let (family, kinds) = wanted(memory, hints)?;
        let port = match port_of(&service, false) {
            Ok(port) => port,
            Err(error) => return found(memory, Err(error.into()), addrs, max_addrs, ret_n),
        };
        // "EAI_NONAME: ... Neither nodename nor servname were supplied."
        if host.is_empty() && service.is_empty() {
            return found(memory, Err(LookUpError::NoName.into()), addrs, max_addrs, ret_n);
        }
        let node = Some(host).filter(|host| !host.is_empty());
        let look_up = LookUp { node, port, family, kinds, ..LookUp::default() };
        Err(self.wait(move |call, memory| {
            Box::pin(async move {
                let outcome = call.look_up_as("sock_addr_resolve", look_up).await;
                found(memory, outcome, addrs, max_addrs, ret_n)
            })
        }))
    }
}

/// The family and the kinds of sockets that the hints at `at` ask for; all where they say nothing, or there
/// are none.
///
/// # Errors
///
/// `EAFNOSUPPORT` and `EINVAL` for unknown ones; a trap outside of the memory.
fn wanted(
    memory: &GuestMemory<'_>,
    at: GuestPtr<types::AddrInfoHints>,
) -> Result<(Option<Family>, Vec<Kind>), Error> {
    let any = vec![Kind::Stream, Kind::Datagram];
    if at.offset() == 0 {
        return Ok((None, any));
    }
    let hints = memory.read(at)?;
    if hints.hints_enabled == 0 {
        return Ok((None, any));
    }
    let kinds = if hints.type_ == ANY_KIND { any } else { vec![kind(hints.type_)?] };
    Ok((family(hints.family)?, kinds))
}

/// A text that ends with a NUL.
///
/// # Errors
///
/// `ENAMETOOLONG` without a NUL within [`MAX_NAME`] bytes, `EILSEQ` for what is not UTF-8; a trap outside
/// of the memory.
fn text(memory: &GuestMemory<'_>, start: GuestPtr<u8>) -> Result<String, Error> {
    let bytes = read_text(memory, start, MAX_NAME, Errno::ENAMETOOLONG)?;
    Ok(String::from_utf8(bytes).map_err(|_| Errno::EILSEQ)?)
}

/// Writes what was found, as far as there is room for it, and how much it is.
///
/// # Errors
///
/// Those of the look-up; a trap outside of the memory.
fn found(
    memory: &mut GuestMemory<'_>,
    outcome: Result<Vec<Found>, Error>,
    addrs: GuestPtr<types::AddrInfo>,
    max_addrs: u32,
    ret_n: GuestPtr<u32>,
) -> Result<(), Error> {
    let found = match outcome {
        // The C library knows a name without addresses, and nothing else, for one that does not exist.
        Err(Error::LookUp(LookUpError::NoName)) => Vec::new(),
        Err(Error::LookUp(error)) => return Err(errno(error).into()),
        outcome => outcome?,
    };
    for (index, (address, kind)) in (0..max_addrs).zip(&found) {
        let info = types::AddrInfo { addr: encode(*address), type_: kind_number(*kind) };
        memory.write(addrs.add(index)?, info)?;
    }
    Ok(memory.write(ret_n, count(found.len())?)?)
}

/// There are no other numbers than those of preview 1.
fn errno(error: LookUpError) -> Errno {
    match error {
        LookUpError::Again => Errno::EAGAIN,
        LookUpError::Fail => Errno::EIO,
        LookUpError::Memory => Errno::ENOMEM,
        LookUpError::NoName => Errno::ENOENT,
        LookUpError::Family => Errno::EAFNOSUPPORT,
        LookUpError::BadFlags | LookUpError::Service | LookUpError::SockType => Errno::EINVAL,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test may fail")]

    use super::*;

    type Asked = Result<(Option<Family>, Vec<Kind>), Error>;

    fn asked(kind: u32, family: u32, enabled: u8) -> Asked {
        let mut page = vec![0; 32];
        page[4..8].copy_from_slice(&kind.to_le_bytes());
        page[8..12].copy_from_slice(&family.to_le_bytes());
        page[12] = enabled;
        wanted(&GuestMemory::Unshared(&mut page), GuestPtr::new(4))
    }

    #[test]
    fn hints_count_where_they_are_enabled() {
        let any = vec![Kind::Stream, Kind::Datagram];
        assert_eq!(asked(77, 77, 0), Ok((None, any.clone())));
        assert_eq!(asked(ANY_KIND, 2, 1), Ok((None, any.clone())));
        assert_eq!(asked(0, 0, 1), Ok((Some(Family::Inet4), vec![Kind::Datagram])));
        assert_eq!(asked(1, 1, 255), Ok((Some(Family::Inet6), vec![Kind::Stream])));
        assert_eq!(asked(2, 0, 1), Err(Errno::EINVAL.into()));
        assert_eq!(asked(0, 3, 1), Err(Errno::EAFNOSUPPORT.into()));
        let mut page = vec![7; 32];
        assert_eq!(wanted(&GuestMemory::Unshared(&mut page), GuestPtr::new(0)), Ok((None, any)));
    }

    #[test]
    fn what_has_no_room_is_counted_all_the_same() {
        let all: Vec<Found> =
            [Kind::Stream, Kind::Datagram].map(|kind| (([192, 0, 2, 1], 80).into(), kind)).into();
        let mut page = vec![9; 64];
        let mut memory = GuestMemory::Unshared(&mut page);
        let write = |memory: &mut GuestMemory<'_>, outcome, room| {
            found(memory, outcome, GuestPtr::new(4), room, GuestPtr::new(0))
        };
        assert_eq!(write(&mut memory, Ok(all), 1), Ok(()));
        assert_eq!(write(&mut memory, Err(LookUpError::Again.into()), 1), Err(Errno::EAGAIN.into()));
        assert_eq!(page[..4], [2, 0, 0, 0]);
        assert_eq!(page[4..14], [0, 0, 0, 0, 192, 0, 2, 1, 80, 0]);
        // A stream; nothing behind it.
        assert_eq!((&page[28..32], &page[32..]), ([1, 0, 0, 0].as_slice(), [9; 32].as_slice()));
        let mut memory = GuestMemory::Unshared(&mut page);
        assert_eq!(write(&mut memory, Err(LookUpError::NoName.into()), 1), Ok(()));
        assert_eq!(page[..4], [0; 4]);
    }
}
