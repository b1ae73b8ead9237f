//! Timeouts never fire early. How late they are is printed.

use wasix::poll::*;
use wasix::{check, check_eq, check_ok};

fn main() {
    let mut worst = 0;
    for timeout in [1, 1_000, 10_000, 100_000, 1_000_000, 1_000_001, 5_500_000, 20_000_000] {
        for _ in 0..5 {
            let start = check_ok!(now(MONOTONIC));
            let events = check_ok!(poll(&[Subscription::clock(MONOTONIC, timeout, timeout)]));
            let took = check_ok!(now(MONOTONIC)) - start;
            check_eq!(events.len(), 1);
            check_eq!(events[0].userdata, timeout);
            check!(took >= timeout, "{took} ns is less than {timeout} ns");
            worst = worst.max(took - timeout);
        }
        let start = check_ok!(now(MONOTONIC));
        check_ok!(poll(&[Subscription::clock_at(MONOTONIC, start + timeout, 0)]));
        check!(check_ok!(now(MONOTONIC)) >= start + timeout, "absolute, {timeout} ns");
    }
    println!("at most {worst} ns late");
}
