//! `shell [-c COMMANDS | SCRIPT] [ARGUMENT…]`: a small shell, which starts programs as `posix_spawn` does.

mod language;

use language::{Programs, Streams};
use wasix::process::{FdOp, SIGNALLED, Start, wait};
use wasix::{Fd, Result, check_ok};

/// By `proc_spawn2` and `proc_join`.
struct Spawned;

impl Programs for Spawned {
    fn start(&mut self, arguments: &[String], path: &str, streams: Streams, held: &[Fd]) -> Result<u32> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables: Vec<String> =
            std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
        let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
        let moved = (0..).zip(streams).filter(|(number, fd)| number != fd);
        let mut ops: Vec<FdOp> = moved.map(|(number, fd)| FdOp::dup2(fd, number)).collect();
        ops.extend(held.iter().map(|fd| FdOp::close(*fd)));
        let search = (!arguments[0].contains('/')).then_some(path);
        let start =
            Start { envs: Some(&variables), ops: &ops, search, ..Start::of(arguments[0], &arguments) };
        start.spawn()
    }

    fn wait(&mut self, pid: u32) -> u32 {
        let ended = check_ok!(wait(Some(pid), 0));
        if ended.tag == SIGNALLED { 128 + u32::from(ended.signal) } else { ended.code.into() }
    }
}

fn main() {
    language::run(&mut Spawned);
}
