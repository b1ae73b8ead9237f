//! Code that travels through hands that are not this crate's.

use std::fmt;

use crate::trailer::{Trailer, digest_of};
use crate::{Code, Key};

/// What the processes of one user on one host know, and nobody else: [`Folder::secret`](crate::Folder::secret).
pub struct Secret(pub(crate) [u8; 32]);

/// Without the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'a> Code<'a> {
    /// The code with a seal, to be kept elsewhere. `key` is what it is known by.
    pub fn seal(&self, secret: &Secret, key: &Key) -> Vec<u8> {
        let digest = digest_of(key, Some(secret)).update(self.bytes()).finalize();
        // A length fits: Linux has no more than 64 bits of address.
        let code_length = u64::try_from(self.bytes().len()).unwrap_or(u64::MAX);
        [self.bytes(), &Trailer { code_length, digest }.encode()].concat()
    }

    /// The code of `key` in bytes that [`seal`](Self::seal) has returned, wherever they have been meanwhile: to a
    /// process that knew this secret, on this host. `None` for all other bytes, whoever made them.
    pub fn unseal(secret: &Secret, key: &Key, bytes: &'a [u8]) -> Option<Self> {
        let (code, trailer) = Trailer::split(bytes)?;
        let digest = digest_of(key, Some(secret)).update(code).finalize();
        // This comparison takes as long wherever the two differ.
        (digest == trailer.digest).then(|| Self::proven(key.kind(), code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use wasmtime::Engine;

    const BINARY: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn only_who_knows_the_secret_seals() -> wasmtime::Result<()> {
        let engine = Engine::default();
        let key = Key::of(&engine, Kind::Module, BINARY);
        let code = Code::compile(&engine, Kind::Module, BINARY)?;
        let sealed = code.seal(&Secret([1; 32]), &key);
        let opened = Code::unseal(&Secret([1; 32]), &key, &sealed);
        assert!(opened.is_some_and(|code| code.module(&engine).is_ok()));
        assert!(Code::unseal(&Secret([2; 32]), &key, &sealed).is_none());
        // The code of one module is not that of another one.
        let other = Key::of(&engine, Kind::Module, b"other");
        assert!(Code::unseal(&Secret([1; 32]), &other, &sealed).is_none());
        // What Wasmtime itself would take.
        assert!(Code::unseal(&Secret([1; 32]), &key, code.bytes()).is_none());
        Ok(())
    }

    #[test]
    fn no_bit_of_it_can_be_changed() -> wasmtime::Result<()> {
        let engine = Engine::default();
        let key = Key::of(&engine, Kind::Module, BINARY);
        let sealed = Code::compile(&engine, Kind::Module, BINARY)?.seal(&Secret([1; 32]), &key);
        let places = (0..sealed.len()).step_by(97).chain(sealed.len() - 60..sealed.len());
        for place in places {
            let mut changed = sealed.clone();
            if let Some(byte) = changed.get_mut(place) {
                *byte ^= 1;
            }
            assert!(Code::unseal(&Secret([1; 32]), &key, &changed).is_none(), "{place}");
        }
        let shorter = sealed.get(..sealed.len() - 1).unwrap_or_default();
        assert!(Code::unseal(&Secret([1; 32]), &key, shorter).is_none());
        Ok(())
    }
}
