//! What a process and its copy share, and what each has for itself: "Each of the child's file descriptors shall refer to the
//! same open file description with the corresponding file descriptor of the parent." - fork(3p)

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use asyncify_programs::process::{Status, exit, fork, status_of};
use wasix::descriptor::{self, APPEND, CLOEXEC, NONBLOCK};
use wasix::errno::{EAGAIN, EBADF, ENOENT, EPIPE};
use wasix::wait::{self, IN, pipe};
use wasix::{Fd, check, check_eq, check_ok, file, signal, socket};

const PIPE: i32 = 13;

static BROKEN_PIPES: AtomicU32 = AtomicU32::new(0);

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(signal: i32) {
    if signal == PIPE {
        BROKEN_PIPES.fetch_add(1, SeqCst);
    }
}

fn main() {
    let root = check_ok!(file::folder("/"));
    positions(root);
    appends(root);
    flags();
    ends_of_pipes();
    epolls();
    events();
    listeners();
    connections();
    directories(root);
    // From then on the end of a child ends waits.
    broken_pipes();
    println!("holds");
}

/// Two pipes by which a parent and its child take turns.
struct Turns {
    to_child: (Fd, Fd),
    to_parent: (Fd, Fd),
}

impl Turns {
    fn new() -> Self {
        Self { to_child: check_ok!(pipe()), to_parent: check_ok!(pipe()) }
    }

    fn parent_gives(&self) {
        check_eq!(descriptor::write(self.to_child.1, b"."), Ok(1));
    }

    fn child_gives(&self) {
        check_eq!(descriptor::write(self.to_parent.1, b"."), Ok(1));
    }

    fn child_waits(&self) {
        check_eq!(descriptor::read(self.to_child.0, &mut [0]), Ok(1));
    }

    fn parent_waits(&self) {
        check_eq!(descriptor::read(self.to_parent.0, &mut [0]), Ok(1));
    }

    fn close(self) {
        for fd in [self.to_child.0, self.to_child.1, self.to_parent.0, self.to_parent.1] {
            check_ok!(descriptor::close(fd));
        }
    }
}

/// Has a child do `work`, and then the parent what is to be seen of it.
fn in_child(work: impl FnOnce()) {
    let child = check_ok!(fork());
    if child == 0 {
        work();
        exit(0);
    }
    check_eq!(status_of(child), Status::Exited(0));
}

fn positions(root: Fd) {
    let open = check_ok!(file::open(root, "positions", file::CREAT, 0));
    check_eq!(descriptor::write(open, b"0123456789"), Ok(10));
    check_eq!(file::seek(open, 2, file::SET), Ok(2));
    in_child(|| {
        let mut read = [0; 3];
        check_eq!((descriptor::read(open, &mut read), &read), (Ok(3), b"234"));
        // A file that it opens itself has a position of its own.
        let own = check_ok!(file::open(root, "positions", 0, 0));
        check_eq!(file::seek(own, 9, file::SET), Ok(9));
    });
    check_eq!(file::tell(open), Ok(5));
    let turns = Turns::new();
    let child = check_ok!(fork());
    if child == 0 {
        turns.child_waits();
        check_eq!(file::tell(open), Ok(8));
        exit(0);
    }
    check_eq!(file::seek(open, 8, file::SET), Ok(8));
    turns.parent_gives();
    check_eq!(status_of(child), Status::Exited(0));
    turns.close();
    check_ok!(descriptor::close(open));
}

fn appends(root: Fd) {
    let open = check_ok!(file::open(root, "appends", file::CREAT, 0));
    let turns = Turns::new();
    let child = check_ok!(fork());
    if child == 0 {
        turns.child_waits();
        // The flag was set by the parent after the fork.
        check!(
            u32::from(check_ok!(descriptor::fdstat(open)).flags) & APPEND != 0,
            "not the flag of the open file"
        );
        check_eq!(file::seek(open, 0, file::SET), Ok(0));
        check_eq!(descriptor::write(open, b"child"), Ok(5));
        exit(0);
    }
    check_eq!(descriptor::write(open, b"parent"), Ok(6));
    check_ok!(descriptor::set_flags(open, APPEND));
    turns.parent_gives();
    check_eq!(status_of(child), Status::Exited(0));
    check_eq!(file::seek(open, 0, file::SET), Ok(0));
    check_eq!(descriptor::write(open, b"!"), Ok(1));
    let mut read = [0; 16];
    check_eq!((file::pread(open, &mut read, 0), &read[..12]), (Ok(12), b"parentchild!".as_slice()));
    turns.close();
    check_ok!(descriptor::close(open));
}

