//! `data_linger KIND`: a close with a linger time of zero resets a connection over a
//! network; one without, and any over a name, ends it in order. KIND is one that connects.

use wasix::descriptor::close;
use wasix::ends::Kind;
use wasix::errno::*;
use wasix::poll::{HANGUP, Subscription, poll};
use wasix::socket::*;
use wasix::{check, check_eq, check_ok};

fn main() {
    let kind = Kind::of_args();
    for linger in [Some(0), None, Some(1_000_000_000)] {
        let (near, far) = check_ok!(kind.ends());
        check_ok!(set_time(near, option::LINGER, linger));
        check_eq!(time(near, option::LINGER), Ok(linger));
        check_eq!(send(near, b"last", 0), Ok(4));
        check_ok!(close(near));
        let events = check_ok!(poll(&[Subscription::read(far, 1)]));
        let is_reset = linger == Some(0) && !kind.is_unix();
        if is_reset {
            check!(events[0].flags & HANGUP != 0, "{events:?}");
            // What was on its way is gone with it, or came before.
            let first = recv(far, &mut [0; 8], 0);
            check!(first == Ok(4) || first == Err(ECONNRESET), "{first:?}");
            if first == Ok(4) {
                check_eq!(recv(far, &mut [0; 8], 0), Err(ECONNRESET));
            }
        } else {
            check_eq!(recv(far, &mut [0; 8], 0), Ok(4), "linger {linger:?}");
        }
        check_eq!(recv(far, &mut [0; 8], 0), Ok(0), "linger {linger:?}");
    }
    println!("done");
}
