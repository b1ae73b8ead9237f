//! Says what it was given, and ends as its first argument says.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, io, process, thread};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("show") => show(&arguments),
        Some("copy") => copy(),
        Some("files") => files(),
        Some("ok") => println!("ends well"),
        Some("fail") => process::exit(1),
        Some("code") => wasip2::cli::exit::exit_with_code(42),
        Some("trap") => the_function_around_it(),
        Some("spin") => {
            ready();
            loop {
                black_box(());
            }
        }
        Some("sleep") => {
            ready();
            thread::sleep(Duration::from_secs(1000));
        }
        Some("grow") => grow(),
        other => panic!("unknown: {other:?}"),
    }
}

fn ready() {
    println!("ready");
    io::stdout().flush().expect("standard output is there");
}

fn show(arguments: &[String]) {
    for (index, argument) in arguments.iter().enumerate() {
        println!("arg {index}: {argument}");
    }
    for (name, value) in env::vars() {
        println!("env {name}={value}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    println!("after 2020: {}", now.as_secs() > 1_577_836_800);
    let before = wasip2::clocks::monotonic_clock::now();
    thread::sleep(Duration::from_millis(20));
    println!("slept: {}", wasip2::clocks::monotonic_clock::now() - before >= 20_000_000);
    let random = [(); 2].map(|()| wasip2::random::random::get_random_bytes(16));
    println!("random: {}", random[0].len() == 16 && random[0] != random[1]);
    eprintln!("on standard error");
}

/// Standard input, to its end.
fn copy() {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).expect("standard input is text");
    print!("{text}");
}

fn files() {
    println!("read: {:?}", fs::read_to_string("/data/given").map_err(|error| error.kind()));
    println!("write: {:?}", fs::write("/data/made", "made").map_err(|error| error.kind()));
    println!("above: {:?}", fs::read_dir("/data/..").map(drop).map_err(|_| "refused"));
}

fn grow() {
    let mut kept = Vec::new();
    let more = || {
        let mut more: Vec<u8> = Vec::new();
        more.try_reserve_exact(1 << 20).ok()?;
        more.resize(1 << 20, 1);
        Some(more)
    };
    while kept.len() < 1024
        && let Some(more) = more()
    {
        kept.push(more);
    }
    println!("grew by {} MiB", kept.len());
}

#[inline(never)]
fn the_function_around_it() {
    the_innermost_function();
    black_box(());
}

#[inline(never)]
fn the_innermost_function() {
    black_box(());
    process::abort()
}
