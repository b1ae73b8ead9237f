//! `transfer_server PLACE FOLDER`: files out of a folder and into it. A client says
//! `get NAME`, and has `LENGTH` in a line and the bytes, past the guest's memory
//! (`sock_send_file`); or `put NAME LENGTH` and the bytes, and has `took LENGTH`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use wasix::{Fd, check_ok, descriptor, ends, socket};

fn main() {
    let mut args = std::env::args().skip(1);
    let place = args.next().expect("a place");
    let folder = args.next().expect("a folder");
    let (kind, listener) = check_ok!(ends::serve_at(&place));
    loop {
        let fd = check_ok!(kind.accept(listener, 0));
        if let Err(error) = serve(fd, &folder) {
            eprintln!("a client: {error}");
        }
        check_ok!(descriptor::close(fd));
    }
}

/// The client, to read from and to write to.
struct Client(Fd);

impl Read for Client {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(socket::recv(self.0, buf, 0)?)
    }
}

fn serve(fd: Fd, folder: &str) -> io::Result<()> {
    let mut client = BufReader::new(Client(fd));
    let mut line = String::new();
    while client.read_line(&mut line)? > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["get", name] => send(fd, &format!("{folder}/{name}")),
            ["put", name, length] => take(fd, &mut client, &format!("{folder}/{name}"), length),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        };
        if let Err(error) = answer {
            socket::send_all(fd, format!("error {:?}\n", error.kind()).as_bytes())?;
        }
        line.clear();
    }
    Ok(())
}

fn send(fd: Fd, path: &str) -> io::Result<()> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    socket::send_all(fd, format!("{length}\n").as_bytes())?;
    let mut sent = 0;
    while sent < length {
        match socket::send_file(fd, file.as_raw_fd() as Fd, sent, length - sent)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => sent += count,
        }
    }
    Ok(())
}

fn take(fd: Fd, client: &mut impl Read, path: &str, length: &str) -> io::Result<()> {
    let length: u64 = length.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut file = File::create(path)?;
    let taken = io::copy(&mut client.take(length), &mut file)?;
    file.flush()?;
    socket::send_all(fd, format!("took {taken}\n").as_bytes())?;
    Ok(())
}
