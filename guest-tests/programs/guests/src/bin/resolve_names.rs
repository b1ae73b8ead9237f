//! Names to addresses. The first argument is a name that is granted, whose addresses are
//! printed; the second one is not granted. Nothing behind a name is granted with it.

use std::net::IpAddr;
use wasix::errno::*;
use wasix::resolve::{ENTRY, resolve, resolve_raw};
use wasix::socket::{self, INET4, STREAM, TCP};
use wasix::{check, check_eq, check_ok};

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let [granted, other] = &names[..] else { panic!("two names") };
    let found = check_ok!(resolve(granted, 48));
    for address in &found {
        println!("address {address}");
    }

    // No more than there is room for.
    check_eq!(resolve(granted, 1), Ok(found[..1].to_vec()));
    check_eq!(resolve(granted, 0), Ok(vec![]));
    let (count, bytes) = check_ok!(resolve_raw(granted.as_bytes(), 48));
    check_eq!(count, found.len());
    check!(bytes[count * ENTRY..].iter().all(|byte| *byte == 0xaa), "something lies behind the last one");

    check_eq!(resolve(other, 48), Err(EACCES));
    // "ENAMETOOLONG", "EILSEQ": what path calls say of a name that is none.
    check_eq!(resolve("", 48), Err(EINVAL));
    check_eq!(resolve(&format!("{granted}\0"), 48), Err(EINVAL));
    check_eq!(resolve(&"a".repeat(256), 48), Err(ENAMETOOLONG));
    check_eq!(resolve_raw(b"\xff", 48).map(drop), Err(EILSEQ));

    let target = found.iter().find(|address| address.is_ipv4());
    if let Some(IpAddr::V4(four)) = target {
        let fd = check_ok!(socket::open(INET4, STREAM, TCP));
        check_eq!(socket::connect(fd, (*four, 9).into()), Err(EACCES));
    }

    // It does not exist; a machine without a server to ask can't tell.
    let missing = resolve("missing.invalid", 48);
    check!(matches!(missing, Err(ENOENT | EAGAIN)), "answered {missing:?}");
}
