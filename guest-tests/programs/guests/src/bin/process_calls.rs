//! The process, its place and its terminal; what there can't be: copies, other stacks. A folder with a folder `below` is at descriptor 3.
//!
//! An argument chooses a call that does not return.

use wasix::descriptor::{self, CLOEXEC};
use wasix::errno::*;
use wasix::file::{CREAT, FILE_RIGHTS, FOLLOW};
use wasix::raw::{preview1, refused, wasix as raw};
use wasix::{Fd, Result, address_of, address_of_mut, check, check_eq, check_ok, file, outcome};

const ROOT: Fd = 3;

/// Outside of every memory: what is refused reads and writes none.
const ARBITRARY: u32 = u32::MAX;

fn main() {
    let name = "below/sh";
    let (at, len) = (address_of(name.as_bytes()), name.len() as u32);
    match std::env::args().nth(1).as_deref() {
        Some("exec") => unsafe { raw::proc_exec(at, len, at, len) },
        Some("exec2") => unsafe { raw::proc_exec2(at, len, at, len, at, len) },
        Some("jump") => unsafe { raw::stack_restore(checkpoint(), 1) },
        _ => {}
    }
    refusals();
    children();
    numbers();
    places();
    opening();
    flags();
    terminal();
    check_eq!(outcome(unsafe { raw::clock_time_set(0, 0) }), Err(EPERM));
    check_ok!(outcome(unsafe { preview1::sched_yield() }));
    unsafe { raw::proc_exit2(7) }
}

fn refusals() {
    let w = ARBITRARY;
    let answers = unsafe {
        [
            refused::proc_fork(0, w),
            refused::proc_fork(1, w),
            refused::proc_snapshot(),
            refused::dlopen(w, w, 0, w, w, w, w, w),
            refused::dlsym(0, w, w, w, w, w),
            refused::dl_invalid_handle(0),
            refused::call_dynamic(0, w, w, w, w, 0),
            refused::closure_allocate(w),
            refused::closure_prepare(0, 0, w, w, w, w, w),
            refused::closure_free(0),
            refused::reflect_signature(0, w, w, w, w, w),
            refused::context_create(w, 0),
            refused::context_switch(0),
            refused::context_destroy(1),
        ]
    };
    for (index, answer) in answers.into_iter().enumerate() {
        check_eq!(outcome(answer), Err(ENOTSUP), "number {index}");
    }
}

fn join(tag: u8, pid: u32, flags: u32) -> Result<()> {
    let mut option = [tag.into(), pid];
    let mut status = [0xaa_u8; 6];
    let (option, at) = (address_of_mut(&mut option), address_of_mut(&mut status));
    let answer = outcome(unsafe { raw::proc_join(option, flags, at) });
    check_eq!(status, [0xaa; 6]);
    answer
}

fn children() {
    // Any child; this process; the one above; with either flag and both.
    for (tag, pid, flags) in [(0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 0, 2), (0, 0, 3)] {
        check_eq!(join(tag, pid, flags), Err(ECHILD), "{tag} {pid} {flags}");
    }
    check_eq!(join(0, 0, 4), Err(EINVAL));
    check_eq!(join(2, 0, 0), Err(EINVAL));
    checkpoint();
}

/// What a jump back goes to.
fn checkpoint() -> u32 {
    let snapshot = Box::leak(Box::new([u64::MAX; 3]));
    let mut value = u64::MAX;
    let at = address_of_mut(snapshot);
    check_ok!(outcome(unsafe { raw::stack_checkpoint(at, address_of_mut(&mut value)) }));
    check_eq!(value, 0);
    at
}

fn numbers() {
    let mut pid = 0u32;
    check_ok!(outcome(unsafe { raw::proc_id(address_of_mut(&mut pid)) }));
    let (mut parent, mut tid, mut processors) = (u32::MAX, 0u32, 0u32);
    check_ok!(outcome(unsafe { raw::proc_parent(pid, address_of_mut(&mut parent)) }));
    check!(parent != pid, "a process that is its own parent");
    for unknown in [pid + 1, u32::MAX] {
        let answer = unsafe { raw::proc_parent(unknown, address_of_mut(&mut parent)) };
        check_eq!(outcome(answer), Err(ESRCH), "{unknown}");
    }
    check_ok!(outcome(unsafe { raw::thread_id(address_of_mut(&mut tid)) }));
    check_eq!(tid, pid);
    check_ok!(outcome(unsafe { raw::thread_parallelism(address_of_mut(&mut processors)) }));
    check!(processors > 0, "no processor");
}

/// The answer, the length, and the buffer of `room` bytes.
fn getcwd(room: u32) -> (Result<()>, u32, Vec<u8>) {
    let (mut path, mut len) = (vec![0xaa_u8; 32], room);
    let (at, len_at) = (address_of_mut(path.as_mut_slice()), address_of_mut(&mut len));
    let answer = outcome(unsafe { raw::getcwd(at, len_at) });
    check!(path[room as usize..].iter().all(|byte| *byte == 0xaa), "bytes behind {room}");
    (answer, len, path)
}

