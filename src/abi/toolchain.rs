//! Which toolchain made a module, according to its custom sections.

/// The magic number of a module and its version.
const HEADER: usize = 8;

/// The number of a custom section.
const CUSTOM: u8 = 0;

/// Did the toolchain of Go make `module`?
///
/// Its linker writes the build's number into a section `go:buildid`, before all others, and
/// the language into `producers` ("language", "The source-level language(s)": `Go` -
/// WebAssembly tool conventions). Either is enough; malformed sections are ignored. A module
/// that a strip tool took both from is not known.
pub(crate) fn is_go(module: &[u8]) -> bool {
    let Some(mut rest) = module.get(HEADER..).map(SectionReader) else { return false };
    while let (Some(id), Some(mut section)) = (rest.byte(), rest.bytes().map(SectionReader)) {
        if id != CUSTOM {
            continue;
        }
        match section.bytes() {
            Some(b"go:buildid") => return true,
            Some(b"producers") if names_go(&mut section).unwrap_or(false) => return true,
            _ => {}
        }
    }
    false
}

/// Is Go one of the languages that a section `producers` names?
fn names_go(producers: &mut SectionReader<'_>) -> Option<bool> {
    for _ in 0..producers.number()? {
        let field = producers.bytes()?;
        for _ in 0..producers.number()? {
            let (value, _version) = (producers.bytes()?, producers.bytes()?);
            if (field, value) == (b"language", b"Go") {
                return Some(true);
            }
        }
    }
    Some(false)
}

/// Bytes that are left to be read.
struct SectionReader<'a>(&'a [u8]);

impl<'a> SectionReader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number of 32 bits in LEB128.
    fn number(&mut self) -> Option<u32> {
        let mut number: u32 = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            let bits = u32::from(byte & 0x7f);
            number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Bytes after their count.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, or any other bytes, after their count.
    fn counted(bytes: &[u8]) -> Vec<u8> {
        [&[u8::try_from(bytes.len()).unwrap_or(0)], bytes].concat()
    }

    fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in sections {
            module.push(*id);
            module.extend(counted(content));
        }
        module
    }

    fn producers(field: &str, value: &str) -> Vec<u8> {
        let values = [vec![1], counted(value.as_bytes()), counted(b"1.27")].concat();
        [counted(b"producers"), vec![1], counted(field.as_bytes()), values].concat()
    }

    #[test]
    fn go_is_known_by_either_section() {
        let build = [counted(b"go:buildid"), b"\xff Go build ID".to_vec()].concat();
        let types = (1, vec![0]);
        assert!(is_go(&module(&[(0, build.clone()), types.clone()])));
        assert!(is_go(&module(&[types.clone(), (0, producers("language", "Go"))])));
        for other in [producers("language", "Rust"), producers("sdk", "Go"), counted(b"name")] {
            assert!(!is_go(&module(&[types.clone(), (0, other)])));
        }
        // A section of another kind that begins so.
        assert!(!is_go(&module(&[(1, build)])));
    }

    /// The linker pads its sizes.
    #[test]
    fn sizes_may_be_padded() {
        let content = [counted(b"go:buildid"), vec![b'x'; 3]].concat();
        let size = [0x80 | u8::try_from(content.len()).unwrap_or(0), 0x80, 0x80, 0x80, 0];
        let padded = [b"\0asm\x01\0\0\0\0".as_slice(), &size, &content].concat();
        assert!(is_go(&padded));
    }

    #[test]
    fn malformed_sections_are_ignored() {
        let whole = module(&[(1, vec![0]), (0, producers("language", "Go"))]);
        for end in 0..whole.len() {
            assert!(!is_go(whole.get(..end).unwrap_or_default()), "cut at {end}");
        }
        assert!(!is_go(b"\0asm\x01\0\0\0\0\xff\xff\xff\xff\xff\xff"));
        assert!(!is_go(b"\0asm\x01\0\0\0\0\xff\xff\xff\xff\x1f"));
    }
}
