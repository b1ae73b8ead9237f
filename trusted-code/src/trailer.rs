//! What stands behind the code, in a file or in sealed bytes. It comes last because Wasmtime maps the code
//! from the start of its file.

use crate::{Key, Secret};

/// How many bytes it has.
pub(crate) const LENGTH: usize = MAGIC.len() + 8 + 32;

/// The last byte is the version of the format.
const MAGIC: [u8; 8] = *b"WasockC\x01";

/// How long the code before it is, and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) code_length: u64,
    pub(crate) digest: blake3::Hash,
}

impl Trailer {
    pub(crate) fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let parts = MAGIC.into_iter().chain(self.code_length.to_le_bytes()).chain(*self.digest.as_bytes());
        bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        bytes
    }

    /// Nothing where it is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (length, digest) = rest.split_first_chunk()?;
        Some(Self {
            code_length: u64::from_le_bytes(*length),
            digest: blake3::Hash::from_bytes(digest.try_into().ok()?),
        })
    }

    /// The code before a trailer, and the trailer; nothing where `bytes` are no such thing.
    pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], Self)> {
        let (code, trailer) = bytes.split_at_checked(bytes.len().checked_sub(LENGTH)?)?;
        let trailer = Self::decode(trailer)?;
        (u64::try_from(code.len()) == Ok(trailer.code_length)).then_some((code, trailer))
    }
}

/// A digest to be fed with the code of what `key` stands for. With a `secret` it is a seal: only who knows the
/// secret can make it.
pub(crate) fn digest_of(key: &Key, secret: Option<&Secret>) -> blake3::Hasher {
    let mut hasher =
        secret.map_or_else(blake3::Hasher::new, |Secret(secret)| blake3::Hasher::new_keyed(secret));
    hasher.update(key.bytes());
    hasher
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let trailer = Trailer { code_length: 3, digest: blake3::hash(b"abc") };
        assert_eq!(Trailer::decode(&trailer.encode()), Some(trailer));
        let whole = [b"abc".as_slice(), &trailer.encode()].concat();
        assert_eq!(Trailer::split(&whole), Some((b"abc".as_slice(), trailer)));
    }

    #[test]
    fn what_is_shorter_or_longer_is_none() {
        let trailer = Trailer { code_length: 3, digest: blake3::hash(b"abc") };
        let whole = [b"abc".as_slice(), &trailer.encode()].concat();
        assert_eq!(Trailer::split(whole.get(1..).unwrap_or_default()), None);
        assert_eq!(Trailer::split(whole.get(..whole.len() - 1).unwrap_or_default()), None);
        assert_eq!(Trailer::split(&[b"x".as_slice(), &whole].concat()), None);
        assert_eq!(Trailer::split(b""), None);
    }
}
