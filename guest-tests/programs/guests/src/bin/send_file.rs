//! `sock_send_file`: from files, pipes and connections into sockets of every kind, files and
//! pipes. Needs a folder.
//!
//! `send_file shared` fills a connection that it was handed with the file, and says how much that was.

use wasix::descriptor::{
    APPEND, NONBLOCK, SOCKET_STREAM, close, drop_rights, fdstat, read, right, set_flags, write,
};
use wasix::ends::KINDS;
use wasix::errno::*;
use wasix::file::{self, CREAT};
use wasix::socket::{self, *};
use wasix::{Fd, check, check_eq, check_ok, wait};

/// More than any buffer holds, and no round number.
const LENGTH: usize = 3_000_001;

fn main() {
    let folder = check_ok!(file::folder("/"));
    let content: Vec<u8> = (0..LENGTH as u32).map(|n| (n ^ n >> 8) as u8).collect();
    let file = check_ok!(file::open(folder, "file", CREAT, 0));
    let mut written = 0;
    while written < LENGTH {
        written += check_ok!(write(file, &content[written..]));
    }
    if std::env::args().nth(1).as_deref() == Some("shared") {
        return shared(file);
    }
    let (listener, _) = check_ok!(listener());
    for (near, far) in [pair(), check_ok!(connected(listener))] {
        offsets(near, far, file, &content);
    }
    far_offsets(folder);
    changes(folder);
    ends(listener, file);
    full_buffers(listener, file, &content);
    messages(file, &content);
    pipes(&content);
    connections(&content);
    into_files_and_pipes(folder, file, &content);
    wrong_descriptors(folder, file);
}

/// "Since Linux 2.6.33 it can be any file" - sendfile(2), `out_fd`.
fn into_files_and_pipes(folder: Fd, file: Fd, content: &[u8]) {
    let copy = check_ok!(file::open(folder, "copy", CREAT, 0));
    check_eq!(send_file(copy, file, 1000, 300_000), Ok(300_000));
    check_eq!(file::tell(copy), Ok(300_000), "the position of the output moves");
    check_eq!(send_file(copy, file, LENGTH as u64 - 5, 100), Ok(5));
    let mut found = vec![0; 300_005];
    let mut read = 0;
    while read < found.len() {
        read += check_ok!(file::pread(copy, &mut found[read..], read as u64));
    }
    check!(found[..300_000] == content[1000..301_000], "the bytes of the file");
    check!(found[300_000..] == content[LENGTH - 5..], "the end of the file");

    let (reader, writer) = check_ok!(wait::pipe());
    check_ok!(set_flags(writer, NONBLOCK));
    check_eq!(send_file(writer, file, 7, 1_000_000), Ok(65_536), "what a pipe holds");
    check_eq!(send_file(writer, file, 7, 1), Err(EAGAIN));
    // From the pipe into the file.
    check_eq!(send_file(copy, reader, 0, 65_536), Ok(65_536));
    let mut found = vec![0; 65_536];
    check_eq!(file::pread(copy, &mut found, 300_005), Ok(65_536));
    check!(found == content[7..7 + 65_536], "the bytes that went through the pipe");
    check_ok!(close(copy));
}

fn pair() -> (Fd, Fd) {
    check_ok!(wait::pair(UNIX, STREAM, 0))
}

fn receive(fd: Fd, length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    let mut count = 0;
    while count < length {
        match check_ok!(recv(fd, &mut data[count..], 0)) {
            0 => break,
            more => count += more,
        }
    }
    data.truncate(count);
    data
}

/// The file's own position does not matter, and is not changed.
fn offsets(near: Fd, far: Fd, file: Fd, content: &[u8]) {
    check_eq!(file::seek(file, 7, file::SET), Ok(7));
    let end = LENGTH as u64;
    for (offset, count, sent) in [
        (0, 5, 5),
        (1000, 70_000, 70_000),
        (end - 3, 3, 3),
        (end - 3, 100, 3),
        (end - 3, u64::MAX, 3),
        (end, 100, 0),
        (end + 5, 100, 0),
        (1 << 40, 1, 0),
        (1 << 40, u64::MAX, 0),
        (10, 0, 0),
        (end + 5, 0, 0),
    ] {
        let answer = send_file(near, file, offset, count);
        check_eq!(answer, Ok(sent), "{count} from {offset}");
        let sent = sent as usize;
        let from = (offset as usize).min(LENGTH);
        check!(receive(far, sent) == content[from..from + sent], "{count} from {offset}");
    }
    check_eq!(file::tell(file), Ok(7));
    for count in [1, 100_000, u64::MAX] {
        let beyond = send_file(near, file, u64::MAX, count);
        check!(matches!(beyond, Err(EINVAL | EOVERFLOW)), "{count}: {beyond:?}");
    }
    check_eq!(recv(far, &mut [0; 4], RECV_DONT_WAIT), Err(EAGAIN), "nothing more");
}

