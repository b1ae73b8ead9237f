//! The small shell as a program of 2022: it starts programs by `vfork` and `proc_exec`, and waits by the `proc_join` of
//! two parameters.

#[path = "../../../guests/src/bin/shell/language.rs"]
mod language;

use asyncify_programs::process::vfork;
use language::{Programs, Streams};
use wasix::errno::ENOENT;
use wasix::{Fd, Result, address_of, address_of_mut, check_ok, descriptor, outcome};

mod import {
    #[link(wasm_import_module = "wasix_32v1")]
    unsafe extern "C" {
        #[link_name = "proc_join"]
        pub fn proc_join_v1(pid: u32, code: u32) -> i32;
        pub fn proc_exec(name: u32, name_len: u32, args: u32, args_len: u32) -> !;
    }
}

struct Forked;

impl Programs for Forked {
    fn start(&mut self, arguments: &[String], path: &str, streams: Streams, held: &[Fd]) -> Result<u32> {
        // The call to execute a program can't say that there is none.
        let name = found(&arguments[0], path).ok_or(ENOENT)?;
        let lines: String = arguments.iter().flat_map(|argument| [argument, "\n"]).collect();
        let child = vfork()?;
        if child == 0 {
            become_program(&name, &lines, streams, held);
        }
        Ok(child)
    }

    fn wait(&mut self, pid: u32) -> u32 {
        let (mut pid, mut word) = (pid, 0_u32);
        let (pid_at, word_at) = (address_of_mut(&mut pid), address_of_mut(&mut word));
        check_ok!(outcome(unsafe { import::proc_join_v1(pid_at, word_at) }));
        // The signal, or else the code above it.
        if word & 0x7f == 0 { word >> 8 & 0xff } else { 128 + (word & 0x7f) }
    }
}

/// The child, until it is another program.
fn become_program(name: &str, lines: &str, streams: Streams, held: &[Fd]) -> ! {
    for (number, fd) in (0..).zip(streams).filter(|(number, fd)| number != fd) {
        // Of its own, so that the number is closed when another one is put there.
        let copy = check_ok!(descriptor::dup(fd));
        check_ok!(descriptor::renumber_preview1(copy, number));
    }
    held.iter().for_each(|fd| _ = descriptor::close(*fd));
    unsafe {
        import::proc_exec(
            address_of(name.as_bytes()),
            name.len() as u32,
            address_of(lines.as_bytes()),
            lines.len() as u32,
        )
    }
}

/// The program `name`, in the folders of `path` where it is no path itself.
fn found(name: &str, path: &str) -> Option<String> {
    if name.contains('/') {
        return Some(name.to_owned());
    }
    path.split(':').map(|folder| format!("{folder}/{name}")).find(|name| std::fs::metadata(name).is_ok())
}

fn main() {
    language::run(&mut Forked);
}
