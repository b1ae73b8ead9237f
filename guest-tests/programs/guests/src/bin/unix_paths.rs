//! `unix_paths OUTSIDE`: names that lead nowhere, or out. `/run` may be changed, `/ro` not;
//! `/deep/granted` lies below what is granted. OUTSIDE is a whole path of the host's where
//! a socket listens.

use wasix::errno::*;
use wasix::socket::*;
use wasix::{Errno, check_eq, check_ok, file, unix, wait};

fn main() {
    // A program with this call has room for a whole path.
    check_ok!(wait::pair(UNIX, STREAM, 0));
    shapes();
    directories();
    escapes();
    links_inside();
    read_only();
    the_longest();
}

/// Neither a bind nor a connect goes there.
fn neither(path: &str, bind: Errno, connect: Errno) {
    for kind in [STREAM, DGRAM, SEQPACKET] {
        let fd = check_ok!(unix::open(kind));
        check_eq!(unix::bind(fd, path), Err(bind), "{path:?}, kind {kind}");
        check_eq!(unix::connect(fd, path), Err(connect), "{path:?}, kind {kind}");
        if kind == DGRAM {
            check_eq!(unix::send_to(fd, b"x", 0, path), Err(connect), "{path:?}");
        }
    }
}

fn shapes() {
    neither("", ENOENT, ENOENT);
    // Where a C program would have an abstract name.
    neither("\0abstract", ENOENT, ENOENT);
    neither(&"x".repeat(108), ENAMETOOLONG, ENAMETOOLONG);
    // A path ends at its NUL, whatever comes after.
    let fd = check_ok!(unix::open(STREAM));
    check_ok!(unix::bind(fd, "/run/cut\0/none/x"));
    check_eq!(unix::local(fd), Ok("/run/cut".into()));
    check_ok!(listen(fd, 1));
    check_ok!(unix::client(STREAM, "/run/cut\0off"));
    let fd = check_ok!(unix::open(STREAM));
    let mut not_text = unix::addr("/run/x");
    not_text.0[7] = 0xff;
    check_eq!(bind_raw(fd, &not_text), Err(EILSEQ));
    check_eq!(connect_raw(fd, &not_text), Err(EILSEQ));
}

fn directories() {
    neither("/run/none/x", ENOENT, ENOENT);
    neither("/run/file/x", ENOTDIR, ENOTDIR);
    neither("/run", EADDRINUSE, ECONNREFUSED);
    neither("/run/folder", EADDRINUSE, ECONNREFUSED);
    neither("/run/folder/", EADDRINUSE, ECONNREFUSED);
    neither("/run/folder/.", EADDRINUSE, ECONNREFUSED);
    neither("/run/file", EADDRINUSE, ECONNREFUSED);
    neither("/run/file/", EADDRINUSE, ENOTDIR);
    neither("/run/none/", ENOENT, ENOENT);
}

fn escapes() {
    // No directory of the guest's has them.
    neither("/elsewhere/x", ENOENT, ENOENT);
    neither("/", ENOENT, ENOENT);
    neither("/run/../x", ENOENT, ENOENT);
    neither("../../../x", ENOENT, ENOENT);
    let outside = std::env::args().nth(1).expect("a path");
    neither(&outside, ENOENT, ENOENT);
    // Links that the host made lead out.
    neither("/run/out_folder/x", EACCES, EACCES);
    neither("/run/out_absolute/x", EACCES, EACCES);
    neither("/run/folder/up/x", EACCES, EACCES);
    neither("/run/out_socket", EADDRINUSE, EACCES);
    neither("/run/out_socket_absolute", EADDRINUSE, EACCES);
    // So does one that the guest makes itself.
    let run = check_ok!(file::folder("/run"));
    check_ok!(file::symlink(run, "../socket", "made"));
    neither("/run/made", EADDRINUSE, EACCES);
    neither("/run/loop/x", ELOOP, ELOOP);
}

fn links_inside() {
    let listener = check_ok!(unix::listener(STREAM, "/run/link/inner", 4));
    check_eq!(unix::local(listener), Ok("/run/link/inner".into()));
    for path in ["/run/folder/inner", "/run/link/inner", "/run/inner_link", "/run/link/../folder/inner"] {
        let near = check_ok!(unix::client(STREAM, path));
        check_eq!(unix::peer(near), Ok(path.into()));
        check_ok!(unix::accept(listener, 0));
    }
}

fn read_only() {
    let fd = check_ok!(unix::open(STREAM));
    check_eq!(unix::bind(fd, "/ro/x"), Err(EROFS));
    // To connect changes nothing.
    check_ok!(unix::connect(fd, "/ro/socket"));
}

/// As long as an address can be, and longer than the host's kernel takes one.
fn the_longest() {
    for path in [format!("/run/{}", "x".repeat(102)), format!("/run/folder/{}", "y".repeat(95))] {
        check_eq!(path.len(), 107);
        let listener = check_ok!(unix::listener(STREAM, &path, 4));
        let near = check_ok!(unix::client(STREAM, &path));
        let (far, _) = check_ok!(unix::accept(listener, 0));
        check_eq!((unix::peer(near), unix::local(far)), (Ok(path.clone()), Ok(path.clone())));
        let again = check_ok!(unix::open(STREAM));
        check_eq!(unix::bind(again, &path), Err(EADDRINUSE));
    }
}
