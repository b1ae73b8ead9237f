//! Messages with descriptors beside their bytes.

use crate::socket::{AddrPort, IoVec};
use crate::{Fd, Result, address_of, address_of_mut, outcome, raw};

/// The level of descriptors, and their type.
pub const SOCKET: u16 = 0;
pub const RIGHTS: u16 = 0;

/// Control data, at a place that records may begin at.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Control(pub [u8; 2048]);

impl Control {
    /// Space for the host to write to. The pattern shows which bytes it wrote.
    pub fn unwritten() -> Self {
        Self([0xaa; 2048])
    }
}

/// A record of descriptors, as the C library makes it.
pub fn record(fds: &[Fd]) -> Vec<u8> {
    let payload: Vec<u8> = fds.iter().flat_map(|fd| fd.to_le_bytes()).collect();
    record_of(8 + payload.len() as u32, SOCKET, RIGHTS, &payload)
}

/// Any record.
pub fn record_of(length: u32, level: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(level.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// `sock_send_msg` to the peer.
pub fn send(fd: Fd, data: &[u8], control: &[u8]) -> Result<usize> {
    send_with(fd, data, 0, None, control)
}

/// `sock_send_msg` of `data` with the descriptors `fds`.
pub fn pass(fd: Fd, data: &[u8], fds: &[Fd]) -> Result<usize> {
    send(fd, data, &record(fds))
}

pub fn send_with(fd: Fd, data: &[u8], flags: u32, to: Option<&AddrPort>, control: &[u8]) -> Result<usize> {
    let iovs = [IoVec::writing(data)];
    let mut sent = 0u32;
    let (at, length) = if control.is_empty() { (0, 0) } else { (address_of(control), control.len() as u32) };
    outcome(unsafe {
        raw::wasix::sock_send_msg(
            fd,
            address_of(&iovs),
            1,
            flags,
            to.map_or(0, address_of),
            at,
            length,
            address_of_mut(&mut sent),
        )
    })?;
    Ok(sent as usize)
}

/// What `sock_recv_msg` returned.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes.
    pub count: usize,
    /// Was the message longer?
    pub is_cut: bool,
    /// The descriptors.
    pub fds: Vec<Fd>,
    /// Were there more of them?
    pub lacks_fds: bool,
}

/// `sock_recv_msg`, with room for control data of `room` bytes.
pub fn receive(fd: Fd, buf: &mut [u8], flags: u32, room: usize) -> Result<Received> {
    receive_from(fd, buf, flags, room, None)
}

pub fn receive_from(
    fd: Fd,
    buf: &mut [u8],
    flags: u32,
    room: usize,
    from: Option<&mut AddrPort>,
) -> Result<Received> {
    let iovs = [IoVec::reading(buf)];
    let mut control = Control::unwritten();
    let (mut count, mut roflags, mut length) = (u32::MAX, u16::MAX, u32::MAX);
    outcome(unsafe {
        raw::wasix::sock_recv_msg(
            fd,
            address_of(&iovs),
            1,
            flags,
            from.map_or(0, address_of_mut),
            if room == 0 { 0 } else { address_of_mut(&mut control) },
            room as u32,
            address_of_mut(&mut count),
            address_of_mut(&mut roflags),
            address_of_mut(&mut length),
        )
    })?;
    assert!(control.0[room..].iter().all(|byte| *byte == 0xaa), "the host wrote behind the control data");
    let length = length as usize;
    let lacks_fds = length > room;
    let fds = if lacks_fds { fds_of(&control.0[..room]) } else { fds_of(&control.0[..length]) };
    Ok(Received { count: count as usize, is_cut: roflags != 0, fds, lacks_fds })
}

/// Reads records as the C library does.
fn fds_of(mut control: &[u8]) -> Vec<Fd> {
    let mut fds = Vec::new();
    while let Some((header, rest)) = control.split_at_checked(8) {
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        if length < 8 || length > control.len() {
            break;
        }
        assert_eq!(header[4..], [0; 4], "a record of descriptors");
        let payload = &rest[..length - 8];
        fds.extend(payload.chunks_exact(4).map(|fd| Fd::from_le_bytes(fd.try_into().unwrap())));
        control = &rest[payload.len().next_multiple_of(4)..];
    }
    fds
}
