//! How a call is tried, and what shows that it worked.

use std::fmt::Debug;
use wasix::descriptor::close;
use wasix::kind::Kind;
use wasix::socket::{recv, send};
use wasix::{Errno, Fd};

pub struct Call {
    pub name: &'static str,
    pub make: fn(Kind) -> Tried,
}

/// Why a call is not what it is for.
pub enum Trouble {
    /// It said so.
    Errno(Errno),
    /// It seemed to work.
    Wrong(String),
}

pub type Tried = Result<(), Trouble>;

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// What follows a call that seemed to work.
pub fn expect<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Tried {
    if found == expected {
        return Ok(());
    }
    Err(Trouble::Wrong(format!("{what} is {found:?}, not {expected:?}")))
}

/// As [`expect`], of something that has no one answer.
pub fn ensure(what: &str, holds: bool) -> Tried {
    if holds { Ok(()) } else { Err(Trouble::Wrong(what.to_owned())) }
}

/// What is sent at one end comes out at the other.
pub fn carries(from: Fd, to: Fd) -> Tried {
    expect("a send", send(from, b"hello", 0), Ok(5))?;
    arrives(to, b"hello")
}

/// What came is `data`, and no more.
pub fn arrives(fd: Fd, data: &[u8]) -> Tried {
    let mut buf = [0; 64];
    let count = recv(fd, &mut buf, 0).map_err(|errno| Trouble::Wrong(format!("recv: {errno:?}")))?;
    expect("what came", &buf[..count], data)
}

/// Closes what was used.
pub fn done(fds: impl IntoIterator<Item = Fd>) -> Tried {
    for fd in fds {
        expect("a close", close(fd), Ok(()))?;
    }
    Ok(())
}
