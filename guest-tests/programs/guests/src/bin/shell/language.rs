//! The language of a small shell: pipelines, `&&`, `||`, redirections, quotes, variables, `$?` and `$(…)`.

use std::collections::VecDeque;

use wasix::errno::{EACCES, ENOENT, ENOEXEC};
use wasix::wait::pipe;
use wasix::{Errno, Fd, Result, descriptor};

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

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `|`, `&&`, `||`, `;`, `<`, `>`, `>>`, `2>`, `2>&1`.
    Sign(&'static str),
}

/// The longest first.
const SIGNS: [&str; 9] = ["2>&1", "2>", ">>", "&&", "||", "|", ";", "<", ">"];

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

    fn tokens(&mut self, text: &str, streams: Streams) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with('#') {
                return tokens;
            }
            if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                tokens.push(Token::Sign(sign));
                rest = &rest[sign.len()..];
                continue;
            }
            let (words, after) = self.word(rest, streams);
            if after.len() == rest.len() {
                eprintln!("{rest}: this shell does not know that");
                std::process::exit(2);
            }
            tokens.extend(words.into_iter().map(Token::Word));
            rest = after;
        }
    }

    /// The word at the start of `text`, or those that an expansion makes of it, and what follows.
    fn word<'t>(&mut self, text: &'t str, streams: Streams) -> (Vec<String>, &'t str) {
        let (mut words, mut word, mut is_word) = (Vec::new(), String::new(), false);
        let (mut rest, mut is_quoted) = (text, false);
        while let Some(first) = rest.chars().next() {
            let ends = first.is_whitespace() || "|;<>&".contains(first);
            if !is_quoted && ends {
                break;
            }
            rest = &rest[first.len_utf8()..];
            match first {
                '"' => (is_quoted, is_word) = (!is_quoted, true),
                '\'' if !is_quoted => {
                    let (inside, after) = rest.split_once('\'').unwrap_or((rest, ""));
                    word.push_str(inside);
                    (rest, is_word) = (after, true);
                }
                '\\' => {
                    let next = rest.chars().next().unwrap_or('\\');
                    word.push(next);
                    rest = rest.get(next.len_utf8()..).unwrap_or_default();
                    is_word = true;
                }
                '$' => {
                    let (value, after) = self.expanded(rest, streams);
                    rest = after;
                    if is_quoted {
                        word.push_str(&value);
                        continue;
                    }
                    let mut parts = value.split_whitespace().peekable();
                    while let Some(part) = parts.next() {
                        word.push_str(part);
                        is_word = true;
                        if parts.peek().is_some() {
                            words.push(std::mem::take(&mut word));
                        }
                    }
                }
                other => {
                    word.push(other);
                    is_word = true;
                }
            }
        }
        if is_word {
            words.push(word);
        }
        (words, rest)
    }

    /// What the expansion at the start of `text` is, which follows a `$`, and what comes after it.
    fn expanded<'t>(&mut self, text: &'t str, streams: Streams) -> (String, &'t str) {
        if let Some(inside) = text.strip_prefix('(') {
            let end = closing(inside);
            let commands = &inside[..end];
            return (self.output_of(commands, streams), inside.get(end + 1..).unwrap_or_default());
        }
        if let Some(inside) = text.strip_prefix('{') {
            let (name, after) = inside.split_once('}').unwrap_or((inside, ""));
            return (self.value(name), after);
        }
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let length = match text.chars().next() {
            Some('?' | '#' | '@' | '$') => 1,
            Some(digit) if digit.is_ascii_digit() => 1,
            _ => text.find(|letter| !is_name(letter)).unwrap_or(text.len()),
        };
        if length == 0 {
            return ("$".to_owned(), text);
        }
        (self.value(&text[..length]), &text[length..])
    }

    fn value(&self, name: &str) -> String {
        match name {
            "?" => self.status.to_string(),
            "#" => (self.arguments.len() - 1).to_string(),
            "@" => self.arguments[1..].join(" "),
            name => match name.parse::<usize>() {
                Ok(index) => self.arguments.get(index).cloned().unwrap_or_default(),
                Err(_) => std::env::var(name).unwrap_or_default(),
            },
        }
    }

    /// What commands print, without line feeds at its end. It is to find room in a pipe.
    fn output_of(&mut self, commands: &str, streams: Streams) -> String {
        let (reader, writer) = wasix::check_ok!(pipe());
        let own = self.held.len();
        self.held.extend([reader, writer]);
        self.run_text(commands, [streams[0], writer, streams[2]]);
        self.held.truncate(own);
        let _closed = descriptor::close(writer);
        let (mut text, mut part) = (Vec::new(), [0; 1024]);
        while let Ok(count @ 1..) = descriptor::read(reader, &mut part) {
            text.extend_from_slice(&part[..count]);
        }
        let _closed = descriptor::close(reader);
        String::from_utf8_lossy(&text).trim_end_matches('\n').to_owned()
    }
}

/// The pipeline at the start of `text`, the sign that ends it, and what follows.
fn split(text: &str) -> (&str, &'static str, &str) {
    let (mut at, mut quote) = (0, None);
    while let Some(letter) = text[at..].chars().next() {
        let rest = &text[at..];
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            ('\\', _) => at += 1,
            (_, Some('\'')) => {}
            ('$', _) if rest.starts_with("$(") => at += 2 + closing(&rest[2..]),
            ('"' | '\'', None) => quote = Some(letter),
            (_, None) => {
                if let Some(sign) = ["&&", "||", ";"].into_iter().find(|sign| rest.starts_with(sign)) {
                    return (&text[..at], sign, &rest[sign.len()..]);
                }
            }
            _ => {}
        }
        at = (at + letter.len_utf8()).min(text.len());
    }
    (text, ";", "")
}

/// Where the bracket ends that begins before `text`.
fn closing(text: &str) -> usize {
    let mut depth = 1;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
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
