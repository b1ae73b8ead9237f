//! The bits of rights. They are those of WASIX, but that WAMR has the calls on sockets in another order, and
//! none for `sock_shutdown`.

use crate::fd::Rights;
use crate::process::Personality;

/// The bits that every dialect has alike: those below.
const ALIKE: u32 = 28;

/// The first bit that means nothing.
const END: u32 = 38;

/// The rights whose bits are others in WAMR, by these.
const OF_WAMR: [(Rights, u32); 10] = [
    (Rights::SOCK_CONNECT, 28),
    (Rights::SOCK_LISTEN, 29),
    (Rights::SOCK_BIND, 30),
    (Rights::SOCK_ACCEPT, 31),
    (Rights::SOCK_RECV, 32),
    (Rights::SOCK_SEND, 33),
    (Rights::SOCK_ADDR_LOCAL, 34),
    (Rights::SOCK_ADDR_REMOTE, 35),
    (Rights::SOCK_RECV_FROM, 36),
    (Rights::SOCK_SEND_TO, 37),
];

/// The bits that a program has for `rights`.
pub(crate) fn to_guest(rights: Rights, personality: Personality) -> u64 {
    if !personality.socket_rights_of_wamr {
        return rights.bits();
    }
    let alike = rights.bits() & ((1 << ALIKE) - 1);
    let held = OF_WAMR.iter().filter(|(right, _)| rights.bits() & right.bits() != 0);
    held.fold(alike, |bits, (_, bit)| bits | 1 << bit)
}

/// The rights that a program means by `bits`. One that it has no bit for stays as it is among those that are
/// `held`; a bit that means nothing is a right that nobody holds.
pub(crate) fn from_guest(bits: u64, held: Rights, personality: Personality) -> Rights {
    if !personality.socket_rights_of_wamr {
        return Rights::from_bits(bits);
    }
    let alike = Rights::from_bits(bits & ((1 << ALIKE) - 1));
    let unknown = Rights::from_bits(if bits >> END == 0 { 0 } else { 1 << 63 });
    let named = OF_WAMR.iter().filter(|(_, bit)| bits & 1 << bit != 0);
    named.fold(alike | unknown | held & Rights::SOCK_SHUTDOWN, |rights, (right, _)| rights | *right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAMR: Personality = Personality { socket_rights_of_wamr: true, ..Personality::PREVIEW1 };

    #[test]
    fn rights_go_both_ways() {
        for rights in [Rights::NONE, Rights::SOCKET, Rights::INHERITED_LISTENER, Rights::INHERITED_DATA] {
            for personality in [WAMR, Personality::PREVIEW1] {
                let bits = to_guest(rights, personality);
                assert_eq!(from_guest(bits, rights, personality), rights);
            }
        }
        assert_eq!(to_guest(Rights::SOCK_ACCEPT | Rights::FD_READ, WAMR), 1 << 31 | 2);
        assert_eq!(to_guest(Rights::SOCK_SHUTDOWN, WAMR), 0);
    }

    #[test]
    fn nobody_holds_an_unknown_right() {
        for bit in END..64 {
            let asked = from_guest(1 << bit, Rights::SOCKET, WAMR);
            assert!(Rights::SOCKET.require(asked).is_err(), "{bit}");
        }
    }
}
