//! `file_server [PLACE [FOLDER]]`: serves the files of a folder over HTTP, one
//! connection at a time. A path that leads out of the folder is not found.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use wasix::{Fd, check_ok, descriptor, ends, socket};

const MAX_HEAD: usize = 8 * 1024;

/// A client that says nothing does not keep the others waiting for ever.
const WAIT_TIMEOUT_NS: u64 = 5_000_000_000;

fn main() {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let folder = PathBuf::from(args.next().unwrap_or_else(|| ".".to_owned()));
    let (kind, listener) = check_ok!(ends::serve_at(&addr));
    loop {
        match kind.accept(listener, 0) {
            Ok(fd) => {
                if let Err(error) = serve(fd, &folder) {
                    eprintln!("a connection ended early: {error}");
                }
                check_ok!(descriptor::close(fd));
            }
            Err(errno) => eprintln!("accept: {errno:?}"),
        }
    }
}

fn serve(fd: Fd, folder: &Path) -> io::Result<()> {
    socket::set_time(fd, socket::option::RECV_TIMEOUT, Some(WAIT_TIMEOUT_NS))?;
    socket::set_time(fd, socket::option::SEND_TIMEOUT, Some(WAIT_TIMEOUT_NS))?;
    let Some(head) = read_head(fd)? else {
        return refuse(fd, "400 Bad Request");
    };
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !matches!(method, "GET" | "HEAD") {
        return refuse(fd, "405 Method Not Allowed");
    }
    let Some(path) = below(folder, target) else {
        return refuse(fd, "404 Not Found");
    };
    match open(path) {
        Ok((file, size)) => send_file(fd, file, size, method == "GET"),
        Err(_) => refuse(fd, "404 Not Found"),
    }
}

/// The text up to the empty line; nothing when there is no such line.
fn read_head(fd: Fd) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut buf = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = socket::recv(fd, &mut buf, 0)?;
        head.extend_from_slice(&buf[..count]);
        if count == 0 || head.len() > MAX_HEAD {
            return Ok(None);
        }
    }
    Ok(String::from_utf8(head).ok())
}

/// The file that `target` names, which never lies outside `folder`.
fn below(folder: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = percent_decoded(path)?;
    let path = Path::new(&path);
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    is_inside.then(|| folder.join(path))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            byte => byte,
        };
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

fn open(mut path: PathBuf) -> io::Result<(File, u64)> {
    if path.is_dir() {
        path.push("index.html");
    }
    let file = File::open(path)?;
    let stat = file.metadata()?;
    if !stat.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok((file, stat.len()))
}

fn send_file(fd: Fd, mut file: File, size: u64, has_body: bool) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n");
    socket::send_all(fd, head.as_bytes())?;
    let mut buf = vec![0; 64 * 1024];
    let mut left = if has_body { size } else { 0 };
    while left > 0 {
        let count = file.read(&mut buf)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        socket::send_all(fd, &buf[..count])?;
        left -= count as u64;
    }
    Ok(())
}

fn refuse(fd: Fd, status: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    socket::send_all(fd, head.as_bytes())?;
    Ok(())
}
