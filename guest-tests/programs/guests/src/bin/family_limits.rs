//! `family_limits CASE`: limits of all processes together, and what is left of many. Children are this program again, at
//! `/bin/family_limits`; what else there is in `/bin` the test says.

use wasix::errno::*;
use wasix::process::{Ended, FdOp, Start, fork_env, id, wait};
use wasix::raw::wasix as raw;
use wasix::signal::{KILL, TERM, to_process};
use wasix::wait::pipe;
use wasix::{Fd, check, check_eq, check_ok, descriptor, file, socket};

const PROGRAM: &str = "/bin/family_limits";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    let number = |index: usize| argument(index).parse::<u32>().unwrap_or(0);
    match argument(1) {
        // What children do.
        "fill" => std::process::exit(fill().len() as i32),
        "exchange" => exchange(number(2)),
        "read" => while check_ok!(descriptor::read(number(2), &mut [0; 64])) > 0 {},
        "trap" => core::arch::wasm32::unreachable(),
        "leave" => leave(number(2)),
        "multiply" => multiply(number(2)),
        // The cases.
        "descriptors" => descriptors(number(2)),
        "accepts" => accepts(),
        "at_once" => at_once(number(2)),
        "mistakes" => mistakes(number(2)),
        "full" => full(number(2)),
        "bomb" => bomb(number(2)),
        "until_refused" => until_refused(),
        other => panic!("{other}: no such case"),
    }
}

