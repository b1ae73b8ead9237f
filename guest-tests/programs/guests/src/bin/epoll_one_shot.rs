//! One-shot epoll: told once, until it is modified.

use wasix::descriptor::{read, write};
use wasix::wait::*;
use wasix::{check_eq, check_ok};

fn main() {
    let watch = check_ok!(epoll());
    let (reader, writer) = check_ok!(pipe());
    check_ok!(add(watch, reader, IN | ONESHOT));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(write(writer, b"a"));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_ok!(write(writer, b"b"));
    check_eq!(now(watch), Ok(vec![]));
    // Modified: what is there still is reported.
    check_ok!(modify(watch, reader, IN | ONESHOT));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(read(reader, &mut [0; 8]));
    check_ok!(modify(watch, reader, IN | ET | ONESHOT));
    check_eq!(now(watch), Ok(vec![]));
    check_ok!(write(writer, b"c"));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_ok!(write(writer, b"d"));
    check_eq!(now(watch), Ok(vec![]));
    // Off is not away.
    check_eq!(add(watch, reader, IN), Err(wasix::errno::EEXIST));
    check_ok!(modify(watch, reader, IN));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    // Off: not even of its end.
    check_ok!(modify(watch, reader, IN | ONESHOT));
    check_eq!(next(watch), Ok(vec![(reader, IN)]));
    check_ok!(wasix::descriptor::close(writer));
    check_eq!(now(watch), Ok(vec![]));
}
