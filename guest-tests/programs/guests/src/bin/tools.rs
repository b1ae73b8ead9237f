//! The small tools of a shell, in one program: its name is that of the tool.
//!
//! * `echo WORD…`, `cat [FILE…]`, `wc [-l | -w | -c]`, `true`, `false`, as everywhere;
//! * `fail CODE` ends with that code, `crash` by a trap;
//! * `answer TEXT…` answers one request of HTTP, from its input to its output, as a program of `inetd`;
//! * `report` is a program of CGI: it says what it was asked. Asked for `exit=CODE`, it ends with that; for `crash`,
//!   by a trap; for `large=COUNT`, it answers with so many bytes.

use std::io::{Read as _, Write as _};

use wasix::errno::EPIPE;
use wasix::{Errno, Fd, Result, descriptor};

const INPUT: Fd = 0;
const OUTPUT: Fd = 1;

fn main() {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    let tool = name.rsplit('/').next().unwrap_or_default().trim_end_matches(".wasm");
    std::process::exit(match tool {
        "echo" => code_of(write(&format!("{}\n", arguments.join(" ")))),
        "cat" => cat(&arguments),
        "wc" => wc(arguments.first().map(String::as_str)),
        "true" => 0,
        "false" => 1,
        "fail" => arguments.first().and_then(|code| code.parse().ok()).unwrap_or(2),
        "crash" => core::arch::wasm32::unreachable(),
        "answer" => answer(&arguments.join(" ")),
        "report" => report(),
        other => {
            eprintln!("{other}: no such tool");
            2
        }
    });
}

fn code_of(done: Result<()>) -> i32 {
    match done {
        Ok(()) => 0,
        // As if by SIGPIPE.
        Err(EPIPE) => 141,
        Err(Errno(number)) => {
            eprintln!("error {number}");
            1
        }
    }
}

fn write(text: &str) -> Result<()> {
    write_all(text.as_bytes())
}

fn write_all(mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let count = descriptor::write(OUTPUT, bytes)?;
        bytes = &bytes[count..];
    }
    Ok(())
}

fn copy(from: Fd) -> Result<()> {
    let mut part = vec![0; 16 << 10];
    loop {
        match descriptor::read(from, &mut part)? {
            0 => return Ok(()),
            count => write_all(&part[..count])?,
        }
    }
}

fn cat(files: &[String]) -> i32 {
    if files.is_empty() {
        return code_of(copy(INPUT));
    }
    for path in files {
        match std::fs::read(path) {
            Ok(bytes) => match write_all(&bytes) {
                Ok(()) => {}
                failed => return code_of(failed),
            },
            Err(error) => {
                eprintln!("cat: {path}: {error}");
                return 1;
            }
        }
    }
    0
}

fn wc(what: Option<&str>) -> i32 {
    let mut text = Vec::new();
    if std::io::stdin().read_to_end(&mut text).is_err() {
        return 1;
    }
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    code_of(write(&match what {
        Some("-l") => format!("{lines}\n"),
        Some("-w") => format!("{words}\n"),
        Some("-c") => format!("{}\n", text.len()),
        _ => format!("{lines} {words} {}\n", text.len()),
    }))
}

fn answer(text: &str) -> i32 {
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match descriptor::read(INPUT, &mut part) {
            Ok(count @ 1..) => request.extend_from_slice(&part[..count]),
            _ => return 1,
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len() + 1);
    code_of(write(&format!("{head}{text}\n")))
}

fn report() -> i32 {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let length: u64 = variable("CONTENT_LENGTH").parse().unwrap_or(0);
    let mut body = Vec::new();
    if std::io::stdin().take(length).read_to_end(&mut body).is_err() {
        return 1;
    }
    let query = variable("QUERY_STRING");
    match query.split_once('=').unwrap_or((&query, "")) {
        ("exit", code) => return code.parse().unwrap_or(2),
        ("crash", _) => core::arch::wasm32::unreachable(),
        ("large", count) => {
            let count = count.parse().unwrap_or(0);
            return code_of(
                write("Content-Type: text/plain\n\n").and_then(|()| write_all(&vec![b'x'; count])),
            );
        }
        ("missing", _) => {
            let told = write("Status: 404 Not Found\nContent-Type: text/plain\n\nnothing there\n");
            return code_of(told);
        }
        _ => {}
    }
    let mut text = format!(
        "Content-Type: text/plain\n\nmethod={} script={} query={query} length={} body=",
        variable("REQUEST_METHOD"),
        variable("SCRIPT_NAME"),
        body.len()
    )
    .into_bytes();
    text.extend_from_slice(&body);
    text.push(b'\n');
    i32::from(std::io::stdout().write_all(&text).is_err())
}
