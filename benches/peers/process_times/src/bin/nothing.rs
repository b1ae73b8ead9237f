//! A small program, which ends at once.

fn main() {}
