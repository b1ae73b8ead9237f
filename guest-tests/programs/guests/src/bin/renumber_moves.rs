//! `fd_renumber` in a program of preview 1 alone: the descriptor moves, and what
//! it replaces is closed.

use wasix::descriptor::{close, renumber_preview1 as renumber, write};
use wasix::errno::*;
use wasix::file::{self, CREAT};
use wasix::{check_eq, check_ok};

const ROOT: u32 = 3;

fn main() {
    let from = check_ok!(file::open(ROOT, "renumber_from", CREAT, 0));
    let to = check_ok!(file::open(ROOT, "renumber_to", CREAT, 0));
    check_eq!(write(from, b"from"), Ok(4));

    check_ok!(renumber(from, to));
    check_eq!(file::tell(to), Ok(4));
    check_eq!(file::tell(from), Err(EBADF));
    // Its number is free again.
    check_eq!(file::open(ROOT, "renumber_to", 0, 0), Ok(from));

    // Onto itself: nothing changes.
    check_ok!(renumber(to, to));
    check_eq!(file::tell(to), Ok(4));

    check_eq!(renumber(900, to), Err(EBADF));
    // No descriptor can be moved to a number that is not open.
    check_eq!(renumber(to, 900), Err(EBADF));
    check_eq!(file::tell(to), Ok(4));
    check_ok!(close(from));
    check_ok!(close(to));
    check_eq!(renumber(to, to), Err(EBADF));
}
