//! The token that a change needs over an address, where the system does not say which user connects.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// How many bytes of a token come from the system's generator.
const BYTES: usize = 32;

/// A secret of this process's.
pub(crate) struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    ///
    /// Where the system has no randomness to read.
    pub(crate) fn new() -> Result<Self> {
        let mut bytes = [0; BYTES];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut bytes))
            .context("cannot read /dev/urandom")?;
        let mut text = String::with_capacity(2 * BYTES);
        for byte in bytes {
            write!(text, "{byte:02x}")?;
        }
        Ok(Self(text))
    }

    /// Is that the token? It takes the same time wherever they differ.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let difference = own.iter().zip(given).fold(0, |all, (one, other)| all | (one ^ other));
        own.len() == given.len() && difference == 0
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// A file with a token, which goes with its host.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    file: (u64, u64),
}

impl TokenFile {
    /// Writes `token` to a file at `path` that this user alone can read, in the place of one that may be
    /// there.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub(super) fn write(path: &Path, token: &Token) -> Result<Self> {
        let name = path.file_name().context("the name of the file is missing")?.to_string_lossy();
        let first = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let _left_over = fs::remove_file(&first);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&first)?;
        let mut write = || {
            writeln!(file, "{}", token.text())?;
            let written = file.metadata()?;
            fs::rename(&first, path)?;
            Ok(Self { path: path.to_owned(), file: (written.dev(), written.ino()) })
        };
        let written = write();
        if written.is_err() {
            let _gone = fs::remove_file(&first);
        }
        written
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.file) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// Where the token of a host at `address` is, where the operator does not say.
pub(crate) fn default_path(address: SocketAddr) -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty())?;
    Some(PathBuf::from(folder).join(format!(
        "wasock-{}-{}.token",
        address.ip().to_canonical(),
        address.port()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_token_is_itself_alone() -> Result<()> {
        let (one, other) = (Token::new()?, Token::new()?);
        assert!(one.text().len() == 64 && one.is(one.text().as_bytes()));
        assert!(!one.is(other.text().as_bytes()) && !one.is(b""));
        assert!(one.text().as_bytes().split_last().is_some_and(|(_, shorter)| !one.is(shorter)));
        Ok(())
    }

    #[test]
    fn its_file_is_for_this_user_alone_and_goes() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("token");
        // A link that is there is replaced, and what it leads to stays as it is.
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "other")?;
        std::os::unix::fs::symlink(&elsewhere, &path)?;
        let token = Token::new()?;
        let file = TokenFile::write(&path, &token)?;
        assert_eq!(fs::symlink_metadata(&path)?.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path)?.trim(), token.text());
        assert_eq!(fs::read_to_string(&elsewhere)?, "other");
        drop(file);
        assert!(!path.exists() && elsewhere.exists());
        // Where a directory is in its place, the token stays nowhere.
        fs::create_dir(&path)?;
        assert!(TokenFile::write(&path, &token).is_err());
        assert_eq!(fs::read_dir(folder.path())?.count(), 2);
        Ok(())
    }
}
