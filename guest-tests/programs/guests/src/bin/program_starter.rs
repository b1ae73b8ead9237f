//! `program_starter HOW PROGRAM ARGUMENT...`: starts another program, and tells how it ended.

use wasix::errno::*;
use wasix::process::{Start, wait};
use wasix::raw::wasix as raw;
use wasix::signal::{TERM, to_process};
use wasix::{Fd, address_of, address_of_mut, check_eq, check_ok, descriptor, outcome};

/// What a standard stream of a child of the older call is.
const PIPED: u32 = 0;
const INHERITED: u32 = 1;
const CLOSED: u32 = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [_, how, program, ..] = arguments[..] else { panic!("{arguments:?}: no program") };
    let start = Start::of(program, &arguments[2..]);
    match how {
        "start" => tell(check_ok!(start.spawn())),
        "become" => check_ok!(start.exec()),
        "end" => {
            let pid = check_ok!(start.spawn());
            check_ok!(descriptor::read(0, &mut [0; 64]));
            check_ok!(to_process(pid, TERM));
            tell(pid);
        }
        "old" => old(program),
        other => panic!("{other}: no such way"),
    }
}

fn tell(pid: u32) {
    let ended = check_ok!(wait(Some(pid), 0));
    println!("ended by {}, code {}, signal {}", ended.tag, ended.code, ended.signal);
}

/// A child as the older call starts it.
struct Child {
    pid: u32,
    /// The other ends of its standard streams, where these are pipes.
    pipes: [Option<Fd>; 3],
}

/// The first generation's call: the program's arguments by lines, each of its streams, and where it begins.
fn spawn_old(
    name: &str,
    args: &[&str],
    modes: [u32; 3],
    directory: &str,
    chroot: u32,
) -> wasix::Result<Child> {
    let args: String = args.iter().flat_map(|arg| [*arg, "\n"]).collect();
    let [stdin, stdout, stderr] = modes;
    let mut handles = [0xaa_u8; 28];
    outcome(unsafe {
        raw::proc_spawn(
            address_of(name.as_bytes()),
            name.len() as u32,
            chroot,
            address_of(args.as_bytes()),
            args.len() as u32,
            0,
            0,
            stdin,
            stdout,
            stderr,
            address_of(directory.as_bytes()),
            directory.len() as u32,
            address_of_mut(&mut handles),
        )
    })?;
    let word = |at: usize| u32::from_le_bytes(handles[at..at + 4].try_into().expect("four bytes"));
    let pipes = [4, 12, 20].map(|at| (handles[at] == 1).then(|| word(at + 4)));
    Ok(Child { pid: word(0), pipes })
}

fn open_descriptors() -> Vec<Fd> {
    (0..64).filter(|fd| descriptor::fdstat(*fd).is_ok()).collect()
}

/// `program` is that of the tests of processes.
fn old(program: &str) {
    let before = open_descriptors();
    // Pipes to its streams, which it copies.
    let child = check_ok!(spawn_old(program, &[program, "echo"], [PIPED, PIPED, INHERITED], "", 0));
    let [Some(input), Some(output), None] = child.pipes else { panic!("{:?}", child.pipes) };
    check_eq!(descriptor::write(input, b"through two pipes"), Ok(17));
    check_ok!(descriptor::close(input));
    let mut read = [0; 64];
    check_eq!((descriptor::read(output, &mut read), &read[..17]), (Ok(17), b"through two pipes".as_slice()));
    check_eq!(descriptor::read(output, &mut read), Ok(0));
    check_ok!(descriptor::close(output));
    check_eq!(wait(Some(child.pid), 0).map(|ended| ended.code), Ok(0));
    // Closed, and a log of the host's, which is the same; where it begins.
    for closed in [CLOSED, 3] {
        let child =
            check_ok!(spawn_old(program, &[program, "streams"], [closed, PIPED, closed], "/below", 0));
        let [None, Some(output), None] = child.pipes else { panic!("{:?}", child.pipes) };
        let count = check_ok!(descriptor::read(output, &mut read));
        check_eq!(String::from_utf8_lossy(&read[..count]), "[1] /below\n");
        check_ok!(descriptor::close(output));
        check_eq!(wait(Some(child.pid), 0).map(|ended| ended.code), Ok(0));
    }
    let inherited = [INHERITED; 3];
    let wrong = [
        (spawn_old("/bin/missing", &["x"], inherited, "", 0), ENOENT),
        (spawn_old("/bin/broken", &["x"], inherited, "", 0), ENOEXEC),
        (spawn_old(program, &["x"], [4, INHERITED, INHERITED], "", 0), EINVAL),
        (spawn_old(program, &["x"], inherited, "/missing", 0), ENOENT),
        (spawn_old(program, &["x"], [PIPED; 3], "/missing", 0), ENOENT),
        (spawn_old(program, &["x"], inherited, "", 1), ENOTSUP),
        (spawn_old(program, &["x"], inherited, "", 2), EINVAL),
    ];
    for (index, (outcome, errno)) in wrong.into_iter().enumerate() {
        check_eq!(outcome.err(), Some(errno), "case {index}");
    }
    // Nothing is left of a child that there never was.
    check_eq!(open_descriptors(), before);
    check_eq!(wait(None, 0).err(), Some(ECHILD));
    println!("holds");
}
