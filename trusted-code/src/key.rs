//! What code is known by.

use std::fmt;
use std::hash::{Hash as _, Hasher};

use wasmtime::Engine;

use crate::Kind;

/// What a piece of code is known by: the WebAssembly that it was compiled from, and all of an engine that its
/// code depends on, as its settings, the processor's features and the version of Wasmtime.
///
/// It is a cryptographic digest: whoever writes a module can't give it the key of another one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    kind: Kind,
    digest: blake3::Hash,
}

/// What the digests of this crate are for, so that none is another's.
const CONTEXT: &str = "wasock trusted-code 1: what was compiled, and for which engine";

impl Key {
    /// That of what `engine` would compile of `binary`.
    pub fn of(engine: &Engine, kind: Kind, binary: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(digest_of(engine).as_bytes());
        hasher.update(&[kind.tag()]);
        hasher.update(binary);
        Self { kind, digest: hasher.finalize() }
    }

    /// What the code is compiled from.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// To tell it to another process.
    pub fn to_bytes(&self) -> [u8; 33] {
        let mut bytes = [self.kind.tag(); 33];
        bytes.iter_mut().skip(1).zip(self.bytes()).for_each(|(byte, of_digest)| *byte = *of_digest);
        bytes
    }

    /// What another process has told by [`to_bytes`](Self::to_bytes); `None` where that is no key. Whose key it is nobody
    /// knows by that: code that is found by it proves that it is this key's.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, digest) = bytes.split_first()?;
        Some(Self { kind: Kind::of_tag(*tag)?, digest: blake3::Hash::from_bytes(digest.try_into().ok()?) })
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.digest.as_bytes()
    }
}

/// The name of its file.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest.to_hex())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All of an engine that code depends on.
fn digest_of(engine: &Engine) -> blake3::Hash {
    let mut digest = Digest(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut digest);
    digest.0.finalize()
}

/// A hasher whose digest has no collisions: `finish`, which has 64 bits, is not used.
struct Digest(blake3::Hasher);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Config;

    #[test]
    fn a_key_is_of_the_engine_the_kind_and_the_bytes() -> wasmtime::Result<()> {
        let engine = Engine::default();
        let key = Key::of(&engine, Kind::Module, b"a");
        assert_eq!(key, Key::of(&Engine::default(), Kind::Module, b"a"));
        assert_ne!(key, Key::of(&engine, Kind::Module, b"b"));
        #[cfg(feature = "components")]
        assert_ne!(key, Key::of(&engine, Kind::Component, b"a"));
        let other = Engine::new(Config::new().epoch_interruption(true))?;
        assert_ne!(key, Key::of(&other, Kind::Module, b"a"));
        assert_eq!(key.to_string().len(), 64);
        assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
        assert_eq!(Key::from_bytes(&[7; 33]), None);
        assert_eq!(Key::from_bytes(&[1; 32]), None);
        Ok(())
    }
}
