//! Clocks and random bytes.

use wasix::errno::*;
use wasix::poll::{MONOTONIC, REALTIME, now};
use wasix::{address_of_mut, check, check_eq, check_ok, outcome, raw};

fn main() {
    let mut last = 0;
    for _ in 0..1000 {
        let time = check_ok!(now(MONOTONIC));
        check!(time >= last, "a clock that goes back");
        last = time;
    }
    // 2024-01-01 to 2100-01-01.
    let time = check_ok!(now(REALTIME));
    let years = 1_704_067_200_000_000_000..4_102_444_800_000_000_000;
    check!(years.contains(&time), "it is {time} ns after 1970");
    check!(std::time::SystemTime::now() > std::time::SystemTime::UNIX_EPOCH, "the library's clock");

    for id in [REALTIME, MONOTONIC] {
        let mut resolution = 0u64;
        let at = address_of_mut(&mut resolution);
        check_ok!(outcome(unsafe { raw::preview1::clock_res_get(id, at) }));
        check!((1..=1_000_000_000).contains(&resolution), "clock {id}: {resolution} ns");
    }
    for id in [2, 3] {
        let answer = now(id);
        check!(matches!(answer, Ok(_) | Err(EINVAL | ENOTSUP)), "clock {id}: {answer:?}");
    }
    for id in [4, 99, u32::MAX] {
        check_eq!(now(id), Err(EINVAL), "clock {id}");
        let mut resolution = 0u64;
        let at = address_of_mut(&mut resolution);
        check_eq!(outcome(unsafe { raw::preview1::clock_res_get(id, at) }), Err(EINVAL));
    }

    let mut first = vec![0u8; 100_000];
    let mut second = vec![0u8; 100_000];
    for buf in [&mut first, &mut second] {
        let (at, len) = (address_of_mut(buf.as_mut_slice()), buf.len() as u32);
        check_ok!(outcome(unsafe { raw::preview1::random_get(at, len) }));
        let distinct = (0..=255u8).filter(|byte| buf.contains(byte)).count();
        check_eq!(distinct, 256);
    }
    check!(first != second, "the same bytes twice");
    check_ok!(outcome(unsafe { raw::preview1::random_get(0, 0) }));
    check_ok!(outcome(unsafe { raw::preview1::sched_yield() }));
}
