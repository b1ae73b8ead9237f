//! What is wrong with a file, and where.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use crate::report::Lines;

/// How much of a line is shown, in characters.
const WIDEST: usize = 100;

/// A mistake in a file.
pub(super) struct Mistake {
    /// Where it is, in bytes.
    span: Range<usize>,
    text: String,
}

impl Mistake {
    pub(super) fn new(span: Range<usize>, text: impl Into<String>) -> Self {
        Self { span, text: text.into() }
    }
}

/// The file is no TOML.
impl From<&toml::de::Error> for Mistake {
    fn from(error: &toml::de::Error) -> Self {
        Self::new(error.span().unwrap_or_default(), error.message().replace('\n', "; "))
    }
}

/// A file as it was read.
pub(super) struct Source<'a> {
    path: &'a Path,
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// The number and the text of the line that has this byte.
    pub(super) fn line(&self, at: usize) -> (usize, &'a str) {
        let (number, start, end) = self.bounds(at);
        (number, self.text.get(start..end).unwrap_or_default())
    }

    fn bounds(&self, at: usize) -> (usize, usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |feed| feed + 1);
        let rest = self.text.get(start..).unwrap_or_default();
        let end = start + rest.find(['\n', '\r']).unwrap_or(rest.len());
        (before.matches('\n').count() + 1, start, end)
    }

    /// The mistakes, to print in the order of the file: each with its line, underlined.
    pub(super) fn show(&self, mut mistakes: Vec<Mistake>) -> Lines {
        mistakes.sort_by_key(|mistake| mistake.span.start);
        let mut lines = Lines::default();
        for Mistake { span, text } in &mistakes {
            let (number, start, end) = self.bounds(span.start);
            let part = |from: usize, to: usize| self.text.get(from..to.min(end)).unwrap_or_default();
            // As wide as it is shown.
            let width = |text: &str| text.chars().count();
            let (indent, marked) = (width(part(start, span.start)), width(part(span.start, span.end)).max(1));
            // Of a long line what is around the mistake.
            let skipped = if indent > WIDEST / 2 { indent - WIDEST / 4 } else { 0 };
            let shown: String =
                part(start, end).replace('\t', " ").chars().skip(skipped).take(WIDEST).collect();
            let (indent, marked) = (indent - skipped, marked.min(WIDEST));
            let gutter = " ".repeat(number.to_string().len());
            lines.line(place(self.path, number, text));
            lines.line(format_args!("  {number} | {shown}"));
            lines.line(format_args!("  {gutter} | {}{}", " ".repeat(indent), "^".repeat(marked)));
        }
        lines
    }
}

/// A message about a line of a file.
pub(crate) fn place(path: &Path, line: usize, text: impl Display) -> String {
    format!("wasock: {}:{line}: {text}", path.display())
}
