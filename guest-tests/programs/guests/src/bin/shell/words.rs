//! Words and signs of a line: quotes, variables and `$(…)`.

use wasix::descriptor;
use wasix::wait::pipe;

use super::{Programs, Shell, Streams};

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// `|`, `&&`, `||`, `;`, `<`, `>`, `>>`, `2>`, `2>&1`.
    Sign(&'static str),
}

/// The longest first.
const SIGNS: [&str; 9] = ["2>&1", "2>", ">>", "&&", "||", "|", ";", "<", ">"];

impl<P: Programs> Shell<'_, P> {
    /// The words and signs of one pipeline.
    pub(super) fn tokens(&mut self, text: &str, streams: Streams) -> Vec<Token> {
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
pub(super) fn split(text: &str) -> (&str, &'static str, &str) {
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
