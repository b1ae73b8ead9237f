//! `kinds_options 'KIND STATE OPTION CALL VALUE...'...`: gets an option, and sets it to
//! each value, and gets it again each time. One line an argument, each on a socket of its
//! own.
//!
//! STATE is `fresh` or `used`: bound, and listening where such a socket does. CALL is
//! `flag`, `size` or `time`; a time is in nanoseconds, or `none`.

use wasix::kind::Kind;
use wasix::socket::*;
use wasix::{Fd, Result, check_ok, descriptor};

fn main() {
    for task in std::env::args().skip(1) {
        println!("{task}: {}", answers(&task).join(" "));
    }
}

fn answers(task: &str) -> Vec<String> {
    let mut words = task.split(' ');
    let mut word = || words.next().expect("a whole task");
    let (kind, state, option, call) = (Kind::named(word()), word(), word(), word());
    let option = option.parse().expect("a number");
    let fd = check_ok!(kind.open());
    if state == "used" {
        check_ok!(bind_raw(fd, &kind.free_address().raw()));
        if kind.connects() {
            check_ok!(listen(fd, 4));
        }
    }
    let mut told = vec![get(fd, option, call)];
    for value in words {
        told.push(match set(fd, option, call, value) {
            Ok(()) => "ok".to_owned(),
            Err(errno) => errno.name().to_owned(),
        });
        told.push(get(fd, option, call));
    }
    check_ok!(descriptor::close(fd));
    told
}

fn get(fd: Fd, option: u32, call: &str) -> String {
    let value = match call {
        "flag" => flag(fd, option).map(|on| u64::from(on).to_string()),
        "size" => size(fd, option).map(|size| size.to_string()),
        _ => time(fd, option).map(|time| time.map_or("none".to_owned(), |time| time.to_string())),
    };
    value.unwrap_or_else(|errno| errno.name().to_owned())
}

fn set(fd: Fd, option: u32, call: &str, value: &str) -> Result<()> {
    let number = value.parse();
    match call {
        "flag" => set_flag(fd, option, number == Ok(1)),
        "size" => set_size(fd, option, number.expect("a number")),
        _ => set_time(fd, option, number.ok()),
    }
}