/// Beyond what 32 bits hold, in a file that is mostly a hole.
fn far_offsets(folder: Fd) {
    const FAR: u64 = 5 << 30;
    let file = check_ok!(file::open(folder, "far", CREAT, 0));
    check_eq!(file::pwrite(file, b"the end", FAR), Ok(7));
    let (near, far) = pair();
    for before in [4, 50_000] {
        check_eq!(send_file(near, file, FAR - before, u64::MAX), Ok(before + 7));
        let came = receive(far, before as usize + 7);
        check!(came.strip_suffix(b"the end") == Some(&vec![0; before as usize]), "{before} before it");
    }
    check_eq!(send_file(near, file, FAR + 7, u64::MAX), Ok(0));
    check_ok!(close(file));
}

/// A file is as long as it is at the call. What was sent of it is received before it changes: the kernel may send the
/// pages of the file themselves.
fn changes(folder: Fd) {
    let file = check_ok!(file::open(folder, "changes", CREAT, 0));
    let (near, far) = pair();
    for unit in [10, 20_000] {
        check_ok!(file::set_size(file, 0));
        let count = unit as u64;
        check_eq!(send_file(near, file, 0, count), Ok(0), "empty");
        check_eq!(file::pwrite(file, &vec![b'a'; 4 * unit], 0), Ok(4 * unit));
        check_eq!(send_file(near, file, 0, 10 * count), Ok(4 * count));
        check!(receive(far, 4 * unit) == vec![b'a'; 4 * unit], "whole");
        check_ok!(file::set_size(file, 2 * count));
        check_eq!(send_file(near, file, 0, 4 * count), Ok(2 * count), "cut");
        check!(receive(far, 2 * unit) == vec![b'a'; 2 * unit], "cut");
        check_eq!(send_file(near, file, 2 * count, 4 * count), Ok(0), "cut there");
        check_ok!(file::set_size(file, 3 * count));
        check_eq!(send_file(near, file, count, 10 * count), Ok(2 * count), "filled up");
        check!(receive(far, 2 * unit) == [vec![b'a'; unit], vec![0; unit]].concat(), "filled up");
    }
    check_ok!(close(file));
}

/// The end of this side, of the peer, and a reset: as a send has them. At the end of the file nothing is sent, and so
/// nothing is found out.
fn ends(listener: Fd, file: Fd) {
    for (near, _far) in [pair(), check_ok!(connected(listener))] {
        check_ok!(shutdown(near, SHUT_WR));
        for flags in [0, NONBLOCK] {
            check_ok!(set_flags(near, flags));
            check_eq!(send_file(near, file, 0, 100), Err(EPIPE));
            check_eq!(send_file(near, file, 0, u64::MAX), Err(EPIPE));
            check_eq!(send_file(near, file, LENGTH as u64, 5), Ok(0));
        }
    }
    for count in [100, 100_000, u64::MAX] {
        let (near, far) = check_ok!(connected(listener));
        check_eq!(send(near, b"nobody reads this", 0), Ok(17));
        check_ok!(close(far));
        check_eq!(send_file(near, file, LENGTH as u64, count), Ok(0));
        check_eq!(send_file(near, file, 0, count), Err(ECONNRESET));
        check_eq!(send_file(near, file, 0, count), Err(EPIPE));
    }
}

/// The mode of the connection is another owner's.
fn shared(file: Fd) {
    let is_connection = |fd: &Fd| fdstat(*fd).is_ok_and(|stat| stat.filetype == SOCKET_STREAM);
    let out = (3..10).find(is_connection).expect("a connection");
    check_ok!(set_flags(out, NONBLOCK));
    let mut sent = 0;
    loop {
        match send_file(out, file, sent, u64::MAX) {
            Ok(count) => sent += count,
            Err(errno) => {
                check_eq!(errno, EAGAIN);
                break;
            }
        }
    }
    println!("sent {sent}");
}