fn start<'a>(args: &'a [&'a str]) -> Start<'a> {
    Start::of(PROGRAM, args)
}

fn run(start: &Start<'_>) -> Ended {
    let pid = check_ok!(start.spawn());
    check_ok!(wait(Some(pid), 0))
}

/// Says what it is at, and waits for a line.
fn pause(text: &str) {
    println!("{text}");
    check_ok!(descriptor::read(0, &mut [0; 64]));
}

/// Duplicates a descriptor until there may be no more.
fn fill() -> Vec<Fd> {
    let mut made = Vec::new();
    loop {
        match descriptor::dup(0) {
            Ok(fd) => made.push(fd),
            Err(errno) => {
                check_eq!(errno, EMFILE);
                return made;
            }
        }
    }
}

fn close(fds: impl IntoIterator<Item = Fd>) {
    fds.into_iter().for_each(|fd| check_ok!(descriptor::close(fd)));
}

/// Closes what its parent has too, which makes no place.
fn exchange(fd: Fd) {
    check_ok!(descriptor::close(fd));
    check_eq!(descriptor::dup(0), Err(EMFILE));
}

/// What all processes have open counts, what a child has from its parent once: `most` may there be.
fn descriptors(most: u32) {
    let open = (0..most).filter(|fd| descriptor::fdstat(*fd).is_ok()).count() as u32;
    // As many as were there before, whoever opens them.
    for kept in [0, 2, most - open - 1] {
        let own: Vec<_> = (0..kept).map(|_| check_ok!(descriptor::dup(0))).collect();
        check_eq!(run(&start(&[PROGRAM, "fill"])).code, (most - open - kept) as u16, "with {kept}");
        close(own);
    }
    let own = fill();
    check_eq!(own.len() as u32, most - open);
    // A child takes none by itself.
    check_eq!(run(&start(&[PROGRAM, "fill"])).code, 0);
    check_eq!(run(&start(&[PROGRAM, "exchange", &own[0].to_string()])).code, 0);
    check_eq!(pipe(), Err(EMFILE));
    let root = check_ok!(file::folder("/"));
    check_eq!(file::open(root, "made", file::CREAT, 0), Err(EMFILE));
    // An action that needs one: there is no child then.
    for op in [FdOp::dup2(1, own[0]), FdOp::open(own[0], "/made", file::CREAT as u16, file::FILE_RIGHTS)] {
        let ops = [op];
        check_eq!(Start { ops: &ops, ..start(&[PROGRAM, "fill"]) }.spawn(), Err(EMFILE), "{op:?}");
        // With room for the one that it makes anew.
        close([own[1]]);
        check_eq!(run(&Start { ops: &ops, ..start(&[PROGRAM, "fill"]) }).code, 0, "{op:?}");
        check_eq!(descriptor::dup(0), Ok(own[1]));
    }
    check_eq!(wait(None, 0), Err(ECHILD));
    // A child in the same memory.
    check_ok!(fork_env());
    check_eq!(descriptor::dup(0), Err(EMFILE));
    close([own[0]]);
    check_eq!(descriptor::dup(0), Err(EMFILE));
    unsafe { raw::proc_exit2_of_child(0) };
    check_eq!(wait(None, 0).map(|ended| ended.code), Ok(0));
    close(own);
    check_eq!(fill().len() as u32, most - open);
    println!("holds");
}

/// A connection takes a descriptor of all.
fn accepts() {
    let (listener, address) = check_ok!(socket::listener());
    let near = check_ok!(socket::open_for(address));
    check_ok!(socket::connect(near, address));
    let (reader, writer) = check_ok!(pipe());
    let (told, tells) = check_ok!(pipe());
    let fd = reader.to_string();
    let ops = [FdOp::close(writer), FdOp::dup2(tells, 1)];
    let pid = check_ok!(Start { ops: &ops, ..start(&[PROGRAM, "leave", &fd]) }.spawn());
    check_eq!(descriptor::read(told, &mut [0; 64]), Ok(5));
    // The child has opened all that there may be.
    check_eq!(socket::accept_v2(listener, 0).err(), Some(EMFILE));
    check_ok!(descriptor::close(writer));
    check_eq!(wait(Some(pid), 0).map(|ended| ended.code), Ok(0));
    check_ok!(socket::accept_v2(listener, 0));
    println!("holds");
}

/// Opens what may be, says so, and ends with its input.
fn leave(fd: Fd) {
    fill();
    println!("full");
    while check_ok!(descriptor::read(fd, &mut [0; 64])) > 0 {}
}

/// So many children that wait, and then end. Twice, for what is kept is kept from the first time on.
fn at_once(count: u32) {
    for round in 0..2 {
        let (reader, writer) = check_ok!(pipe());
        let fd = reader.to_string();
        let ops = [FdOp::close(writer)];
        let args = [PROGRAM, "read", &fd];
        let start = Start { ops: &ops, ..start(&args) };
        for child in 0..count {
            let made = start.spawn();
            check!(made.is_ok(), "child {child}: {made:?}");
        }
        pause(&format!("all of {round}"));
        close([reader, writer]);
        for _ in 0..count {
            let ended = check_ok!(wait(None, 0));
            check_eq!((ended.code, ended.signal), (0, 0));
        }
        check_eq!(wait(None, 0), Err(ECHILD));
        pause(&format!("none of {round}"));
    }
}

/// Whatever goes wrong leaves nothing behind.
fn mistakes(rounds: u32) {
    let round = || {
        for (name, errno) in [
            ("/bin/missing", ENOENT),
            ("/bin/plain", ENOEXEC),
            ("/bin/broken", ENOEXEC),
            ("/bin/library", ENOEXEC),
            ("/bin/foreign", ENOEXEC),
            ("/bin/below", EACCES),
            ("/secret", EACCES),
        ] {
            let args = [name];
            let start = Start::of(name, &args);
            check_eq!((start.spawn(), start.spawn_by_pointers()), (Err(errno), Err(errno)), "{name}");
            check_eq!((start.exec(), start.exec_by_pointers()), (Err(errno), Err(errno)), "{name}");
        }
        for (op, errno) in [
            (FdOp::close(77), EBADF),
            (FdOp::dup2(77, 5), EBADF),
            (FdOp::open(5, "missing", 0, file::FILE_RIGHTS), ENOENT),
            (FdOp::chdir("/missing"), ENOENT),
        ] {
            // What comes before it is undone.
            let ops = [FdOp::open(9, "made", file::CREAT as u16, file::FILE_RIGHTS), FdOp::dup2(1, 8), op];
            check_eq!(Start { ops: &ops, ..start(&[PROGRAM, "fill"]) }.spawn(), Err(errno), "{op:?}");
        }
        check_eq!((wait(None, 0), wait(Some(4711), 0)), (Err(ECHILD), Err(ECHILD)));
        check_eq!((to_process(4711, TERM), to_process(4711, 0)), (Err(ESRCH), Err(ESRCH)));
        check_eq!(run(&start(&[PROGRAM, "trap"])).signal, 6);
        // Its children are nobody's, and end with what they read.
        let (reader, writer) = check_ok!(pipe());
        let ops = [FdOp::close(writer)];
        let parent = Start { ops: &ops, ..start(&[PROGRAM, "multiply", "1"]) };
        check_eq!(run(&parent).code, 0);
        check_ok!(fork_env());
        check_eq!(Start::of("/bin/missing", &["x"]).exec(), Err(ENOENT));
        check_ok!(pipe());
        unsafe { raw::proc_exit2_of_child(0) };
        check_eq!(wait(None, 0).map(|ended| ended.code), Ok(0));
        close([reader, writer]);
    };
    round();
    pause("begins");
    (0..rounds).for_each(|_| round());
    pause("ends");
}

/// Children that begin and then need one descriptor more than there may be.
fn full(rounds: u32) {
    let round = || {
        let own = fill();
        close([own[1]]);
        let takes_the_last = FdOp::dup2(1, own[1]);
        for refused in
            [FdOp::dup2(1, own[0]), FdOp::open(own[0], "/made", file::CREAT as u16, file::FILE_RIGHTS)]
        {
            let ops = [FdOp::chdir("/below"), takes_the_last, refused];
            let start = Start { ops: &ops, ..start(&[PROGRAM, "fill"]) };
            check_eq!((start.spawn(), start.spawn_by_pointers()), (Err(EMFILE), Err(EMFILE)), "{refused:?}");
            check_eq!(wait(None, 0), Err(ECHILD));
            // There is as much room as before.
            check_eq!((descriptor::dup(0), descriptor::dup(0)), (Ok(own[1]), Err(EMFILE)));
            close([own[1]]);
        }
        close(own.into_iter().enumerate().filter(|(index, _)| *index != 1).map(|(_, fd)| fd));
    };
    (0..2).for_each(|_| round());
    pause("begins");
    (0..rounds).for_each(|_| round());
    pause("ends");
}

/// Three children, and as many of each of these, so many levels down; those that there may not be are not.
fn multiply(levels: u32) {
    if levels == 0 {
        return;
    }
    let below = (levels - 1).to_string();
    let mut count = 0;
    for _ in 0..3 {
        match start(&[PROGRAM, "multiply", &below]).spawn() {
            Ok(_) => count += 1,
            Err(errno) => check_eq!(errno, EAGAIN),
        }
    }
    for _ in 0..count {
        check_eq!(wait(None, 0).map(|ended| (ended.code, ended.signal)), Ok((0, 0)));
    }
}

/// Processes that start others, as many as there may be.
fn bomb(levels: u32) {
    check_eq!(run(&start(&[PROGRAM, "multiply", "1"])).code, 0);
    pause("begins");
    multiply(levels);
    pause("ends");
    check_eq!(id(), 1);
}

/// As many children as the host has something for; what it says then is printed.
fn until_refused() {
    let (reader, writer) = check_ok!(pipe());
    let fd = reader.to_string();
    let ops = [FdOp::close(writer)];
    let args = [PROGRAM, "read", &fd];
    let start = Start { ops: &ops, ..start(&args) };
    let mut children = 0_u32;
    let errno = loop {
        match start.spawn() {
            Ok(_) => children += 1,
            Err(errno) => break errno,
        }
    };
    println!("{children} children, then {errno:?}");
    // Some of them the host may not have been able to begin.
    let _ = to_process(u32::MAX, KILL);
    for _ in 0..children {
        check_ok!(wait(None, 0));
    }
    check_eq!(wait(None, 0), Err(ECHILD));
    // What the host could not begin it does not try again at once.
    check_ok!(wasix::outcome(unsafe { raw::thread_sleep(300_000_000) }));
    let ended = run(&Start::of(PROGRAM, &[PROGRAM, "multiply", "0"]));
    check_eq!((ended.code, ended.signal), (0, 0));
    println!("holds");
}
