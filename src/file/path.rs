//! The form that a guest's path must have, before the file system sees it.
//!
//! Which paths leave the granted directory is not decided here: `..` and symbolic links mean
//! something only while they are resolved, and cap-std does that. Its refusal of an escape carries
//! no error number of the operating system and becomes `EPERM`. An absolute path leaves the
//! directory by its form and has the same error. The WASI test suite expects `EPERM` in both cases,
//! and Wasmtime returns it; `ENOTCAPABLE` remains the error for a missing right.

use crate::error::Errno;
use std::path::Path;

/// Checks the form of a path, or of the text of a symbolic link.
///
/// # Errors
///
/// `ENOENT` for the empty path, `EINVAL` for a NUL inside, `ENAMETOOLONG` past
/// [`PATH_MAX`], `EPERM` for an absolute path.
pub(super) fn check(path: &str) -> Result<&Path, Errno> {
    // ENOENT: "path points to an empty string" - open(3p)
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    // POSIX can't express a NUL in a path. Cutting the path there would name
    // another file than the guest asked for.
    if path.contains('\0') {
        return Err(Errno::EINVAL);
    }
    // ENAMETOOLONG: "The length of a pathname exceeds {PATH_MAX}" - open(3p)
    if path.len() >= PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if path.starts_with('/') {
        return Err(Errno::EPERM);
    }
    Ok(Path::new(path))
}

/// Returns whether a path ends in a slash, and so asks for a directory.
///
/// "A pathname that contains at least one non-<slash> character and that ends
/// with one or more trailing <slash> characters shall not be resolved
/// successfully unless the last pathname component [...] names an existing
/// directory" - XBD 4.13
pub(super) fn has_trailing_slash(path: &str) -> bool {
    path.ends_with('/')
}

/// The bytes of the longest path with its terminator, as on Linux.
const PATH_MAX: usize = 4096;

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_path_names_nothing() {
        assert_eq!(check(""), Err(Errno::ENOENT));
    }

    #[test]
    fn a_nul_is_refused_wherever_it_stands() {
        assert_eq!(check("a\0"), Err(Errno::EINVAL));
        assert_eq!(check("\0a"), Err(Errno::EINVAL));
        assert_eq!(check("a\0b"), Err(Errno::EINVAL));
    }

    #[test]
    fn the_longest_path_leaves_space_for_its_terminator() {
        assert!(check(&"a".repeat(4095)).is_ok());
        assert_eq!(check(&"a".repeat(4096)), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn an_absolute_path_is_not_permitted() {
        assert_eq!(check("/"), Err(Errno::EPERM));
        assert_eq!(check("/etc/passwd"), Err(Errno::EPERM));
    }

    #[test]
    fn relative_paths_pass_as_they_are() {
        for path in [".", "..", "a", "a/", "a/../b", "../a", "ä/ü"] {
            assert_eq!(check(path), Ok(Path::new(path)));
        }
    }

    #[test]
    fn trailing_slashes_are_seen() {
        assert!(has_trailing_slash("a/"));
        assert!(has_trailing_slash("a//"));
        assert!(!has_trailing_slash("a/."));
        assert!(!has_trailing_slash("a/b"));
    }
}
