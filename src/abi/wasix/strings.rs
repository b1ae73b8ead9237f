//! Arguments and environments, as programs pass them.

use wiggle::{GuestMemory, GuestPtr};

use crate::abi::memory::{check_out, read_bytes, read_text};
use crate::error::{Errno, Error};

/// The most bytes of all strings of one call, each with its end. "E2BIG: The number of bytes used by the new process
/// image's argument list and environment list is greater than the system-imposed limit of {ARG_MAX} bytes." - exec(3p)
const MOST_BYTES: u32 = 256 * 1024;

/// The most strings of one call.
const MOST_STRINGS: u32 = 16 * 1024;

/// The strings; none where the program passed a null pointer.
pub(super) type Strings = Result<Option<Vec<String>>, Error>;

/// Strings in one, each followed by a line feed.
///
/// # Errors
///
/// `E2BIG`; `EINVAL` for a NUL inside; `EILSEQ` for what is not UTF-8; a trap outside of the memory.
pub(super) fn from_lines(memory: &GuestMemory<'_>, lines: GuestPtr<str>) -> Strings {
    if lines.offset().0 == 0 {
        return Ok(None);
    }
    let bytes = read_bytes(memory, lines.as_bytes(), MOST_BYTES, Errno::E2BIG)?;
    Ok(Some(split(text(bytes)?)?))
}

fn split(lines: String) -> Result<Vec<String>, Errno> {
    if lines.contains('\0') {
        return Err(Errno::EINVAL);
    }
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    // One ends the last string; an empty string before it is one.
    let lines = lines.strip_suffix('\n').unwrap_or(&lines);
    if lines.split('\n').count() > usize::try_from(MOST_STRINGS).unwrap_or(usize::MAX) {
        return Err(Errno::E2BIG);
    }
    Ok(lines.split('\n').map(str::to_owned).collect())
}

/// An array of pointers to strings, each of which ends with a NUL.
///
/// # Errors
///
/// As for [`from_lines`].
pub(super) fn from_array(memory: &GuestMemory<'_>, pointers: GuestPtr<[u32]>) -> Strings {
    let (start, count) = pointers.offset();
    if start == 0 {
        return Ok(None);
    }
    if count > MOST_STRINGS {
        return Err(Errno::E2BIG.into());
    }
    check_out(memory, start, count * 4)?;
    let mut left = MOST_BYTES;
    let mut strings = Vec::new();
    for pointer in pointers.iter() {
        let string = memory.read(pointer?)?;
        // A null pointer ends the array, as in C.
        if string == 0 {
            break;
        }
        let bytes = read_text(memory, GuestPtr::new(string), left, Errno::E2BIG)?;
        left = left.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).saturating_sub(1);
        strings.push(text(bytes)?);
    }
    Ok(Some(strings))
}

fn text(bytes: Vec<u8>) -> Result<String, Errno> {
    String::from_utf8(bytes).map_err(|_| Errno::EILSEQ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_strings() {
        let strings = |lines: &str| split(String::from(lines));
        let owned = |strings: &[&str]| Ok(strings.iter().map(|&string| string.to_owned()).collect());
        assert_eq!(strings(""), Ok(Vec::new()));
        assert_eq!(strings("\n"), owned(&[""]));
        assert_eq!(strings("echo\nhi\n"), owned(&["echo", "hi"]));
        assert_eq!(strings("echo\nhi"), owned(&["echo", "hi"]));
        assert_eq!(strings("echo\n\n"), owned(&["echo", ""]));
        assert_eq!(strings("a\r\nb\n"), owned(&["a\r", "b"]));
        assert_eq!(strings("a\0b"), Err(Errno::EINVAL));
        assert_eq!(strings(&"\n".repeat(20_000)), Err(Errno::E2BIG));
    }
}
