//! Has the shim linked for one address, which each build draws.
//!
//! A program that may lie anywhere is given its addresses anew at each start, and the pages that have some are memory of
//! that process alone: 1.4 MiB of each container. Those of a program that lies where its file says are the file's, and all
//! containers of a node share them. `containerd-shim-runc-v2` and `runc` are linked so, all at the same address; a build of
//! the shim has one of its own, so that it is not known to who has not read that file.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher as _;

/// An address in hexadecimal, as builds take it that are to be the same; or [`ANY`].
const VARIABLE: &str = "WASOCK_SHIM_ADDRESS";

/// The value for a program that may lie anywhere, as others do.
const ANY: &str = "any";

/// Between what the kernel leaves free and two gigabytes: what the C compiler adds to a program has 31 bits for an address.
const LOWEST: u64 = 0x0100_0000;
const HIGHEST: u64 = 0x7000_0000;
const PAGE: u64 = 0x1000;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let address = match env::var(VARIABLE).as_deref() {
        Ok(ANY) => return,
        Ok(address) => address.to_owned(),
        // What follows is an option of the linker that rustc has for these alone.
        Err(_) if !is_linked_by_lld() => return,
        Err(_) => format!("{:#x}", drawn()),
    };
    for kind in ["bins", "examples"] {
        println!("cargo:rustc-link-arg-{kind}=-no-pie");
        println!("cargo:rustc-link-arg-{kind}=-Wl,--image-base={address}");
    }
}

fn is_linked_by_lld() -> bool {
    let of_target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    (of_target("ARCH"), of_target("OS"), of_target("ENV")) == ("x86_64".into(), "linux".into(), "gnu".into())
}

fn drawn() -> u64 {
    // The standard library's way to a number by chance, from the system's.
    let number = RandomState::new().hash_one(());
    LOWEST + number % ((HIGHEST - LOWEST) / PAGE) * PAGE
}