fn chdir(path: &str) -> Result<()> {
    outcome(unsafe { raw::chdir(address_of(path.as_bytes()), path.len() as u32) })
}

fn places() {
    for (to, whole) in [("/", "/"), ("below", "/below"), ("..", "/"), ("/below/.", "/below")] {
        check_ok!(chdir(to));
        let (needed, nul) = (whole.len() as u32 + 1, whole.len());
        let (answer, len, path) = getcwd(32);
        check_eq!((answer, len), (Ok(()), needed - 1), "{to}");
        check_eq!(path[..=nul], *[whole.as_bytes(), b"\0"].concat(), "{to}");
        // Just enough, and one too little: the answer says what it takes.
        let (answer, len, path) = getcwd(needed);
        check_eq!((answer, len, path[nul]), (Ok(()), needed - 1, 0), "{to}");
        let (answer, len, path) = getcwd(needed - 1);
        check_eq!((answer, len, path[0]), (Err(ERANGE), needed, 0xaa), "{to}");
        check_eq!(getcwd(0).0, Err(EINVAL));
        // The C library asks how much to make room for.
        for room in [0, 4096] {
            let mut len = room;
            let answer = unsafe { raw::getcwd(0, address_of_mut(&mut len)) };
            check_eq!((outcome(answer), len), (Err(ERANGE), needed), "{to}");
        }
    }
    check_eq!(chdir("missing"), Err(ENOENT));
    check_eq!(chdir(""), Err(ENOENT));
    check_eq!(getcwd(32).2[..8], *b"/below\0\xaa");
    check_ok!(chdir("/"));
}

fn open2(path: &str, oflags: u32, fdflagsext: u32) -> Result<Fd> {
    let mut fd: Fd = u32::MAX;
    let (at, len) = (address_of(path.as_bytes()), path.len() as u32);
    let ret = address_of_mut(&mut fd);
    outcome(unsafe { raw::path_open2(ROOT, FOLLOW, at, len, oflags, FILE_RIGHTS, 0, 0, fdflagsext, ret) })?;
    Ok(fd)
}

fn opening() {
    check_eq!(open2("file", 0, 0), Err(ENOENT));
    check_eq!(open2("file", CREAT, 2), Err(EINVAL));
    for cloexec in [0, CLOEXEC] {
        let fd = check_ok!(open2("file", CREAT, cloexec));
        check_eq!(descriptor::fdflags(fd), Ok(cloexec as u16));
        check_eq!(descriptor::write(fd, b"content"), Ok(7));
        check_ok!(descriptor::close(fd));
    }
    check_ok!(file::unlink(ROOT, "file"));
    // What is preopened as the root takes absolute paths from a program of WASIX.
    for path in ["/file", "//file", "/below/../file"] {
        check_ok!(descriptor::close(check_ok!(open2(path, CREAT, 0))));
        check_ok!(file::rename(ROOT, path, "/below/file"));
        check_ok!(file::unlink(ROOT, "below/file"));
    }
    check_eq!(check_ok!(file::path_stat(ROOT, FOLLOW, "/")).filetype, descriptor::DIRECTORY);
    check_eq!(open2("/../file", CREAT, 0), Err(EPERM));
    // Another folder does not.
    let below = check_ok!(file::open_folder(ROOT, "/below"));
    check_eq!(file::open(below, "/file", CREAT, 0), Err(EPERM));
    check_ok!(descriptor::close(below));
}

fn flags() {
    let fd = check_ok!(descriptor::dup(1));
    check_eq!(descriptor::fdflags(fd), Ok(0));
    for flags in [CLOEXEC, 0] {
        check_ok!(descriptor::set_fdflags(fd, flags));
        check_eq!(descriptor::fdflags(fd), Ok(flags as u16));
    }
    check_eq!(descriptor::set_fdflags(fd, 2), Err(EINVAL));
    check_ok!(descriptor::close(fd));
    check_eq!(descriptor::fdflags(fd), Err(EBADF));
    check_eq!(descriptor::set_fdflags(fd, 0), Err(EBADF));
}

fn terminal() {
    // Columns, rows, width, height; then which streams are one: the tests have none.
    let mut tty = [u32::MAX; 6];
    let at = address_of_mut(&mut tty);
    check_ok!(outcome(unsafe { raw::tty_get(at) }));
    check!(tty[0] > 0 && tty[1] > 0, "a terminal of {} by {}", tty[0], tty[1]);
    check_eq!(tty[4] & 0x00ff_ffff, 0);
    check_eq!(outcome(unsafe { raw::tty_set(at) }), Err(ENOTSUP));
}
