//! `processes CASE`: a program that starts others, which are this one again, at `/bin/processes`. Files of its own are
//! below descriptor 3, which is `/`; there is a folder `below`, and a file `program` that nothing grants. What else there
//! is in `/bin` the test says.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use wasix::errno::*;
use wasix::process::{Ended, FdOp, NON_BLOCKING, NOTHING, Start, fork_env, id, parent, thread_id, wait};
use wasix::signal::{KILL, TERM, handle, to_process};
use wasix::{Errno, Fd, address_of_mut, check, check_eq, check_ok, descriptor, file, outcome, raw, socket};

const PROGRAM: &str = "/bin/processes";

/// What ends a child that traps.
const ABRT: u32 = 6;

static CHILDREN: AtomicU32 = AtomicU32::new(0);

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(signal: i32) {
    if signal == wasix::signal::CHLD as i32 {
        CHILDREN.fetch_add(1, SeqCst);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    let number = |index: usize| argument(index).parse::<u32>().unwrap_or(0);
    match argument(1) {
        // What children do.
        "exit" => std::process::exit(number(2).cast_signed()),
        "trap" => core::arch::wasm32::unreachable(),
        "spin" => loop {
            black_box(());
        },
        "read" => while check_ok!(descriptor::read(number(2), &mut [0; 64])) > 0 {},
        "show" => show(&arguments),
        "open" => println!("{:?}", (3..24).filter(|fd| descriptor::fdstat(*fd).is_ok()).collect::<Vec<_>>()),
        "ignored" => println!("{:?}", check_ok!(wasix::signal::dispositions())),
        "streams" => streams(),
        "replaced" => replaced(number(2), number(3), number(4)),
        "leaves" => leaves(argument(2)),
        "waits_and_tells" => waits_and_tells(number(2)),
        "late" => late(number(2)),
        "echo" => echo(),
        // The cases.
        "waits" => waits(),
        "kills" => kills(),
        "hears" => hears(),
        "prepares" => prepares(),
        "closes" => closes(),
        "becomes" => becomes(),
        "strings" => strings(),
        "mistakes" => mistakes(),
        "scripts" => scripts(),
        "orphans" => orphans(),
        "many" => many(number(2)),
        "bomb" => bomb(number(2)),
        "vfork" => vfork(),
        "serves" => serves(number(2)),
        "goes" => goes(),
        other => check!(false, "no case {other}"),
    }
}

fn holds() {
    println!("holds");
}

fn start<'a>(args: &'a [&'a str]) -> Start<'a> {
    Start::of(PROGRAM, args)
}

/// Runs a program to its end.
fn run(start: &Start<'_>) -> Ended {
    let pid = check_ok!(start.spawn());
    check_ok!(wait(Some(pid), 0))
}

/// How strings are passed.
#[derive(Clone, Copy)]
enum By {
    Lines,
    Pointers,
}

impl By {
    fn spawn(self, start: &Start<'_>) -> wasix::Result<u32> {
        match self {
            Self::Lines => start.spawn(),
            Self::Pointers => start.spawn_by_pointers(),
        }
    }

    fn exec(self, start: &Start<'_>) -> wasix::Result<()> {
        match self {
            Self::Lines => start.exec(),
            Self::Pointers => start.exec_by_pointers(),
        }
    }
}

/// What a program prints.
fn output(start: &Start<'_>, by: By) -> String {
    let (reader, writer) = check_ok!(wasix::wait::pipe());
    let mut ops = vec![FdOp::dup2(writer, 1), FdOp::close(reader), FdOp::close(writer)];
    ops.extend_from_slice(start.ops);
    let pid = check_ok!(by.spawn(&Start { ops: &ops, ..*start }));
    check_ok!(descriptor::close(writer));
    let text = read_all(reader);
    check_ok!(descriptor::close(reader));
    check_eq!(wait(Some(pid), 0), Ok(Ended::exited(pid, 0)));
    text
}

fn read_all(fd: Fd) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 512]);
    loop {
        match check_ok!(descriptor::read(fd, &mut buffer)) {
            0 => return String::from_utf8_lossy(&text).into_owned(),
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A child that waits until the descriptor `reader` is at its end, of which it has no `writer`.
fn waiting(reader: Fd, writer: Fd) -> u32 {
    let fd = reader.to_string();
    let ops = [FdOp::close(writer)];
    check_ok!(Start { ops: &ops, ..start(&[PROGRAM, "read", &fd]) }.spawn())
}

fn show(arguments: &[String]) {
    println!(
        "{} {}",
        arguments.join("|"),
        std::env::vars().map(|(a, b)| format!("{a}={b}")).collect::<Vec<_>>().join("|")
    );
}

/// Which streams it has, and where it begins.
fn streams() {
    let open: Vec<_> = (0..3).filter(|fd| descriptor::fdstat(*fd).is_ok()).collect();
    let (mut path, mut len) = ([0_u8; 64], 64_u32);
    let (path_at, len_at) = (address_of_mut(&mut path), address_of_mut(&mut len));
    check_ok!(outcome(unsafe { raw::wasix::getcwd(path_at, len_at) }));
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    println!("{open:?} {}", String::from_utf8_lossy(path));
}

fn waits() {
    check_eq!((id(), parent(1), thread_id()), (1, Ok(0), 1));
    check_eq!(wait(None, 0), Err(ECHILD));
    let pid = check_ok!(start(&[PROGRAM, "exit", "3"]).spawn());
    check_eq!(parent(pid), Ok(1));
    check_eq!(wait(Some(pid), 0), Ok(Ended::exited(pid, 3)));
    check_eq!(wait(Some(pid), 0), Err(ECHILD));
    check_eq!(parent(pid), Err(ESRCH));
    check_eq!(run(&start(&[PROGRAM, "exit", "300"])).code, 44);
    // Any child.
    let mut children = ["4", "5"].map(|code| check_ok!(start(&[PROGRAM, "exit", code]).spawn()));
    let mut found = [wait(None, 0), wait(Some(0), 0)].map(|ended| check_ok!(ended).pid.unwrap_or(0));
    children.sort_unstable();
    found.sort_unstable();
    check_eq!(found, children);
    // One that goes on.
    let (reader, writer) = check_ok!(wasix::wait::pipe());
    let pid = waiting(reader, writer);
    let none = Ended { pid: Some(0), tag: NOTHING, code: 0, signal: 0 };
    check_eq!(wait(Some(pid), NON_BLOCKING), Ok(none));
    check_eq!(wait(None, NON_BLOCKING), Ok(none));
    check_eq!(wait(Some(1), NON_BLOCKING), Err(ECHILD));
    check_ok!(descriptor::close(writer));
    check_eq!(wait(None, 0), Ok(Ended::exited(pid, 0)));
    let trapped = check_ok!(start(&[PROGRAM, "trap"]).spawn());
    check_eq!(wait(None, 0), Ok(Ended::signalled(trapped, ABRT)));
    holds();
}

fn kills() {
    let (reader, writer) = check_ok!(wasix::wait::pipe());
    for signal in [KILL, TERM] {
        for computes in [true, false] {
            let pid = match computes {
                true => check_ok!(start(&[PROGRAM, "spin"]).spawn()),
                false => waiting(reader, writer),
            };
            check_eq!(to_process(pid, 0), Ok(()));
            check_eq!(to_process(pid, signal), Ok(()));
            check_eq!(wait(Some(pid), 0), Ok(Ended::signalled(pid, signal)));
            check_eq!(to_process(pid, signal), Err(ESRCH));
        }
    }
    check_eq!(to_process(4711, TERM), Err(ESRCH));
    let pid = waiting(reader, writer);
    check_eq!(to_process(pid, 32), Err(EINVAL));
    // All but the first process.
    let other = waiting(reader, writer);
    check_eq!(to_process(u32::MAX, TERM), Ok(()));
    for pid in [pid, other] {
        check_eq!(wait(Some(pid), 0), Ok(Ended::signalled(pid, TERM)));
    }
    holds();
}

fn hears() {
    handle();
    let pid = check_ok!(start(&[PROGRAM, "exit", "0"]).spawn());
    for _ in 0..2000 {
        if CHILDREN.load(SeqCst) > 0 {
            break;
        }
        _ = outcome(unsafe { raw::wasix::thread_sleep(10_000_000) });
    }
    check_eq!(CHILDREN.load(SeqCst), 1);
    check_eq!(wait(Some(pid), NON_BLOCKING), Ok(Ended::exited(pid, 0)));
    // It ends no read, and the handler has run when that returns.
    let (reader, writer) = check_ok!(wasix::wait::pipe());
    let fd = writer.to_string();
    let late = check_ok!(start(&[PROGRAM, "late", &fd]).spawn());
    let early = check_ok!(start(&[PROGRAM, "exit", "0"]).spawn());
    check_eq!(descriptor::read(reader, &mut [0; 8]), Ok(1));
    check!(CHILDREN.load(SeqCst) > 1, "the handler has not run");
    for pid in [late, early] {
        check_eq!(wait(Some(pid), 0), Ok(Ended::exited(pid, 0)));
    }
    holds();
}

const RIGHTS: u64 = file::FILE_RIGHTS;

fn prepares() {
    let marked = check_ok!(descriptor::dup(1));
    check_ok!(descriptor::set_fdflags(marked, descriptor::CLOEXEC));
    let ops = [
        FdOp::chdir("/below"),
        FdOp::open(20, "made", file::CREAT as u16, RIGHTS),
        FdOp::dup2(20, 21),
        FdOp::close(20),
        FdOp::dup2(marked, marked),
        // What opens files stays.
        FdOp::close(3),
        FdOp::fchdir(3),
    ];
    let text = output(&Start { ops: &ops, ..start(&[PROGRAM, "open"]) }, By::Lines);
    check!(text.contains(" 21]") && !text.contains("20"), "{text}");
    check!(text.contains(&format!(" {marked},")) && text.contains("[3,"), "{text}");
    check_ok!(file::unlink(3, "below/made"));
    let wrong: [(FdOp, Errno); 7] = [
        (FdOp::close(77), EBADF),
        (FdOp::dup2(77, 5), EBADF),
        (FdOp::open(5, "missing", 0, RIGHTS), ENOENT),
        (FdOp::chdir("/missing"), ENOENT),
        (FdOp::fchdir(1), ENOTDIR),
        (FdOp { cmd: 9, ..FdOp::default() }, EINVAL),
        (FdOp::dup2(1, u32::MAX), EBADF),
    ];
    for (op, errno) in wrong {
        let ops = [op];
        check_eq!(Start { ops: &ops, ..start(&[PROGRAM, "exit", "0"]) }.spawn(), Err(errno), "{op:?}");
    }
    check_eq!(wait(None, 0), Err(ECHILD));
    let ignored =
        |dispositions: &[[u8; 2]]| output(&Start { dispositions, ..start(&[PROGRAM, "ignored"]) }, By::Lines);
    check!(!ignored(&[]).contains("[15, 1]"), "SIGTERM is ignored");
    check!(ignored(&[[15, 0], [15, 1]]).contains("[15, 1]"), "SIGTERM is not ignored");
    check!(!ignored(&[[15, 1], [15, 0]]).contains("[15, 1]"), "SIGTERM is ignored");
    holds();
}

fn closes() {
    let (kept, marked) = (check_ok!(descriptor::dup(1)), check_ok!(descriptor::dup(1)));
    check_ok!(descriptor::set_fdflags(marked, descriptor::CLOEXEC));
    let text = output(&start(&[PROGRAM, "open"]), By::Lines);
    check!(text.contains(&format!(" {kept},")) || text.contains(&format!(" {kept}]")), "{text}");
    check!(!text.contains(&format!(" {marked}")), "{text}");
    check_eq!(descriptor::fdflags(marked), Ok(1));
    holds();
}

fn becomes() {
    let (kept, marked) = (check_ok!(descriptor::dup(1)), check_ok!(descriptor::dup(1)));
    check_ok!(descriptor::set_fdflags(marked, descriptor::CLOEXEC));
    let missing = Start::of("/bin/missing", &[PROGRAM]);
    check_eq!((missing.exec(), missing.exec_by_pointers()), (Err(ENOENT), Err(ENOENT)));
    check_ok!(file::chdir("/below"));
    let numbers = [id(), kept, marked].map(|number| number.to_string());
    let [id, kept, marked] = numbers.each_ref().map(String::as_str);
    check_ok!(start(&[PROGRAM, "replaced", id, kept, marked]).exec());
    check!(false, "exec returned");
}

fn replaced(before: u32, kept: Fd, marked: Fd) {
    check_eq!(id(), before);
    check_eq!((descriptor::fdflags(kept), descriptor::fdflags(marked)), (Ok(0), Err(EBADF)));
    check_eq!(file::path_stat(3, 1, "below").map(|stat| stat.filetype), Ok(descriptor::DIRECTORY));
    check_eq!(run(&start(&[PROGRAM, "exit", "6"])).code, 6);
    holds();
}

fn strings() {
    for by in [By::Lines, By::Pointers] {
        let args = [PROGRAM, "show", "", "b c", "ä"];
        let mut start = start(&args);
        check_eq!(output(&start, by), "/bin/processes|show||b c|ä HOST=1\n");
        start.envs = Some(&["A=1", "B="]);
        check_eq!(output(&start, by), "/bin/processes|show||b c|ä A=1|B=\n");
        // As `system` passes it.
        start.envs = Some(&[]);
        check_eq!(output(&start, by), "/bin/processes|show||b c|ä HOST=1\n");
        start.envs = Some(&["A"]);
        check_eq!(by.spawn(&start), Err(EINVAL));
    }
    for by in [By::Lines, By::Pointers] {
        let marked = check_ok!(descriptor::dup(1));
        check_ok!(fork_env());
        check_ok!(descriptor::close(marked));
        let args = [PROGRAM, "show", "x"];
        check_ok!(by.exec(&Start { envs: Some(&["A=1"]), ..start(&args) }));
        // What was closed there is the child's.
        check_eq!((descriptor::close(marked), wait(None, 0).map(|ended| ended.code)), (Ok(()), Ok(0)));
    }
    holds();
}

fn mistakes() {
    let long = "x".repeat(256);
    for (name, errno) in [
        ("/bin/missing", ENOENT),
        ("/program", EACCES),
        ("/bin/broken", ENOEXEC),
        ("/bin/library", ENOEXEC),
        ("/bin/below", EACCES),
        ("/bin", EACCES),
        ("", ENOENT),
        (&long, ENAMETOOLONG),
        ("processes", ENOENT),
        ("/bin/../program", EACCES),
        ("/bin/outside", EACCES),
    ] {
        let start = Start::of(name, &[PROGRAM]);
        check_eq!((start.spawn(), start.spawn_by_pointers()), (Err(errno), Err(errno)), "{name}");
        check_eq!((start.exec(), start.exec_by_pointers()), (Err(errno), Err(errno)), "{name}");
    }
    for search in ["/nowhere:/bin", ""] {
        let start = Start { search: Some(search), ..Start::of("processes", &[PROGRAM, "exit", "7"]) };
        check_eq!(run(&start).code, 7, "{search}");
    }
    let missing = Start { search: Some(""), ..Start::of("missing", &[PROGRAM]) };
    check_eq!(missing.spawn(), Err(ENOENT));
    let much = "x".repeat(300_000);
    check_eq!(start(&[PROGRAM, &much]).spawn(), Err(E2BIG));
    check_eq!(wait(None, 0), Err(ECHILD));
    holds();
}

fn scripts() {
    let script = Start::of("/bin/script", &["/bin/script", "x"]);
    check_eq!(output(&script, By::Lines), "/bin/processes|show|/bin/script|x HOST=1\n");
    check_eq!(Start::of("/bin/circle", &["x"]).spawn(), Err(ELOOP));
    check_eq!(Start::of("/bin/lost", &["x"]).spawn(), Err(ENOENT));
    check_eq!(Start::of("/bin/plain", &["x"]).spawn(), Err(ENOEXEC));
    holds();
}

fn orphans() {
    let (reader, writer) = check_ok!(wasix::wait::pipe());
    let (told, tells) = check_ok!(wasix::wait::pipe());
    let fd = reader.to_string();
    let ops = [FdOp::close(writer), FdOp::close(told), FdOp::dup2(tells, 1), FdOp::close(tells)];
    let ended = run(&Start { ops: &ops, ..start(&[PROGRAM, "leaves", &fd]) });
    check_eq!(ended.code, 0);
    // Nobody has to wait for what that one left.
    check_eq!(wait(None, NON_BLOCKING), Err(ECHILD));
    check_ok!(descriptor::close(tells));
    check_ok!(descriptor::close(writer));
    check_eq!(read_all(told), "the parent is 1\n");
    holds();
}

/// Leaves a child behind.
fn leaves(fd: &str) {
    check_ok!(start(&[PROGRAM, "waits_and_tells", fd]).spawn());
}

fn waits_and_tells(fd: Fd) {
    while check_ok!(descriptor::read(fd, &mut [0; 64])) > 0 {}
    println!("the parent is {}", check_ok!(parent(id())));
}

/// Says when it begins, and when it has ended, and waits for a line each time.
fn many(count: u32) {
    let pause = |text: &str| {
        println!("{text}");
        check_ok!(descriptor::read(0, &mut [0; 64]));
    };
    check_eq!(run(&start(&[PROGRAM, "exit", "0"])).code, 0);
    pause("begins");
    for _ in 0..count {
        check_eq!(run(&start(&[PROGRAM, "exit", "0"])).code, 0);
    }
    pause("ends");
}

fn bomb(most: u32) {
    let (reader, writer) = check_ok!(wasix::wait::pipe());
    let fd = reader.to_string();
    let ops = [FdOp::close(writer)];
    let args = [PROGRAM, "read", &fd];
    let one = Start { ops: &ops, ..start(&args) };
    let mut children = 0;
    let errno = loop {
        match one.spawn() {
            Ok(_) => children += 1,
            Err(errno) => break errno,
        }
    };
    check_eq!((errno, children), (EAGAIN, most - 1));
    check_eq!(fork_env(), Err(EAGAIN));
    check_ok!(to_process(u32::MAX, KILL));
    for _ in 0..children {
        check_eq!(check_ok!(wait(None, 0)).signal, KILL as u8);
    }
    check_eq!(wait(None, 0), Err(ECHILD));
    check_eq!(run(&start(&[PROGRAM, "exit", "8"])).code, 8);
    holds();
}

fn vfork() {
    let (me, fd) = (id(), check_ok!(descriptor::dup(1)));
    let pid = check_ok!(fork_env());
    check_eq!((id(), parent(pid)), (pid, Ok(me)));
    check_ok!(descriptor::close(fd));
    check_ok!(file::chdir("/below"));
    check_eq!(Start::of("/bin/missing", &["x"]).exec(), Err(ENOENT));
    check_eq!(id(), pid);
    unsafe { raw::wasix::proc_exit2_of_child(5) };
    check_eq!(id(), me);
    check_ok!(descriptor::fdstat(fd));
    check_eq!(wait(Some(pid), 0), Ok(Ended::exited(pid, 5)));
    // One in the other.
    let first = check_ok!(fork_env());
    let second = check_ok!(fork_env());
    check_ok!(start(&[PROGRAM, "exit", "9"]).exec());
    check_eq!(id(), first);
    check_eq!(wait(None, 0), Ok(Ended::exited(second, 9)));
    unsafe { raw::wasix::proc_exit2_of_child(1) };
    check_eq!(wait(None, 0), Ok(Ended::exited(first, 1)));
    holds();
}

/// Starts a program for each of so many connections.
fn serves(count: u32) {
    let (listener, addr) = check_ok!(socket::listener());
    println!("serving on {addr}");
    for _ in 0..count {
        let (connection, _) = check_ok!(socket::accept(listener, 0));
        let ops = [
            FdOp::dup2(connection, 0),
            FdOp::dup2(connection, 1),
            FdOp::close(connection),
            FdOp::close(listener),
        ];
        check_ok!(Start { ops: &ops, ..start(&[PROGRAM, "echo"]) }.spawn());
        check_ok!(descriptor::close(connection));
    }
    for _ in 0..count {
        check_eq!(check_ok!(wait(None, 0)).code, 0);
    }
    holds();
}

/// Writes a byte after a while.
fn late(fd: Fd) {
    check_ok!(outcome(unsafe { raw::wasix::thread_sleep(500_000_000) }));
    check_eq!(descriptor::write(fd, b"x"), Ok(1));
}

fn echo() {
    let mut buffer = [0; 1024];
    loop {
        match check_ok!(descriptor::read(0, &mut buffer)) {
            0 => return,
            count => check_eq!(descriptor::write(1, &buffer[..count]), Ok(count)),
        }
    }
}

/// Ends before its children.
fn goes() {
    let (reader, writer) = check_ok!(wasix::wait::pipe());
    let fd = reader.to_string();
    // It has the other end itself, and waits forever.
    check_ok!(start(&[PROGRAM, "read", &fd]).spawn());
    let ops = [FdOp::close(writer)];
    check_ok!(Start { ops: &ops, ..start(&[PROGRAM, "waits_and_tells", "0"]) }.spawn());
    println!("goes");
}
