//! Epolls that watch epolls: chains, loops, and many of them.

use wasix::descriptor::{close, dup, read, write};
use wasix::errno::*;
use wasix::wait::*;
use wasix::{Fd, check, check_eq, check_ok};

fn main() {
    nested();
    edges();
    loops();
    chains();
    webs();
    crowds();
}

fn nested() {
    let (inner, outer) = (check_ok!(epoll()), check_ok!(epoll()));
    let (reader, writer) = check_ok!(pipe());
    check_ok!(add(inner, reader, IN));
    check_ok!(add(outer, inner, IN));
    check_eq!(now(outer), Ok(vec![]));
    for _ in 0..3 {
        check_ok!(write(writer, b"x"));
        check_eq!(next(outer), Ok(vec![(inner, IN)]));
        check_eq!(next(outer), Ok(vec![(inner, IN)]));
        check_eq!(next(inner), Ok(vec![(reader, IN)]));
        check_eq!(next(outer), Ok(vec![(inner, IN)]));
        check_ok!(read(reader, &mut [0; 8]));
        check_eq!(now(outer), Ok(vec![]));
        check_eq!(now(inner), Ok(vec![]));
    }
    check_ok!(remove(inner, reader));
    check_ok!(write(writer, b"x"));
    check_eq!(now(outer), Ok(vec![]));
    check_ok!(add(inner, reader, IN));
    check_eq!(next(outer), Ok(vec![(inner, IN)]));
    check_ok!(close(inner));
    check_eq!(now(outer), Ok(vec![]));
}

fn edges() {
    let (inner, outer) = (check_ok!(epoll()), check_ok!(epoll()));
    let (reader, writer) = check_ok!(pipe());
    check_ok!(add(inner, reader, IN));
    check_ok!(add(outer, inner, IN | ET));
    check_eq!(now(outer), Ok(vec![]));
    for _ in 0..3 {
        check_ok!(write(writer, b"x"));
        check_eq!(next(outer), Ok(vec![(inner, IN)]));
        check_eq!(now(outer), Ok(vec![]));
    }
}

fn loops() {
    let chain: Vec<Fd> = (0..4).map(|_| check_ok!(epoll())).collect();
    // "EINVAL: ... or fd is the same as epfd" - epoll_ctl(2): the same open epoll, whatever the
    // number and the operation.
    let twin = check_ok!(dup(chain[0]));
    for itself in [chain[0], twin] {
        check_eq!(add(chain[0], itself, IN), Err(EINVAL));
        check_eq!(modify(chain[0], itself, IN), Err(EINVAL));
        check_eq!(remove(chain[0], itself), Err(EINVAL));
    }
    for link in chain.windows(2) {
        check_ok!(add(link[0], link[1], IN));
    }
    check_eq!(add(chain[3], chain[0], IN), Err(ELOOP));
    check_eq!(add(chain[1], chain[0], IN), Err(ELOOP));
    // Without one of its links the chain is none.
    check_ok!(remove(chain[1], chain[2]));
    check_ok!(add(chain[3], chain[0], IN));
    check_eq!(add(chain[1], chain[2], IN), Err(ELOOP));
    // Closed, all its numbers: no link of a chain either.
    check_ok!(close(twin));
    check_ok!(close(chain[0]));
    check_ok!(add(chain[1], chain[2], IN));
}

fn chains() {
    let chain: Vec<Fd> = (0..12).map(|_| check_ok!(epoll())).collect();
    let links = |order: &[usize]| -> Vec<bool> {
        order.iter().map(|at| add(chain[*at], chain[at + 1], IN).is_ok()).collect()
    };
    // Five in a row are the most, from above and from below.
    check_eq!(links(&[0, 1, 2, 3, 4]), vec![true, true, true, true, false]);
    check_eq!(add(chain[4], chain[5], IN), Err(ELOOP));
    check_eq!(links(&[10, 9, 8, 7, 6]), vec![true, true, true, true, false]);
    let (reader, writer) = check_ok!(pipe());
    check_ok!(add(chain[4], reader, IN));
    check_ok!(write(writer, b"x"));
    check_eq!(next(chain[0]), Ok(vec![(chain[1], IN)]));
}

/// Five rows of epolls, each watching all of the next row: a look would never end.
fn webs() {
    const WIDTH: usize = 12;
    let rows: Vec<Vec<Fd>> = (0..5).map(|_| (0..WIDTH).map(|_| check_ok!(epoll())).collect()).collect();
    let mut refused = 0;
    for pair in rows.windows(2) {
        for above in &pair[0] {
            for below in &pair[1] {
                match add(*above, *below, IN) {
                    Ok(()) => {}
                    Err(errno) => {
                        check_eq!(errno, ELOOP);
                        refused += 1;
                    }
                }
            }
        }
    }
    check!(refused > 0, "every link was made");
    let counter = check_ok!(event(1, 0));
    for last in rows[3].iter().chain(&rows[4]) {
        check_ok!(add(*last, counter, IN));
    }
    for _ in 0..10 {
        check_eq!(check_ok!(wait(rows[0][0], 1, LONG)).len(), 1);
    }
    rows.into_iter().flatten().for_each(|fd| check_ok!(close(fd)));
}

/// As many as the table has room for, of which some are ready.
fn crowds() {
    let watch = check_ok!(epoll());
    let mut counters = Vec::new();
    while let Ok(counter) = event(0, 0) {
        check_ok!(add(watch, counter, IN));
        counters.push(counter);
    }
    check!(counters.len() > 800, "{} counters", counters.len());
    check_eq!(now(watch), Ok(vec![]));
    let some: Vec<Fd> = counters.iter().copied().step_by(100).collect();
    for counter in &some {
        check_ok!(write(*counter, &1_u64.to_le_bytes()));
    }
    let found = check_ok!(next(watch));
    check_eq!(found.iter().map(|(fd, _)| *fd).collect::<Vec<_>>(), some);
    // Closed and opened again and again: nothing is left of those that went.
    for counter in counters {
        check_ok!(close(counter));
    }
    for _ in 0..20_000 {
        let counter = check_ok!(event(1, 0));
        check_ok!(add(watch, counter, IN));
        check_ok!(close(counter));
    }
    check_eq!(now(watch), Ok(vec![]));
}
