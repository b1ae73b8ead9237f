//! `process_times spawn PROGRAM COUNT` starts a program so many times, `process_times fork KIB COUNT` copies itself with
//! so many KiB in use besides. Each child ends at once, and is waited for. Prints the medians in microseconds: until
//! the call returns in the parent, and until the child has ended.

#[cfg_attr(target_os = "wasi", path = "../guest.rs")]
#[cfg_attr(not(target_os = "wasi"), path = "../native.rs")]
mod sys;

use std::hint::black_box;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().expect("process_times spawn PROGRAM COUNT | fork KIB COUNT");
    let (what, of, count) = (argument(), argument(), argument());
    let count = count.parse().expect("a number");
    match what.as_str() {
        "spawn" => {
            let program = sys::Program::new(&of);
            time(count, || program.spawn());
        }
        "fork" => {
            let kib: usize = of.parse().expect("a number");
            let data = vec![1_u8; kib << 10];
            time(count, || match sys::fork() {
                0 => sys::exit(u32::from(black_box(&data).len() == 1)),
                child => child,
            });
        }
        other => panic!("{other}: neither spawn nor fork"),
    }
}

/// Times so many children, which `begin` begins.
fn time(count: usize, begin: impl Fn() -> u32) {
    let (mut calls, mut lives) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let begun = Instant::now();
        let child = begin();
        calls.push(begun.elapsed());
        sys::wait(child);
        lives.push(begun.elapsed());
    }
    let median = |mut times: Vec<std::time::Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    println!("call_us={:.1} life_us={:.1}", median(calls), median(lives));
}