/// Whether calls wait is the open file's, and what ends when a program begins the descriptor's.
fn flags() {
    let (reader, writer) = check_ok!(pipe());
    in_child(|| {
        check_ok!(descriptor::set_flags(reader, NONBLOCK));
        check_ok!(descriptor::set_fdflags(reader, CLOEXEC));
        check_eq!(descriptor::fdflags(reader), Ok(1));
    });
    check_eq!(descriptor::read(reader, &mut [0]), Err(EAGAIN));
    check_eq!(descriptor::fdflags(reader), Ok(0));
    check_ok!(descriptor::set_fdflags(writer, CLOEXEC));
    in_child(|| {
        check_eq!(descriptor::fdflags(writer), Ok(1));
        // What the child closes and replaces is the child's.
        check_ok!(descriptor::close(writer));
        check_ok!(descriptor::renumber_wasix(reader, 1));
    });
    check_ok!(descriptor::fdstat(writer));
    for fd in [reader, writer] {
        check_ok!(descriptor::close(fd));
    }
}

/// A pipe is at its end when no process can write to it any more.
fn ends_of_pipes() {
    let (reader, writer) = check_ok!(pipe());
    let turns = Turns::new();
    let child = check_ok!(fork());
    if child == 0 {
        turns.child_waits();
        exit(0);
    }
    check_ok!(descriptor::close(writer));
    check_ok!(descriptor::set_flags(reader, NONBLOCK));
    check_eq!(descriptor::read(reader, &mut [0]), Err(EAGAIN));
    turns.parent_gives();
    check_eq!(status_of(child), Status::Exited(0));
    check_eq!(descriptor::read(reader, &mut [0]), Ok(0));
    check_ok!(descriptor::close(reader));
    turns.close();
}

/// It is broken when no process can read from it any more.
fn broken_pipes() {
    signal::handle();
    let (reader, writer) = check_ok!(pipe());
    let turns = Turns::new();
    let child = check_ok!(fork());
    if child == 0 {
        turns.child_waits();
        check_ok!(descriptor::close(reader));
        turns.child_gives();
        turns.child_waits();
        exit(0);
    }
    check_ok!(descriptor::close(reader));
    check_eq!(descriptor::write(writer, b"x"), Ok(1));
    check_eq!(BROKEN_PIPES.load(SeqCst), 0);
    turns.parent_gives();
    turns.parent_waits();
    check_eq!(descriptor::write(writer, b"x"), Err(EPIPE));
    check_eq!(BROKEN_PIPES.load(SeqCst), 1);
    turns.parent_gives();
    check_eq!(status_of(child), Status::Exited(0));
    check_ok!(descriptor::close(writer));
    turns.close();
}

/// An epoll watches open files, for whoever waits.
fn epolls() {
    let epoll = check_ok!(wait::epoll());
    let (reader, writer) = check_ok!(pipe());
    let (other, other_writer) = check_ok!(pipe());
    check_ok!(wait::add(epoll, reader, IN));
    let turns = Turns::new();
    let child = check_ok!(fork());
    if child == 0 {
        check_eq!(wait::next(epoll).map(|found| found.len()), Ok(1));
        check_ok!(wait::add(epoll, other, IN));
        // That it closes these ends no watch of its parent's.
        for fd in [reader, other, epoll] {
            check_ok!(descriptor::close(fd));
        }
        turns.child_gives();
        turns.child_waits();
        exit(0);
    }
    check_eq!(descriptor::write(writer, b"x"), Ok(1));
    turns.parent_waits();
    check_eq!(descriptor::read(reader, &mut [0]), Ok(1));
    check_eq!(descriptor::write(other_writer, b"x"), Ok(1));
    check_eq!(wait::next(epoll).map(|found| found.len()), Ok(1));
    turns.parent_gives();
    check_eq!(status_of(child), Status::Exited(0));
    check_eq!(descriptor::read(other, &mut [0]), Ok(1));
    check_eq!(wait::now(epoll), Ok(Vec::new()));
    check_eq!(descriptor::write(writer, b"x"), Ok(1));
    check_eq!(wait::next(epoll).map(|found| found.len()), Ok(1));
    for fd in [epoll, reader, writer, other, other_writer] {
        check_ok!(descriptor::close(fd));
    }
    turns.close();
}

