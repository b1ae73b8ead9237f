//! Names of hosts.

use crate::{Result, address_of, address_of_mut, outcome, raw};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The size of an address, with its family before it.
pub const ENTRY: usize = 18;

/// The addresses of `name`, as many as `room`.
pub fn resolve(name: &str, room: usize) -> Result<Vec<IpAddr>> {
    let (count, bytes) = resolve_raw(name.as_bytes(), room)?;
    Ok(bytes.chunks(ENTRY).take(count).map(decode).collect())
}

/// How many addresses there are, and all the room there was for them.
pub fn resolve_raw(name: &[u8], room: usize) -> Result<(usize, Vec<u8>)> {
    let mut bytes = vec![0xaa; room * ENTRY];
    let mut count = u32::MAX;
    let at = bytes.as_mut_ptr() as u32;
    let ret = address_of_mut(&mut count);
    outcome(unsafe { raw::wasix::resolve(address_of(name), name.len() as u32, 0, at, room as u32, ret) })?;
    Ok((count as usize, bytes))
}

fn decode(entry: &[u8]) -> IpAddr {
    match entry[0] {
        1 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&entry[2..6]).unwrap())),
        2 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&entry[2..]).unwrap())),
        family => panic!("an address of family {family}"),
    }
}
