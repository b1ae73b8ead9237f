//! `env`: what the libraries of compilers import beside WASI, as far as it does no harm.
//!
//! A program of AssemblyScript says by it why it ends, writes a line for its author, and asks for a seed; one of
//! Emscripten, that its memory has grown. Nothing is reached by these that preview 1 does not give
//! every program: its own standard error, and random bytes. Whatever else a module imports from `env` stays unknown.

use wiggle::{GuestMemory, GuestPtr};

use super::dialect::by_name;
use super::interface::ImportItem;
use super::table::Function;

/// The import module, in which an embedder may have functions of its own: those go first.
pub(crate) const MODULE: &str = "env";

/// The function that an import of [`MODULE`] means, by name and type: other compilers have other things by these names.
pub(super) fn function(item: &ImportItem) -> Option<&'static Function> {
    if item.import.module == MODULE { by_name(item) } else { None }
}

/// How many bytes of a string are read.
const MAX_STRING: u32 = 4096;

/// A string of AssemblyScript: UTF-16, with the number of its bytes in the word before it. Nothing for null, and for
/// what is not in the memory: who is about to end is not ended for that.
fn string(memory: &GuestMemory<'_>, at: u32) -> Option<String> {
    let length = memory.read(GuestPtr::<u32>::new(at.checked_sub(4)?)).ok()?;
    let read = length.min(MAX_STRING) & !1;
    let bytes = memory.to_vec(GuestPtr::<u8>::new(at).as_array(read)).ok()?;
    let units = bytes.chunks_exact(2).filter_map(|unit| Some(u16::from_le_bytes(unit.try_into().ok()?)));
    let mut text: String =
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if length > MAX_STRING {
        text.push_str("..");
    }
    Some(text)
}

/// Written by hand: the generator knows calls that return an errno.
pub(crate) mod bindings {
    /// What AssemblyScript's standard library declares.
    pub(crate) mod assemblyscript {
        use std::fmt::Write as _;
        use std::io::IoSlice;

        use wiggle::GuestMemory;

        use super::super::string;
        use crate::abi::call::Call;
        use crate::error::{Error, Trap};
        use crate::fd::Rights;
        use crate::observe::text::Excerpt;

        /// The guest's standard error.
        const STANDARD_ERROR: u32 = 2;

        /// Ends the program by a trap that says what it said.
        pub(crate) fn abort(
            _: &mut Call<'_>,
            memory: &mut GuestMemory<'_>,
            message: i32,
            file: i32,
            line: i32,
            column: i32,
        ) -> wasmtime::Result<()> {
            let text = |at: i32| string(memory, at.cast_unsigned());
            let mut said = String::from("abort");
            if let Some(message) = text(message) {
                _ = write!(said, ": {}", Excerpt::sentence(message));
            }
            if let Some(file) = text(file) {
                let (line, column) = (line.cast_unsigned(), column.cast_unsigned());
                _ = write!(said, " in {}({line}:{column})", Excerpt::name(file));
            }
            Err(Trap::new(said).into())
        }

        /// Writes a message and up to five numbers to the guest's standard error.
        #[expect(clippy::too_many_arguments, clippy::unnecessary_wraps, reason = "they are the import's")]
        pub(crate) fn trace(
            call: &mut Call<'_>,
            memory: &mut GuestMemory<'_>,
            message: i32,
            count: i32,
            a0: f64,
            a1: f64,
            a2: f64,
            a3: f64,
            a4: f64,
        ) -> wasmtime::Result<()> {
            let mut said = format!("trace: {}", string(memory, message.cast_unsigned()).unwrap_or_default());
            let count = usize::try_from(count).unwrap_or_default();
            for (at, number) in [a0, a1, a2, a3, a4].into_iter().take(count).enumerate() {
                _ = write!(said, "{}{number}", if at == 0 { " " } else { ", " });
            }
            said.push('\n');
            // Without a standard error it is for nobody.
            let Ok(descriptor) = call.descriptor(STANDARD_ERROR, Rights::FD_WRITE) else { return Ok(()) };
            let _waits: Error = call.wait(move |call, _| {
                Box::pin(async move {
                    let mut slices = [IoSlice::new(said.as_bytes())];
                    call.write(&descriptor.open, &mut slices, false).await.map(drop)
                })
            });
            Ok(())
        }

        /// A number to begin with, for `Math.random`.
        #[expect(clippy::unnecessary_wraps, reason = "as the generated functions are")]
        pub(crate) fn seed(call: &mut Call<'_>, _: &mut GuestMemory<'_>) -> wasmtime::Result<f64> {
            let mut random = [0; 8];
            call.process().fill_random(&mut random);
            // From 1 to 2: every bit of the fraction, and no sign or exponent that would make it infinite or none.
            Ok(f64::from_bits(1.0_f64.to_bits() | u64::from_le_bytes(random) >> 12))
        }
    }

    /// What Emscripten's standalone programs import whose memory may grow.
    pub(crate) mod emscripten {
        use wiggle::GuestMemory;

        use crate::abi::call::Call;

        /// Does nothing: the host looks at the memory anew in each call.
        #[expect(clippy::unnecessary_wraps, reason = "as the generated functions are")]
        pub(crate) fn emscripten_notify_memory_growth(
            _: &mut Call<'_>,
            _: &mut GuestMemory<'_>,
            _index: i32,
        ) -> wasmtime::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory with `units` at 8, and their length in bytes before them.
    fn with_string(units: &[u16], length: u32) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(length.to_le_bytes());
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes
    }

    fn read(bytes: &mut [u8], at: u32) -> Option<String> {
        string(&GuestMemory::Unshared(bytes), at)
    }

    #[test]
    fn a_string_is_read_by_its_length() {
        let units: Vec<u16> = "größer 🦀".encode_utf16().collect();
        let mut bytes = with_string(&units, 2 * u32::try_from(units.len()).unwrap_or(0));
        assert_eq!(read(&mut bytes, 8).as_deref(), Some("größer 🦀"));
        assert_eq!(read(&mut with_string(&[0x61, 0xd83e], 4), 8).as_deref(), Some("a\u{fffd}"));
        // An odd length ends before its last byte.
        assert_eq!(read(&mut with_string(&[0x61, 0x62], 3), 8).as_deref(), Some("a"));
        let mut long = with_string(&[0x61; 3000], 6000);
        assert_eq!(read(&mut long, 8), Some("a".repeat(2048) + ".."));
    }

    #[test]
    fn wild_pointers_are_no_strings() {
        let mut bytes = with_string(&[0x61], u32::MAX);
        for at in [0, 1, 3, 8, 9, 10, 12, 14, 100, 1 << 31, u32::MAX - 1, u32::MAX] {
            assert_eq!(read(&mut bytes, at).unwrap_or_default(), "", "{at:#x}");
        }
        let mut empty = [];
        assert_eq!(read(&mut empty, 8), None);
    }
}
