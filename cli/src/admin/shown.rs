//! Texts and amounts, to be read.

use std::fmt;

/// A text in which nothing is markup, between tags and in a quoted attribute.
pub(super) struct Html<'a>(pub(super) &'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['&', '<', '>', '"', '\'']) {
            let plain = part.strip_suffix(['&', '<', '>', '"', '\'']).unwrap_or(part);
            f.write_str(plain)?;
            f.write_str(match part.get(plain.len()..) {
                Some("&") => "&amp;",
                Some("<") => "&lt;",
                Some(">") => "&gt;",
                Some("\"") => "&quot;",
                Some("'") => "&#39;",
                _ => "",
            })?;
        }
        Ok(())
    }
}

/// A number of bytes, to read.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 >> shift > 0) {
            Some((shift, unit)) => {
                let tenths = (u128::from(self.0) * 10) >> shift;
                write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
            }
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A time, to read.
pub(crate) struct Span(pub(crate) f64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds < 60.0 => write!(f, "{seconds:.0} s"),
            seconds if seconds < 3600.0 => write!(f, "{:.0} min", seconds / 60.0),
            seconds if seconds < 86400.0 => write!(f, "{:.1} h", seconds / 3600.0),
            seconds => write!(f, "{:.1} d", seconds / 86400.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        let hostile = "</td><script>alert(1)</script>\"'&";
        let escaped = Html(hostile).to_string();
        assert_eq!(escaped, "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;");
        assert_eq!(Html("plain ümlaut").to_string(), "plain ümlaut");
        assert_eq!(Html("").to_string(), "");
    }

    #[test]
    fn amounts_can_be_read() {
        let bytes = [0, 1023, 1024, 1536, 1 << 30].map(|it| Bytes(it).to_string());
        assert_eq!(bytes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 GiB"]);
        let spans = [0.4, 59.0, 90.0, 7200.0, 86400.0 * 2.5].map(|it| Span(it).to_string());
        assert_eq!(spans, ["0 s", "59 s", "2 min", "2.0 h", "2.5 d"]);
    }
}
