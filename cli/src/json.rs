//! JSON whose strings are harmless on a terminal too.

use std::fmt::{self, Write as _};

use wasock::observe::Escaped;

/// A value.
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Json>),
    /// Its fields in this order.
    Object(Vec<(&'static str, Json)>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Json {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// In lines, two spaces for each level; as `{:#}` in one line.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Json {
    fn write(&self, f: &mut fmt::Formatter<'_>, level: usize) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(text) => write_text(f, text),
            Self::List(values) => {
                enclosed(f, level, ['[', ']'], values, |f, value| value.write(f, level + 1))
            }
            Self::Object(fields) => enclosed(f, level, ['{', '}'], fields, |f, (name, value)| {
                write_text(f, name)?;
                f.write_str(if f.alternate() { ":" } else { ": " })?;
                value.write(f, level + 1)
            }),
        }
    }
}

fn enclosed<T>(
    f: &mut fmt::Formatter<'_>,
    level: usize,
    [open, close]: [char; 2],
    items: &[T],
    item: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_char(open)?;
    for (index, value) in items.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        match f.alternate() {
            true => f.write_str(comma)?,
            false => write!(f, "{comma}\n{:1$}", "", 2 * (level + 1))?,
        }
        item(f, value)?;
    }
    if !items.is_empty() && !f.alternate() {
        write!(f, "\n{:1$}", "", 2 * level)?;
    }
    f.write_char(close)
}

/// A reader gets the text as it was. What [`Escaped`] would escape is escaped here too, in the
/// way of JSON.
fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            write!(f, "\\{letter}")?;
        } else if Escaped(letter).to_string().starts_with(letter) {
            f.write_char(letter)?;
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(f, "\\u{unit:04x}")?;
            }
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_harmless_and_comes_back() -> Result<(), serde_json::Error> {
        for text in ["", "fd_close", "a\"b\\c", "\u{1b}[31m\nwasock: forged", "\u{202e}", "ümlaut\u{e0001}"]
        {
            let written = Json::from(text).to_string();
            assert_eq!(written, Escaped(&written).to_string(), "{text:?}");
            assert_eq!(serde_json::from_str::<String>(&written)?, text);
        }
        Ok(())
    }

    #[test]
    fn values_are_json() -> Result<(), serde_json::Error> {
        let value = Json::Object(vec![
            ("none", Json::from(None::<&str>)),
            ("empty", Json::List(Vec::new())),
            ("list", Json::List(vec![Json::Bool(true), Json::Number(1), Json::Object(Vec::new())])),
        ]);
        let expected = serde_json::json!({"none": null, "empty": [], "list": [true, 1, {}]});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&value.to_string())?, expected);
        Ok(())
    }
}
