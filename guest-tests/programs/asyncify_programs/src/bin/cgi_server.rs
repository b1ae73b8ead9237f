//! `cgi_server ADDRESS FOLDER`: runs a program of the folder for each request, as CGI has it. A request for `/cgi-bin/NAME`
//! is answered by the program `NAME`: it has the request in its variables and the body as its input, and its output is the
//! answer. A program that fails is told to the client with its status.

use asyncify_programs::http::{Connection, Request};
use asyncify_programs::process::{Status, exit, fork, reap, status_of, wait};
use wasix::errno::{EAGAIN, ECHILD};
use wasix::process::Start;
use wasix::wait::pipe;
use wasix::{Fd, Result, check_ok, descriptor, ends, socket};

/// As much as is taken of what a program prints.
const LONGEST_OUTPUT: usize = 1 << 20;

/// The status of a program that could not be started.
const NOT_STARTED: u32 = 127;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().expect("an address");
    let folder = arguments.next().expect("a folder");
    let (_, listener) = check_ok!(ends::serve_at(&place));
    loop {
        let Ok((connection, _)) = socket::accept_v2(listener, 0) else { continue };
        match fork_when_there_is_room() {
            Ok(0) => {
                check_ok!(descriptor::close(listener));
                serve(&mut Connection::new(connection), &folder);
                exit(0);
            }
            Ok(_) => {}
            Err(error) => eprintln!("fork: {error:?}"),
        }
        let _closed = descriptor::close(connection);
        reap();
    }
}

/// Where there are as many processes as there may be, the next that ends makes room.
fn fork_when_there_is_room() -> Result<u32> {
    loop {
        match fork() {
            Err(EAGAIN) if wait(0, true) != Err(ECHILD) => {}
            done => return done,
        }
    }
}

fn serve(connection: &mut Connection, folder: &str) {
    while let Some(request) = connection.next_request() {
        let (status, body) = answer_to(&request, connection.fd, folder);
        if connection.answer(&status, &body, request.keeps).is_err() || !request.keeps {
            return;
        }
    }
}

fn answer_to(request: &Request, connection: Fd, folder: &str) -> (String, Vec<u8>) {
    let failed = |status: &str, body: String| (status.to_owned(), body.into_bytes());
    let name = request.path.strip_prefix("/cgi-bin/").unwrap_or_default();
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return failed("404 Not Found", "no such program\n".to_owned());
    }
    match run(request, connection, &format!("{folder}/{name}")) {
        Err(error) => failed("503 Service Unavailable", format!("{error:?}\n")),
        Ok((Status::Signalled(signal), _)) => failed("502 Bad Gateway", format!("signal {signal}\n")),
        Ok((Status::Exited(0), output)) => match parts(&output) {
            Some(answer) => answer,
            None => failed("502 Bad Gateway", "no head\n".to_owned()),
        },
        Ok((Status::Exited(code), _)) if u32::from(code) == NOT_STARTED => {
            failed("404 Not Found", "no such program\n".to_owned())
        }
        Ok((Status::Exited(code), _)) => failed("502 Bad Gateway", format!("exit code {code}\n")),
    }
}

/// Runs the program at `path`; returns how it has ended and what it has printed.
fn run(request: &Request, connection: Fd, path: &str) -> Result<(Status, Vec<u8>)> {
    let (input, body) = pipe()?;
    let (output, printed) = pipe()?;
    let child = fork_when_there_is_room();
    if child == Ok(0) {
        for fd in [body, output, connection] {
            check_ok!(descriptor::close(fd));
        }
        check_ok!(descriptor::renumber_wasix(input, 0));
        check_ok!(descriptor::renumber_wasix(printed, 1));
        become_program(request, path);
    }
    for fd in [input, printed] {
        check_ok!(descriptor::close(fd));
    }
    // It finds room, and a program need not read it.
    let _unread = child.map(|_| descriptor::write(body, &request.body));
    check_ok!(descriptor::close(body));
    let text = read_all(output);
    check_ok!(descriptor::close(output));
    child.map(|child| (status_of(child), text))
}

fn become_program(request: &Request, path: &str) -> ! {
    let variables = [
        format!("REQUEST_METHOD={}", request.method),
        format!("QUERY_STRING={}", request.query),
        format!("SCRIPT_NAME={}", request.path),
        format!("CONTENT_LENGTH={}", request.body.len()),
        "GATEWAY_INTERFACE=CGI/1.1".to_owned(),
        "SERVER_PROTOCOL=HTTP/1.1".to_owned(),
    ];
    let variables = variables.each_ref().map(String::as_str);
    let arguments = [path];
    let start = Start { envs: Some(&variables), ..Start::of(path, &arguments) };
    let Err(error) = start.exec() else { unreachable!("it has become another program") };
    eprintln!("{path}: {error:?}");
    exit(NOT_STARTED)
}

fn read_all(fd: Fd) -> Vec<u8> {
    let (mut all, mut part) = (Vec::new(), vec![0; 16 << 10]);
    while let Ok(count @ 1..) = descriptor::read(fd, &mut part) {
        all.extend_from_slice(&part[..count]);
        if all.len() > LONGEST_OUTPUT {
            break;
        }
    }
    all
}

/// The status and the body of what a program has printed.
fn parts(output: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = output.windows(2).position(|end| end == b"\n\n")?;
    let head = String::from_utf8_lossy(&output[..end]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    Some((status.to_owned(), output[end + 2..].to_vec()))
}
