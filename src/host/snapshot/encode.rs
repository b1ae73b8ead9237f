//! Numbers and sections as the core specification writes them.

/// An unsigned number in LEB128.
pub(in crate::host) fn unsigned(written: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        if value == 0 {
            return written.push(low);
        }
        written.push(low | 0x80);
    }
}

/// A signed number in LEB128.
pub(in crate::host) fn signed(written: &mut Vec<u8>, mut value: i64) {
    loop {
        let [low, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        let is_negative = low & 0x40 != 0;
        if (value == 0 && !is_negative) || (value == -1 && is_negative) {
            return written.push(low);
        }
        written.push(low | 0x80);
    }
}

/// A name: its length and its bytes.
pub(in crate::host) fn name(written: &mut Vec<u8>, name: &str) {
    unsigned(written, u64::try_from(name.len()).unwrap_or(0));
    written.extend_from_slice(name.as_bytes());
}

/// A section with this content.
pub(in crate::host) fn section(written: &mut Vec<u8>, id: u8, body: &[u8]) {
    written.push(id);
    unsigned(written, u64::try_from(body.len()).unwrap_or(0));
    written.extend_from_slice(body);
}

/// The unsigned number that `bytes` begin with, and how many it takes.
pub(in crate::host) fn read(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at.saturating_add(1)));
        }
    }
    None
}

/// How many bytes the number takes that `bytes` begin with.
pub(in crate::host) fn length(bytes: &[u8]) -> usize {
    read(bytes).map_or(0, |(_, length)| length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_the_specification_has_them() {
        let of = |value| {
            let mut written = Vec::new();
            signed(&mut written, value);
            written
        };
        assert_eq!(of(0), [0]);
        assert_eq!(of(-1), [0x7f]);
        assert_eq!(of(64), [0xc0, 0]);
        assert_eq!(of(-123_456), [0xc0, 0xbb, 0x78]);
        let mut written = Vec::new();
        unsigned(&mut written, 624_485);
        assert_eq!(written, [0xe5, 0x8e, 0x26]);
        assert_eq!(read(&written), Some((624_485, 3)));
        assert_eq!(read(&[0x80]), None);
    }
}
