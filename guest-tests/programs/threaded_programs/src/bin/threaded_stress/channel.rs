//! Two ends of something that carries bytes one way, and the messages in it.

use alloc::vec::Vec;
use threaded::{AGAIN, Fd, Result};

/// A message: its channel's name and its place in the channel. The last one of a channel
/// has [`LAST`] added to its place.
pub const SIZE: usize = 8;
pub const LAST: u32 = 1 << 31;

pub fn message(name: u32, place: u32) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes[..4].copy_from_slice(&name.to_le_bytes());
    bytes[4..].copy_from_slice(&place.to_le_bytes());
    bytes
}

/// The end to read and the end to write, of one kind or another.
pub fn open(kind: u32, listener: Fd, port: u16) -> Result<(Fd, Fd)> {
    match kind % 3 {
        0 => threaded::pipe(),
        1 => threaded::pair(),
        _ => {
            // The other end of this connection is whichever comes first, and belongs to
            // this thread: one connects at a time.
            static TURN: threaded::sync::Mutex<()> = threaded::sync::Mutex::new(());
            let _turn = TURN.lock();
            let near = threaded::connect(port)?;
            Ok((threaded::accept(listener, false)?, near))
        }
    }
}

/// The reading end: checks that every message comes, in its order.
pub struct Reader {
    pub fd: Fd,
    name: u32,
    next: u32,
    rest: Vec<u8>,
}

/// What a look at the reading end found.
pub struct Found {
    /// So many messages.
    pub count: u32,
    /// The writer has closed.
    pub is_over: bool,
}

impl Reader {
    pub fn new(fd: Fd, name: u32) -> Self {
        Self { fd, name, next: 0, rest: Vec::new() }
    }

    /// Reads until there is no more.
    pub fn drain(&mut self) -> Found {
        let (mut count, mut bytes) = (0, [0; 256]);
        loop {
            match threaded::read(self.fd, &mut bytes) {
                Ok(0) => {
                    let is_whole = self.rest.is_empty() && self.next & LAST != 0;
                    assert!(is_whole, "channel {} ended at {:#x}", self.name, self.next);
                    return Found { count, is_over: true };
                }
                Ok(length) => {
                    self.rest.extend_from_slice(&bytes[..length]);
                    let whole = self.rest.len() / SIZE;
                    self.rest.drain(..whole * SIZE).as_slice().chunks(SIZE).for_each(|it| {
                        let is_next = it == message(self.name, self.next);
                        let is_last = it == message(self.name, self.next | LAST);
                        assert!(is_next || is_last, "channel {}: {it:?}, not {}", self.name, self.next);
                        self.next = if is_last { self.next | LAST } else { self.next + 1 };
                    });
                    count += whole as u32;
                }
                Err(AGAIN) => return Found { count, is_over: false },
                Err(errno) => panic!("channel {}: {errno:?}", self.name),
            }
        }
    }
}
