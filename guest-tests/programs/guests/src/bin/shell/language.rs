//! The language of a small shell: pipelines, `&&`, `||`, redirections, quotes, variables, `$?` and `$(…)`.

// Another program has this file by its path, from where there is no folder of its name.
#[path = "words.rs"]
mod words;

use std::collections::VecDeque;

use wasix::errno::{EACCES, ENOENT, ENOEXEC};
use wasix::wait::pipe;
use wasix::{Errno, Fd, Result, descriptor};

use words::{Token, split};

/// What a program has as its input, its output and its errors.
pub type Streams = [Fd; 3];

/// How programs are started and waited for.
pub trait Programs {
    /// Starts the program that the first of `arguments` names, searched in `path`. It has `streams`, and nothing of
    /// `held`, which are descriptors of the shell's own.
    fn start(&mut self, arguments: &[String], path: &str, streams: Streams, held: &[Fd]) -> Result<u32>;

    /// The status with which it ends, as shells have it.
    fn wait(&mut self, pid: u32) -> u32;
}

/// Runs what the arguments of the process say, and ends it.
pub fn run(programs: &mut impl Programs) -> ! {
    let mut arguments: VecDeque<String> = std::env::args().collect();
    let name = arguments.pop_front().unwrap_or_default();
    let text = match arguments.pop_front() {
        Some(option) if option == "-c" => {
            let text = arguments.pop_front().unwrap_or_default();
            arguments.push_front(name);
            text
        }
        Some(script) => {
            let text = std::fs::read_to_string(&script).unwrap_or_else(|error| {
                eprintln!("{script}: {error}");
                std::process::exit(127);
            });
            arguments.push_front(script);
            text
        }
        None => std::io::read_to_string(std::io::stdin()).unwrap_or_default(),
    };
    let mut shell = Shell { programs, arguments: arguments.into(), status: 0, held: Vec::new() };
    shell.run_text(&text, [0, 1, 2]);
    std::process::exit(shell.status.cast_signed());
}

struct Shell<'a, P> {
    programs: &'a mut P,
    /// `$0` and what follows.
    arguments: Vec<String>,
    status: u32,
    /// Descriptors of its own, which no program is to have.
    held: Vec<Fd>,
}

impl<P: Programs> Shell<'_, P> {
    fn run_text(&mut self, text: &str, streams: Streams) {
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let mut rest = line;
            let mut last = ";";
            while !rest.trim().is_empty() {
                // What comes later may use the status of what comes before.
                let (pipeline, sign, after) = split(rest);
                rest = after;
                let runs = match last {
                    "&&" => self.status == 0,
                    "||" => self.status != 0,
                    _ => true,
                };
                if runs && !pipeline.trim().is_empty() {
                    self.run_pipeline(pipeline, streams);
                }
                last = sign;
            }
        }
    }

    fn run_pipeline(&mut self, text: &str, streams: Streams) {
        let tokens = self.tokens(text, streams);
        let commands: Vec<&[Token]> = tokens.split(|token| *token == Token::Sign("|")).collect();
        let (mut started, mut input) = (Vec::new(), None);
        for (index, command) in commands.iter().enumerate() {
            // What only this command has, and the shell until it is started.
            let mut own: Vec<Fd> = input.take().into_iter().collect();
            let mut ends = streams;
            ends[0] = own.first().copied().unwrap_or(streams[0]);
            if index + 1 < commands.len() {
                let (reader, writer) = wasix::check_ok!(pipe());
                self.held.extend([reader, writer]);
                own.push(writer);
                (ends[1], input) = (writer, Some(reader));
            }
            let opened = self.held.len();
            started.push(self.run_command(command, ends));
            own.extend(self.held.drain(opened..));
            self.held.retain(|fd| !own.contains(fd));
            own.into_iter().for_each(|fd| _ = descriptor::close(fd));
        }
        for begun in started {
            self.status = match begun {
                Ok(pid) => self.programs.wait(pid),
                Err(status) => status,
            };
        }
    }

    /// Starts a command; the status, where it has one at once.
    fn run_command(&mut self, tokens: &[Token], mut streams: Streams) -> std::result::Result<u32, u32> {
        let mut words = Vec::new();
        let mut tokens = tokens.iter();
        while let Some(token) = tokens.next() {
            match token {
                Token::Word(word) => words.push(word.clone()),
                Token::Sign("2>&1") => {
                    // Of its own, for what comes later may be where it was.
                    let copy = descriptor::dup(streams[1]).map_err(|_| 1_u32)?;
                    streams[2] = self.hold(copy);
                }
                Token::Sign(sign) => {
                    let Some(Token::Word(path)) = tokens.next() else { return Err(2) };
                    let fd = self.open(sign, path)?;
                    streams[match *sign {
                        "<" => 0,
                        "2>" => 2,
                        _ => 1,
                    }] = fd;
                }
            }
        }
        while let Some((name, value)) = words.first().and_then(|word| assignment(word)) {
            unsafe { std::env::set_var(name, value) };
            words.remove(0);
        }
        match words.first().map(String::as_str) {
            None | Some(":") => Err(0),
            Some("exit") => {
                let status = words.get(1).and_then(|code| code.parse().ok()).unwrap_or(self.status);
                std::process::exit(status.cast_signed());
            }
            Some(name) => {
                let path = std::env::var("PATH").unwrap_or_else(|_| "/bin".to_owned());
                let started = self.programs.start(&words, &path, streams, &self.held);
                started.map_err(|errno| said(name, errno))
            }
        }
    }

    /// Notes that `fd` is the shell's own.
    fn hold(&mut self, fd: Fd) -> Fd {
        self.held.push(fd);
        fd
    }

    fn open(&mut self, sign: &str, path: &str) -> std::result::Result<Fd, u32> {
        use std::os::fd::IntoRawFd as _;
        let opened = match sign {
            "<" => std::fs::File::open(path),
            ">>" => std::fs::OpenOptions::new().append(true).create(true).open(path),
            _ => std::fs::File::create(path),
        };
        match opened {
            Ok(file) => Ok(self.hold(file.into_raw_fd().cast_unsigned())),
            Err(error) => {
                eprintln!("{path}: {error}");
                Err(1)
            }
        }
    }
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// Says why a program did not start; its status.
fn said(name: &str, errno: Errno) -> u32 {
    let (reason, status) = match errno {
        ENOENT => ("not found", 127),
        EACCES | ENOEXEC => ("can't be executed", 126),
        _ => ("can't be started", 1),
    };
    eprintln!("{name}: {reason}");
    status
}
