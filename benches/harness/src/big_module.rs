//! Makes a module as big as one of a large program.
//!
//! Functions are added at the end of a module that works. They are never called, but the
//! compiler and the loader have to deal with them: each is some 500 bytes of loads,
//! stores, arithmetic and branches, and no two are alike.

use anyhow::{Context, Result, bail, ensure};

/// How big the module becomes, at least.
const SIZE: usize = 3_500_000;

/// The numbers of the sections that grow.
const TYPES: u8 = 1;
const FUNCTIONS: u8 = 3;
const CODE: u8 = 10;

/// `module` with more functions.
///
/// # Errors
///
/// When it is no module that has types, functions and code.
pub(super) fn padded(module: &[u8]) -> Result<Vec<u8>> {
    let Some((header, mut rest)) = module.split_at_checked(8) else { bail!("too short for a module") };
    ensure!(header == b"\0asm\x01\0\0\0", "not a module");
    let mut padding = Vec::new();
    let mut count = 0u32;
    while module.len() + padding.len() < SIZE {
        function(count, &mut padding);
        count += 1;
    }
    let mut out = header.to_vec();
    let mut added = 0;
    let mut new_type = 0;
    while let Some((&id, after)) = rest.split_first() {
        let (length, after) = number(after)?;
        let length = usize::try_from(length)?;
        let Some((body, after)) = after.split_at_checked(length) else { bail!("a section is cut off") };
        rest = after;
        let section = match id {
            TYPES => {
                new_type = number(body)?.0;
                // (func (param i32 i32) (result i32))
                grown(body, 1, &[0x60, 2, 0x7f, 0x7f, 1, 0x7f])?
            }
            FUNCTIONS => grown(body, count, &leb(new_type).repeat(usize::try_from(count)?))?,
            CODE => grown(body, count, &padding)?,
            _ => body.to_vec(),
        };
        added += u32::from(matches!(id, TYPES | FUNCTIONS | CODE));
        out.push(id);
        out.extend(leb(u32::try_from(section.len())?));
        out.extend(section);
    }
    ensure!(added == 3, "a module without types, functions or code");
    Ok(out)
}

/// A section with `count` more entries at its end.
fn grown(body: &[u8], count: u32, entries: &[u8]) -> Result<Vec<u8>> {
    let (had, rest) = number(body)?;
    Ok([&leb(had + count), rest, entries].concat())
}

/// The `seed`th function, with the length before it.
fn function(seed: u32, out: &mut Vec<u8>) {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut dice = |most: u64| {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    };
    // Two locals of i32: 2 and 3.
    let mut body = vec![1, 2, 0x7f];
    for _ in 0..12 {
        let (from, to) = ([0, 1, 2, 3], [2, 3]);
        let mut local =
            |of: &[u8]| of.iter().copied().cycle().nth(usize::try_from(dice(4)).unwrap_or(0)).unwrap_or(2);
        let (a, b, c) = (local(&from), local(&from), local(&to));
        let constant = leb_signed(i64::from(seed) * 31 + i64::from(a) * 7);
        // c = (a op b) ^ constant
        body.extend([0x20, a, 0x20, b, 0x6a + b % 3, 0x41]);
        body.extend(constant);
        body.extend([0x73, 0x21, c]);
        // if a & 1 { memory[b & 0xfff8] = c } else { c = memory[a & 0xfff8] }
        body.extend([0x20, a, 0x41, 1, 0x71, 0x04, 0x40]);
        body.extend([0x20, b, 0x41, 0xf8, 0xff, 0x03, 0x71, 0x20, c, 0x36, 2, 0]);
        body.extend([0x05, 0x20, a, 0x41, 0xf8, 0xff, 0x03, 0x71, 0x28, 2, 0, 0x21, c, 0x0b]);
    }
    body.extend([0x20, 2, 0x20, 3, 0x6a, 0x0b]);
    out.extend(leb(u32::try_from(body.len()).unwrap_or(0)));
    out.extend(body);
}

/// The number at the start of `bytes`, in LEB128, and what follows.
fn number(bytes: &[u8]) -> Result<(u32, &[u8])> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((u32::try_from(value)?, bytes.get(place + 1..).context("cut off")?));
        }
    }
    bail!("a number is cut off or too long")
}

fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = value.to_le_bytes().first().map_or(0, |byte| byte & 0x7f);
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn leb_signed(mut value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = value.to_le_bytes().first().map_or(0, |byte| byte & 0x7f);
        value >>= 7;
        if (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0) {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::{SIZE, leb, leb_signed, number, padded};
    use anyhow::Result;

    #[test]
    fn numbers_come_back() -> Result<()> {
        for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            assert_eq!(number(&[leb(value), vec![9]].concat())?, (value, [9].as_slice()));
        }
        assert!(number(&[0x80]).is_err());
        assert_eq!(leb_signed(-1), [0x7f]);
        assert_eq!(leb_signed(64), [0xc0, 0]);
        assert_eq!(leb_signed(-123_456), [0xc0, 0xbb, 0x78]);
        Ok(())
    }

    #[test]
    fn a_module_grows_to_its_size() -> Result<()> {
        // (module (memory 1) (func))
        let module =
            b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\x0a\x04\x01\x02\0\x0b";
        let big = padded(module)?;
        assert!(big.len() >= SIZE && big.len() < SIZE + SIZE / 20, "{} bytes", big.len());
        // The new type stands behind the other one.
        assert_eq!(big.get(8..12), Some([1, 10, 2, 0x60].as_slice()));
        assert!(padded(b"\0asm\x01\0\0\0").is_err());
        assert!(padded(b"(module)").is_err());
        Ok(())
    }
}