/// A socket without room takes a part, and tells how much: nothing is sent twice or lost.
fn full_buffers(listener: Fd, file: Fd, content: &[u8]) {
    for is_tcp in [false, true] {
        let ends = || {
            let (near, far) = if is_tcp { check_ok!(connected(listener)) } else { pair() };
            // A kernel makes a connection's buffers as large as it likes, unless told otherwise.
            check_ok!(set_size(near, option::SEND_BUF_SIZE, 100_000));
            check_ok!(set_size(far, option::RECV_BUF_SIZE, 100_000));
            (near, far)
        };
        let (near, far) = ends();
        check_ok!(set_flags(near, NONBLOCK));
        let mut sent = 0;
        let mut back = Vec::new();
        let mut refusals = 0;
        while sent < LENGTH {
            match send_file(near, file, sent as u64, u64::MAX) {
                Ok(count) => sent += count as usize,
                Err(errno) => {
                    check_eq!(errno, EAGAIN);
                    refusals += 1;
                    back.extend(receive(far, sent - back.len()));
                }
            }
        }
        check!(refusals > 0, "it was never full");
        check_eq!(send_file(near, file, LENGTH as u64, 1), Ok(0), "the end");
        check_ok!(shutdown(near, SHUT_WR));
        back.extend(receive(far, LENGTH));
        check!(back == content, "{} bytes came", back.len());
        // One that waits sends what it can until its time is over.
        let (near, far) = ends();
        check_ok!(set_time(near, option::SEND_TIMEOUT, Some(50_000_000)));
        let sent = check_ok!(send_file(near, file, 0, u64::MAX)) as usize;
        check!(0 < sent && sent < LENGTH, "{sent} sent");
        if !is_tcp {
            // TCP finds room for more by and by.
            check_eq!(send_file(near, file, 0, 100), Err(EAGAIN));
        }
        check_eq!(send_file(near, file, LENGTH as u64, 100), Ok(0), "the end needs no room");
        check_ok!(close(near));
        check!(receive(far, LENGTH) == content[..sent], "it returned what was sent");
    }
}

/// A message goes whole or not at all, and one for each call.
fn messages(file: Fd, content: &[u8]) {
    for kind in KINDS.iter().filter(|kind| kind.is_pair && kind.has_messages()) {
        let (near, far) = check_ok!(kind.ends());
        let mut buf = vec![0; 100_000];
        for (offset, count) in [(0, 1), (100, 5000), (5, 65_536)] {
            check_eq!(send_file(near, file, offset, count), Ok(count), "{}", kind.name);
            check_eq!(recv(far, &mut buf, 0), Ok(count as usize), "{}", kind.name);
            let from = offset as usize;
            check!(buf[..count as usize] == content[from..from + count as usize], "{}", kind.name);
        }
        check_eq!(send_file(near, file, LENGTH as u64 - 9, u64::MAX), Ok(9));
        check_eq!(recv(far, &mut buf, 0), Ok(9));
        check_eq!(send_file(near, file, LENGTH as u64, 5), Ok(0), "no empty message");
        check_eq!(send_file(near, file, 0, 65_537), Err(EMSGSIZE));
        check_eq!(send_file(near, file, 0, u64::MAX), Err(EMSGSIZE));
        check_eq!(recv(far, &mut buf, RECV_DONT_WAIT), Err(EAGAIN), "nothing more");
        // A message can't be taken in part, so it is none that is sent on.
        check_eq!(send_file(far, near, 0, 5), Err(EINVAL));
    }
}

