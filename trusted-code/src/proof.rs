//! What is proven of a file before its code is loaded.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::code::CodeFile;
use crate::trailer::{self, Trailer, digest_of};
use crate::{Code, Key, Secret};

/// How many bytes are looked at in one go: they are still in the processor's cache when they are digested.
const PORTION: usize = 128 << 10;

/// Loads the code of `key`, by `map` if the system lets it. The file is one that cannot change any more. With a
/// `secret` its trailer is a seal by that, and otherwise its place has proven who has written it.
pub(crate) fn load<T>(
    file: File,
    key: &Key,
    secret: Option<&Secret>,
    map: impl FnOnce(CodeFile) -> wasmtime::Result<T>,
    copy: impl FnOnce(&Code<'_>) -> wasmtime::Result<T>,
) -> io::Result<T> {
    check(&file, key, secret)?;
    let again = file.try_clone()?;
    if let Ok(mapped) = map(CodeFile::proven(file)) {
        return Ok(mapped);
    }
    // A file system may forbid to execute what is mapped from it. Then a copy is what there is.
    let code = code(&again, key, secret)?;
    copy(&code).map_err(|error| io::Error::other(format!("{error:#}")))
}

/// The code in a file, which is the one that was written for `key`.
pub(crate) fn code(file: &File, key: &Key, secret: Option<&Secret>) -> io::Result<Code<'static>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    let (code, trailer) = Trailer::split(&bytes).ok_or_else(changed)?;
    let digest = digest_of(key, secret).update(code).finalize();
    if digest != trailer.digest {
        return Err(changed());
    }
    bytes.truncate(code.len());
    Ok(Code::proven(key.kind(), bytes))
}

/// Is the code in a file the one that was written for `key`?
fn check(file: &File, key: &Key, secret: Option<&Secret>) -> io::Result<()> {
    let length = file.metadata()?.len();
    let end = u64::try_from(trailer::LENGTH).map_err(io::Error::other)?;
    let code_length = length.checked_sub(end).ok_or_else(changed)?;
    let mut bytes = [0; trailer::LENGTH];
    file.read_exact_at(&mut bytes, code_length)?;
    let trailer =
        Trailer::decode(&bytes).filter(|found| found.code_length == code_length).ok_or_else(changed)?;
    let mut digest = digest_of(key, secret);
    let mut portion = vec![0; PORTION];
    let mut at = 0;
    while at < code_length {
        let most = usize::try_from(code_length - at).unwrap_or(PORTION).min(PORTION);
        let some = portion.get_mut(..most).ok_or_else(changed)?;
        file.read_exact_at(some, at)?;
        digest.update(some);
        at += u64::try_from(most).map_err(io::Error::other)?;
    }
    // This comparison takes as long wherever the two differ.
    if digest.finalize() == trailer.digest { Ok(()) } else { Err(changed()) }
}

pub(crate) fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not as it was written")
}
