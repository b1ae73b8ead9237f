//! What a program learns of the host's network, a line for each address and each route, and
//! that it changes nothing.

use std::net::IpAddr;
use wasix::errno::*;
use wasix::raw::{refused, wasix as raw};
use wasix::{Result, address_of_mut, check, check_eq, check_ok, outcome};

/// The sizes of an `addr_cidr` and of a `route`.
const CIDR: usize = 28;
const ROUTE: usize = 176;

fn main() {
    for (name, list, size) in [
        ("address", raw::port_addr_list as unsafe extern "C" fn(u32, u32) -> i32, CIDR),
        ("route", raw::port_route_list, ROUTE),
    ] {
        let (there_are, _) = list_of(list, size, 0);
        for room in 0..there_are {
            // Too little room: it learns how much it takes, and gets none of it.
            check_eq!(list_of(list, size, room), (there_are, Err(EOVERFLOW)));
        }
        for room in [there_are, there_are + 3] {
            let (count, bytes) = list_of(list, size, room);
            check_eq!(count, there_are);
            let bytes = check_ok!(bytes);
            let (entries, behind) = bytes.split_at(count * size);
            check!(behind.iter().all(|byte| *byte == 0xaa), "wrote behind its list");
            if room == there_are {
                entries.chunks(size).for_each(|entry| println!("{name} {}", network(entry)));
            }
        }
    }
    changes_nothing();
}

/// How many there are, and what was written where there is room for so many.
fn list_of(
    list: unsafe extern "C" fn(u32, u32) -> i32,
    size: usize,
    room: usize,
) -> (usize, Result<Vec<u8>>) {
    let mut bytes = vec![0xaa; room * size];
    let mut count = room as u32;
    let answer = unsafe { list(bytes.as_mut_ptr() as u32, address_of_mut(&mut count)) };
    let outcome = outcome(answer);
    if outcome.is_err() {
        check!(bytes.iter().all(|byte| *byte == 0xaa), "wrote a part");
    }
    (count as usize, outcome.map(|()| bytes))
}

/// The network at the start of an entry; all behind it is zero.
fn network(entry: &[u8]) -> String {
    let (ip, prefix, end) = match entry[0] {
        1 => (IpAddr::from(<[u8; 4]>::try_from(&entry[2..6]).unwrap()), entry[6], 7),
        2 => (IpAddr::from(<[u8; 16]>::try_from(&entry[2..18]).unwrap()), entry[26], 27),
        family => panic!("an address of family {family}"),
    };
    check_eq!(entry[1], 0);
    check!(entry[end..].iter().all(|byte| *byte == 0), "{entry:?}");
    format!("{ip}/{prefix}")
}

fn changes_nothing() {
    const ARBITRARY: u32 = u32::MAX;
    // Whatever they are given.
    for at in [0, ARBITRARY] {
        let answers = unsafe {
            [
                refused::port_bridge(at, at, at, at, at),
                refused::port_unbridge(),
                refused::port_dhcp_acquire(),
                refused::port_addr_add(at),
                refused::port_addr_remove(at),
                refused::port_addr_clear(),
                refused::port_gateway_set(at),
                refused::port_route_add(at, at, at, at),
                refused::port_route_remove(at),
                refused::port_route_clear(),
                refused::port_mac(at),
            ]
        };
        for (number, answer) in answers.into_iter().enumerate() {
            check_eq!(outcome(answer), Err(ENOTSUP), "call {number}");
        }
    }
}