/// What a pipe has, and its end; what was not sent is still in it.
fn pipes(content: &[u8]) {
    let (near, far) = pair();
    let (reader, writer) = check_ok!(wait::pipe());
    check_ok!(set_flags(reader, NONBLOCK));
    check_eq!(send_file(near, reader, 0, 10), Err(EAGAIN));
    check_eq!(write(writer, &content[..50_000]), Ok(50_000));
    check_eq!(send_file(near, reader, 0, 20_000), Ok(20_000));
    check_eq!(send_file(near, reader, 0, u64::MAX), Ok(30_000));
    check!(receive(far, 50_000) == content[..50_000], "through a pipe");
    check_eq!(send_file(near, reader, 1, 1), Err(ESPIPE));

    // No room: not a byte is lost.
    check_ok!(set_flags(near, NONBLOCK));
    let mut before = 0;
    while let Ok(count) = send(near, &[0; 65_536], 0) {
        before += count;
    }
    check_eq!(write(writer, b"kept"), Ok(4));
    check_eq!(send_file(near, reader, 0, 4), Err(EAGAIN));
    receive(far, before);
    check_eq!(send_file(near, reader, 0, 4), Ok(4));
    check_eq!(receive(far, 4), b"kept");

    // The end of the pipe is the end.
    check_eq!(write(writer, b"last"), Ok(4));
    check_ok!(close(writer));
    check_ok!(set_flags(reader, 0));
    check_eq!(send_file(near, reader, 0, 100), Ok(4));
    check_eq!(send_file(near, reader, 0, 100), Ok(0));
    check_eq!(receive(far, 4), b"last");
}

/// From one connection into the next, and into itself.
fn connections(content: &[u8]) {
    let ((client, near), (out, far)) = (pair(), pair());
    check_ok!(set_flags(near, NONBLOCK));
    check_eq!(send_file(out, near, 0, 10), Err(EAGAIN));
    check_ok!(send_all(client, &content[..100_000]));
    check_eq!(send_file(out, near, 0, 30_000), Ok(30_000));
    check_eq!(send_file(out, near, 0, u64::MAX), Ok(70_000));
    check!(receive(far, 100_000) == content[..100_000], "through a connection");
    check_ok!(send_all(client, b"echo"));
    check_eq!(send_file(near, near, 0, 4), Ok(4));
    check_eq!(receive(client, 4), b"echo");
    // One that waits does so until all has come, or the end.
    check_ok!(set_flags(near, 0));
    check_ok!(send_all(client, b"the end"));
    check_ok!(close(client));
    check_eq!(send_file(out, near, 0, 100), Ok(7));
    check_eq!(send_file(out, near, 0, 100), Ok(0));
    check_eq!(receive(far, 7), b"the end");
    let fresh = check_ok!(socket::open(INET4, STREAM, TCP));
    check_eq!(send_file(out, fresh, 0, 1), Err(ENOTCONN));
}

fn wrong_descriptors(folder: Fd, file: Fd) {
    let (near, far) = pair();
    check_eq!(send_file(900, file, 0, 1), Err(EBADF));
    check_eq!(send_file(near, 900, 0, 1), Err(EBADF));
    check_eq!(send_file(900, 901, 0, 1), Err(EBADF));
    // What nothing can be sent to.
    let read_only = check_ok!(file::open_with(folder, 0, "file", 0, file::READ_RIGHTS, 0));
    for no_output in [0, folder, read_only] {
        check_eq!(send_file(no_output, file, 0, 1), Err(EBADF));
    }
    let appending = check_ok!(file::open(folder, "file", 0, APPEND));
    for no_output in [check_ok!(wait::event(0, 0)), check_ok!(wait::epoll()), appending] {
        check_eq!(send_file(no_output, file, 0, 1), Err(EINVAL));
    }
    check_eq!(send_file(near, folder, 0, 1), Err(EISDIR));
    check_eq!(send_file(near, 1, 0, 1), Err(EBADF));
    for none in [check_ok!(wait::event(1, 0)), check_ok!(wait::epoll())] {
        check_eq!(send_file(near, none, 0, 1), Err(EINVAL));
    }
    // Standard input is at its end.
    check_eq!(send_file(near, 0, 0, 1), Ok(0));
    let fresh = check_ok!(socket::open(INET4, STREAM, TCP));
    check_eq!(send_file(fresh, file, 0, 1), Err(ENOTCONN));
    check_ok!(close(far));
    check_eq!(send_file(near, file, 0, 1), Err(EPIPE), "and the program lives");
    let blind = check_ok!(file::open_with(folder, 0, "file", 0, file::READ_RIGHTS, 0));
    check_ok!(drop_rights(blind, right::FD_READ));
    check_eq!(send_file(near, blind, 0, 1), Err(ENOTCAPABLE));
    let (mute, _far) = pair();
    check_ok!(drop_rights(mute, right::SOCK_SEND));
    check_eq!(send_file(mute, file, 0, 1), Err(ENOTCAPABLE));
    check_eq!(read(file, &mut [0; 4]), Ok(4), "its position is where it was");
}
