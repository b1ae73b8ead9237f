//! What is known of a file, in the numbers of preview 1.

use super::bindings::types;
use crate::abi::flags;
use crate::error::Errno;
use crate::file::{FileType, SetTime, Stat, Times};
use crate::process::Open;
use crate::process::device::DeviceEntry;
use crate::socket::Kind;

const UNKNOWN: u8 = 0;
const CHARACTER_DEVICE: u8 = 2;
const DIRECTORY: u8 = 3;
const REGULAR_FILE: u8 = 4;
const SOCKET_DGRAM: u8 = 5;
const SOCKET_STREAM: u8 = 6;
/// A number of WASIX alone, as is the socket.
const SOCKET_SEQPACKET: u8 = 9;

/// The number of a kind of file.
pub(super) fn kind(kind: FileType) -> u8 {
    match kind {
        FileType::Unknown => UNKNOWN,
        FileType::BlockDevice => 1,
        FileType::CharacterDevice => CHARACTER_DEVICE,
        FileType::Directory => DIRECTORY,
        FileType::RegularFile => REGULAR_FILE,
        FileType::SocketStream => SOCKET_STREAM,
        FileType::SymbolicLink => 7,
    }
}

/// The number of the kind of an open thing. A socket is one in every state: the C
/// library asks this to learn a socket's type.
pub(super) fn kind_of(open: &Open) -> u8 {
    match open {
        Open::Socket(socket) => match socket.kind() {
            Kind::Stream => SOCKET_STREAM,
            Kind::Datagram => SOCKET_DGRAM,
            Kind::SeqPacket => SOCKET_SEQPACKET,
        },
        Open::File(_) => REGULAR_FILE,
        Open::Directory(_) | Open::Devices { .. } => DIRECTORY,
        Open::Device(_) => CHARACTER_DEVICE,
        // A program takes a character device for a terminal.
        Open::Input(input) if input.is_terminal() => CHARACTER_DEVICE,
        Open::Output(output) if output.is_terminal() => CHARACTER_DEVICE,
        Open::Input(_) | Open::Output(_) => UNKNOWN,
        // WASI has no number for them.
        Open::Pipe(_) | Open::Event(_) | Open::Epoll(_) => UNKNOWN,
    }
}

/// The record of a file.
pub(super) fn filestat(stat: &Stat) -> types::Filestat {
    types::Filestat {
        dev: stat.dev,
        ino: stat.ino,
        filetype: kind(stat.kind),
        nlink: stat.nlink,
        size: stat.size,
        atim: stat.atim,
        mtim: stat.mtim,
        ctim: stat.ctim,
    }
}

/// The record of what is no file: its kind is all there is to know.
pub(super) fn of_no_file(open: &Open) -> types::Filestat {
    let filetype = kind_of(open);
    types::Filestat { dev: 0, ino: 0, filetype, nlink: 1, size: 0, atim: 0, mtim: 0, ctim: 0 }
}

/// The record of a built-in device, or of their directory.
pub(super) fn of_device(entry: DeviceEntry) -> types::Filestat {
    let (filetype, ino) = match entry {
        DeviceEntry::Directory => (DIRECTORY, 1),
        DeviceEntry::Device(number) => (CHARACTER_DEVICE, number),
    };
    types::Filestat { dev: 0, ino, filetype, nlink: 1, size: 0, atim: 0, mtim: 0, ctim: 0 }
}

/// Times to set: atim 1, atim now 2, mtim 4, mtim now 8.
///
/// # Errors
///
/// `EINVAL` where a time is to be two things at once.
pub(super) fn times(atim: u64, mtim: u64, fst_flags: u32) -> Result<Times, Errno> {
    let flags = flags::known(fst_flags, 0b1111)?;
    Ok(Times { atim: time(atim, flags & 0b11)?, mtim: time(mtim, flags >> 2)? })
}

fn time(time: u64, flags: u16) -> Result<SetTime, Errno> {
    match flags {
        0 => Ok(SetTime::Keep),
        1 => Ok(SetTime::At(time)),
        2 => Ok(SetTime::Now),
        _ => Err(Errno::EINVAL),
    }
}