fn events() {
    let event = check_ok!(wait::event(0, 0));
    in_child(|| check_eq!(descriptor::write(event, &5_u64.to_le_bytes()), Ok(8)));
    let mut value = [0; 8];
    check_eq!((descriptor::read(event, &mut value), u64::from_le_bytes(value)), (Ok(8), 5));
    check_ok!(descriptor::close(event));
}

/// Both accept; the listener goes with the last descriptor.
fn listeners() {
    let (listener, address) = check_ok!(socket::listener());
    let connects = || {
        let near = check_ok!(socket::open_for(address));
        socket::connect(near, address).map(|()| near)
    };
    let turns = Turns::new();
    let child = check_ok!(fork());
    if child == 0 {
        let (far, _) = check_ok!(socket::accept_v2(listener, 0));
        check_ok!(socket::send_all(far, b"child"));
        check_ok!(descriptor::close(listener));
        turns.child_gives();
        turns.child_waits();
        exit(0);
    }
    let near = check_ok!(connects());
    let mut read = [0; 5];
    check_eq!((socket::recv(near, &mut read, socket::RECV_WAITALL), &read), (Ok(5), b"child"));
    turns.parent_waits();
    let second = check_ok!(connects());
    let (far, _) = check_ok!(socket::accept_v2(listener, 0));
    // The child still listens nowhere, and has the first connection.
    turns.parent_gives();
    check_eq!(status_of(child), Status::Exited(0));
    check_eq!(socket::recv(near, &mut read, 0), Ok(0));
    for fd in [near, second, far] {
        check_ok!(descriptor::close(fd));
    }
    turns.close();
    // A listener that the child alone has listens on.
    let turns = Turns::new();
    let child = check_ok!(fork());
    if child == 0 {
        turns.child_waits();
        let (far, _) = check_ok!(socket::accept_v2(listener, 0));
        check_ok!(socket::send_all(far, b"alone"));
        exit(0);
    }
    check_ok!(descriptor::close(listener));
    turns.parent_gives();
    let near = check_ok!(connects());
    check_eq!((socket::recv(near, &mut read, socket::RECV_WAITALL), &read), (Ok(5), b"alone"));
    check_eq!(status_of(child), Status::Exited(0));
    check_ok!(descriptor::close(near));
    check!(connects().is_err(), "it listens although nobody has it");
    turns.close();
}

/// A connection ends with its last descriptor, or for all by a shutdown.
fn connections() {
    let (listener, _) = check_ok!(socket::listener());
    let (near, far) = check_ok!(socket::connected(listener));
    in_child(|| check_ok!(descriptor::close(far)));
    check_ok!(socket::send_all(far, b"open"));
    let mut read = [0; 4];
    check_eq!((socket::recv(near, &mut read, socket::RECV_WAITALL), &read), (Ok(4), b"open"));
    in_child(|| check_ok!(socket::shutdown(far, socket::SHUT_WR)));
    check_eq!(socket::recv(near, &mut read, 0), Ok(0));
    for fd in [near, far, listener] {
        check_ok!(descriptor::close(fd));
    }
    check_eq!(descriptor::close(far), Err(EBADF));
}

/// The working directory is a process's own.
fn directories(root: Fd) {
    check_ok!(file::mkdir(root, "inside"));
    in_child(|| {
        check_ok!(file::chdir("/inside"));
        check_eq!(file::chdir("missing"), Err(ENOENT));
    });
    check_ok!(file::chdir("inside"));
}
