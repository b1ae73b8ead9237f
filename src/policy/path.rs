//! Paths as an operator writes them: `/run/app.sock`, `/run/*`, `*`.

use std::fmt;
use std::str::FromStr;

use crate::error::ParseError;

/// Whole paths of the guest: one, all names in a directory, or all there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathPattern {
    Any,
    In(String),
    One(String),
}

impl PathPattern {
    /// The directory whose names it covers, and the name there where it is one; `None` where
    /// it covers every path.
    pub(super) fn parts(&self) -> Option<PathParts<'_>> {
        match self {
            Self::Any => None,
            Self::In(directory) => Some(PathParts { directory, name: None }),
            Self::One(path) => {
                let (directory, name) = path.rsplit_once('/')?;
                Some(PathParts { directory, name: Some(name) })
            }
        }
    }

    /// Is this whole path, without `.` and `..`, among them?
    pub(super) fn covers(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => path == one,
            Self::In(directory) => path
                .strip_prefix(directory.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| !name.is_empty() && !name.contains('/')),
        }
    }
}

/// What a pattern covers: names in one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathParts<'a> {
    /// The whole path of the directory, without a slash at its end: the root is empty.
    pub directory: &'a str,
    /// The name; `None` for all that are there.
    pub name: Option<&'a str>,
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::In(directory) => write!(f, "{directory}/*"),
            Self::One(path) => f.write_str(path),
        }
    }
}

fn expected(text: &str, what: &str) -> ParseError {
    ParseError::new(format!(
        "unix:{text}: {what}; expected unix:PATH with a path of the guest, as in unix:/run/app.sock, \
         unix:/run/* or unix:*"
    ))
}

/// A relative path is one from the root on, as are names of directories.
impl FromStr for PathPattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let Some((last, before)) = parts.split_last() else {
            return Err(expected(text, "the path is missing"));
        };
        if parts.contains(&"..") {
            return Err(expected(text, "a path without .. is needed"));
        }
        if text.ends_with('/') {
            return Err(expected(text, "a socket is no directory"));
        }
        if before.contains(&"*") {
            return Err(expected(text, "* stands for a name at the end"));
        }
        let directory: String = before.iter().flat_map(|part| ["/", part]).collect();
        Ok(if *last == "*" { Self::In(directory) } else { Self::One(format!("{directory}/{last}")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, path: &str) -> Result<bool, ParseError> {
        Ok(pattern.parse::<PathPattern>()?.covers(path))
    }

    #[test]
    fn one_path_is_itself_alone() -> Result<(), ParseError> {
        for pattern in ["/run/app.sock", "run/app.sock", "/run/./app.sock", "//run//app.sock"] {
            assert!(covers(pattern, "/run/app.sock")?, "{pattern}");
            assert!(!covers(pattern, "/run/app.sock2")?, "{pattern}");
            assert!(!covers(pattern, "/run/app.sock/x")?, "{pattern}");
            assert!(!covers(pattern, "/app.sock")?, "{pattern}");
        }
        Ok(())
    }

    #[test]
    fn a_star_is_a_name_in_the_directory() -> Result<(), ParseError> {
        assert!(covers("/run/*", "/run/a")?);
        assert!(!covers("/run/*", "/run/a/b")?);
        assert!(!covers("/run/*", "/run")?);
        assert!(!covers("/run/*", "/runner/a")?);
        assert!(covers("/*", "/a")?);
        assert!(!covers("/*", "/run/a")?);
        assert!(covers("*", "/run/a/b")?);
        Ok(())
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "/", ".", "..", "/run/../x", "/run/", "/*/x", "/run/*/"] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
    }
}
