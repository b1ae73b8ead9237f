//! `--env-file`: variables of the guest's environment, one a line.

use std::path::{Path, PathBuf};

use crate::text_file;

/// The variables of a file.
#[derive(Clone, Debug)]
pub(crate) struct Variables {
    pub(crate) path: PathBuf,
    /// In its order.
    pub(crate) all: Vec<(String, String)>,
}

/// Reads a file of lines `NAME=VALUE`. Empty lines and those that begin with `#` are passed over; a
/// value is taken as it is, quotes included.
///
/// # Errors
///
/// Why it can't be read, or which line is no variable.
pub(crate) fn read(path: &str) -> Result<Variables, String> {
    let path = Path::new(path);
    let text = text_file::read(path).map_err(|error| error.to_string())?;
    Ok(Variables { path: path.to_owned(), all: parse(&text)? })
}

fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                variables.push((name.trim().to_owned(), value.to_owned()));
            }
            _ => return Err(format!("line {}: expected NAME=VALUE", index + 1)),
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_variable() {
        let variables = [("A", "1"), ("B", "\"x y\""), ("C", ""), ("D", "a=b")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse("A=1\n\n# no\n  B=\"x y\"\r\nC=\nD=a=b"), Ok(variables.to_vec()));
        assert_eq!(parse("A=1\nB\n"), Err("line 2: expected NAME=VALUE".to_owned()));
        assert_eq!(parse("=1"), Err("line 1: expected NAME=VALUE".to_owned()));
    }
}
