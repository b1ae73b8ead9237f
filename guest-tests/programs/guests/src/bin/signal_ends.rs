//! `signal_ends NUMBER`: sends itself a signal that it does not handle.

use wasix::{check_ok, signal};

fn main() {
    let number = std::env::args().nth(1).expect("a number").parse().unwrap();
    check_ok!(signal::to_process(1, number));
    println!("goes on");
}
