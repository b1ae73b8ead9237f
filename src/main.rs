//! wasock
fn main() {}
