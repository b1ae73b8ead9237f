//! Text that a guest or a peer chose, made fit for a terminal and for a log.
//!
//! Names of imports, exports, functions, files and hosts are the guest's to choose. A
//! control character among them could move the cursor, change the title of the window or
//! begin a line that looks like one of the host's. [`Escaped`] is the one place that
//! decides what is printed as it is.

use std::fmt::{self, Write};

/// A text that is printed without characters that act on a terminal, hide, reorder what
/// is around them, or end the line.
///
/// Escaped are control characters (C0, DEL, C1; the line feed is one), the line and
/// paragraph separators, the controls of writing direction, and all that Unicode
/// displays as nothing. They are written as Rust writes them: `\n`, `\u{1b}`. The rest
/// stays as it is, quotes, backslashes and letters of any script included, so that
/// escaping twice changes nothing.
///
/// ```
/// use wasock::observe::Escaped;
///
/// assert_eq!(Escaped("a\u{1b}[2J\nb").to_string(), r"a\u{1b}[2J\nb");
/// assert_eq!(Escaped("ümlaut").to_string(), "ümlaut");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// The beginning of a text, escaped, with `..` where there is more: for a line that says something else
/// besides. A name in a module may have a hundred thousand bytes, of which each may take ten characters here.
pub(crate) struct Excerpt<T> {
    text: T,
    /// In characters, as printed.
    most: usize,
}

impl<T> Excerpt<T> {
    /// Of a name that a guest chose.
    pub(crate) fn name(text: T) -> Self {
        Self { text, most: 256 }
    }

    /// Of a sentence, which may quote names.
    pub(crate) fn sentence(text: T) -> Self {
        Self { text, most: 1024 }
    }
}

impl<T: fmt::Display> fmt::Display for Excerpt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut beginning = Beginning { to: f, left: self.most, is_cut: false };
        // What is cut ends with an error, so that nothing is made of the rest.
        match write!(Escaping(&mut beginning), "{}", self.text) {
            Err(_) if beginning.is_cut => f.write_str(".."),
            written => written,
        }
    }
}

/// Takes so many characters, and fails with the next one.
struct Beginning<'a, W> {
    to: &'a mut W,
    left: usize,
    is_cut: bool,
}

impl<W: Write> Write for Beginning<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.char_indices().nth(self.left).map(|(end, _)| end);
        let fits = end.and_then(|end| text.get(..end)).unwrap_or(text);
        self.to.write_str(fits)?;
        self.left = self.left.saturating_sub(fits.chars().count());
        self.is_cut = end.is_some();
        if self.is_cut { Err(fmt::Error) } else { Ok(()) }
    }
}

/// A text in quotes, in which quotes and backslashes are escaped too.
pub(crate) struct Quoted<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write!(Quoting(f), "{}", self.0)?;
        f.write_char('"')
    }
}

/// Would [`Escaped`] print `text` as it is?
pub(crate) fn is_printable(text: &str) -> bool {
    !text.contains(is_escaped)
}

/// Escapes what is written to it.
struct Escaping<'a, W>(&'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((plain, special)) = rest.find(is_escaped).and_then(|at| rest.split_at_checked(at)) {
            self.0.write_str(plain)?;
            let mut chars = special.chars();
            if let Some(special) = chars.next() {
                write!(self.0, "{}", special.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// The same for a text in quotes.
struct Quoting<'a, W>(&'a mut W);

impl<W: Write> Write for Quoting<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(['"', '\\']) {
            let plain = part.strip_suffix(['"', '\\']).unwrap_or(part);
            Escaping(&mut *self.0).write_str(plain)?;
            if let Some(special) = part.get(plain.len()..).filter(|it| !it.is_empty()) {
                self.0.write_char('\\')?;
                self.0.write_str(special)?;
            }
        }
        Ok(())
    }
}

/// Does `c` have an effect on a terminal other than being displayed?
///
/// These are the general categories Cc, Zl and Zp of Unicode, its property
/// Default_Ignorable_Code_Point (which holds the controls of writing direction and what
/// has no width) and the annotation characters.
fn is_escaped(c: char) -> bool {
    match c {
        ' '..='~' => false,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        let controls = ('\0'..'\u{20}').chain('\u{7f}'..='\u{9f}');
        let bidi = ['\u{61c}', '\u{200e}', '\u{200f}']
            .into_iter()
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}');
        let separators = ['\u{2028}', '\u{2029}'];
        let invisible = ['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}', '\u{e0041}'];
        for c in controls.chain(bidi).chain(separators).chain(invisible) {
            let shown = Escaped(c).to_string();
            assert_eq!(shown, c.escape_default().to_string());
            assert!(shown.chars().all(|c| c.is_ascii_graphic()), "{shown}");
            assert!(!is_printable(&format!("a{c}b")), "{shown}");
        }
    }

    #[test]
    fn what_is_seen_stays() {
        for text in ["", "plain \"text\" with \\ and 'quotes'", "ümlaut", "日本語", "हिन्दी", "e\u{301}", "🦀"]
        {
            assert_eq!(Escaped(text).to_string(), text);
            assert!(is_printable(text));
        }
    }

    #[test]
    fn escaping_twice_changes_nothing() {
        let once = Escaped("\x1b]0;title\x07\r\nwasock: forged\u{202e}").to_string();
        assert_eq!(once, r"\u{1b}]0;title\u{7}\r\nwasock: forged\u{202e}");
        assert_eq!(Escaped(&once).to_string(), once);
    }

    #[test]
    fn an_excerpt_is_cut_by_what_is_printed_of_it() {
        let whole = "ü".repeat(256);
        assert_eq!(Excerpt::name(&whole).to_string(), whole);
        assert_eq!(Excerpt::name(format!("{whole}x")).to_string(), whole + "..");
        assert_eq!(Excerpt::name("").to_string(), "");
        let controls = Excerpt::name("\u{1b}".repeat(100_000)).to_string();
        assert_eq!(controls, r"\u{1b}".repeat(43).split_at(256).0.to_owned() + "..");
        assert_eq!(Excerpt::sentence("a".repeat(1025)).to_string().len(), 1026);
        assert_eq!(Excerpt::sentence(format_args!("{}{}", "a", "b\n")).to_string(), r"ab\n");
    }

    #[test]
    fn quotes_are_escaped_inside_of_quotes() {
        assert_eq!(Quoted("a\"b\\c\nd").to_string(), r#""a\"b\\c\nd""#);
        assert_eq!(Quoted("").to_string(), r#""""#);
        assert_eq!(Quoted("\\\"").to_string(), r#""\\\"""#);
    }
}
