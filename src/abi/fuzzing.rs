//! The entry points of the fuzzer: the decoders that bytes of the guest, the module or
//! the operator reach first. Each function checks the guarantees of its decoder, and panics if one is broken.
//!
//! `fuzz/` runs them under libFuzzer, and a test here on its corpus and on random bytes.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "a broken promise is to panic")]

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use wasmtime::{Engine, Module};
use wiggle::{GuestMemory, GuestPtr};

use super::memory::{Buffers, MAX_BUFFERS, size};
use super::trace::Line;
use super::unix_name;
use super::wamr::address as port_last;
use super::wasix::address::{self, AddressWidth};
use super::wasmedge::address as split;
use super::{FUNCTIONS, LACKING, MemoryKind, detect};
use crate::address::Address;
use crate::observe::{TraceLine, TraceSink};
use crate::policy::{Grant, NamePattern};

/// The bytes of the guests' memories here.
const SIZE: usize = 1024;

/// Runs `body` with a memory that begins with `data`.
fn with_memory<T>(data: &[u8], body: impl FnOnce(&mut GuestMemory<'_>) -> T) -> T {
    let mut bytes = vec![0_u8; SIZE + 8];
    let skip = bytes.as_ptr().align_offset(8);
    let memory = &mut bytes[skip..skip + SIZE];
    let len = data.len().min(SIZE);
    memory[..len].copy_from_slice(&data[..len]);
    body(&mut GuestMemory::Unshared(memory))
}

fn pointer(at: usize) -> GuestPtr<u8> {
    GuestPtr::new(u32::try_from(at).unwrap_or(u32::MAX))
}

fn word(data: &[u8], at: usize) -> u32 {
    data.get(at..at + 4).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Addresses: what was read is written, and read again the same. Near the end of the memory it
/// is read, or traps.
pub fn addresses(data: &[u8]) {
    with_memory(data, |memory| {
        for at in [0, 1, SIZE - 1, SIZE - 8, SIZE - 20, SIZE - 28, SIZE, usize::MAX] {
            // Without a port: a place that the bytes choose.
            for is_output in [false, true] {
                let shown = split::shown(memory, pointer(at).offset(), is_output).unwrap_or_default();
                assert!(!shown.contains(char::is_control), "{shown}");
            }
            let at_four = pointer(at).offset() & !3;
            for shown in [port_last::shown(memory, at_four), port_last::shown_ip(memory, at_four)] {
                assert!(shown.is_none_or(|shown| !shown.contains(char::is_control)));
            }
            for room in [AddressWidth::Narrow, AddressWidth::Wide] {
                _ = address::read_peer(memory, pointer(at), room);
                _ = unix_name::read(memory, pointer(at));
                let Ok(read) = address::read(memory, pointer(at), room) else { continue };
                assert!(!read.to_string().contains(char::is_control), "{read}");
                again(&read, room);
            }
        }
        _ = address::decode(data);
        _ = (address::inet4(data), address::group(data));
    });
}

fn again(read: &Address, room: AddressWidth) {
    with_memory(&[], |memory| {
        assert!(address::write(memory, pointer(0), read, room).is_ok(), "{read} does not fit");
        let found = address::read(memory, pointer(0), room).ok();
        // Fewer bytes have no scope, and cut a path.
        let is_whole = room == AddressWidth::Wide || matches!(read, Address::Inet(inet) if inet.is_ipv4());
        assert!(!is_whole || found.as_ref() == Some(read), "{read:?} became {found:?}");
        assert!(found.is_some() || !is_whole, "{read:?} became unreadable");
    });
}

/// Arrays of buffers: an address and a number, then the memory with the array. What is taken
/// lies in the memory, and what is gathered is what is scattered.
pub fn iovecs(data: &[u8]) {
    let (start, count) = (word(data, 0), word(data, 4));
    with_memory(data.get(8..).unwrap_or(&[]), |memory| {
        for (start, count) in [(start, count), (start % 1024, count % 65), (0, count % 9)] {
            let Ok(buffers) = Buffers::read(memory, GuestPtr::<[u64]>::new((start, count))) else { continue };
            assert!(count <= MAX_BUFFERS, "{count} buffers");
            let regions: Vec<_> = buffers.regions().collect();
            let end = |(at, len): &(u32, u32)| u64::from(*at) + u64::from(*len);
            assert!(regions.iter().all(|region| region.1 > 0 && end(region) <= size(memory) as u64));
            let total: u64 = regions.iter().map(|region| u64::from(region.1)).sum();
            assert_eq!(u64::from(buffers.total()), total);
            moves(memory, &buffers, start);
        }
    });
}

fn moves(memory: &mut GuestMemory<'_>, buffers: &Buffers, cap: u32) {
    let gathered = buffers.gather(memory, cap).map(std::borrow::Cow::into_owned).unwrap_or_default();
    assert_eq!(gathered.len() as u64, u64::from(buffers.total().min(cap)));
    let slices = buffers.slices(memory).ok().flatten();
    let in_place = slices.map(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>());
    let starts_so = in_place.is_some_and(|all| all.starts_with(&gathered));
    assert!(starts_so, "in place there are other bytes");
    assert!(buffers.single_mut(memory).is_ok());
    // The same bytes to the same places change nothing.
    let before = memory.to_vec(pointer(0).as_array(u32::try_from(SIZE).unwrap_or(0))).ok();
    assert_eq!(buffers.scatter(memory, &gathered).ok(), u32::try_from(gathered.len()).ok());
    assert_eq!(before, memory.to_vec(pointer(0).as_array(u32::try_from(SIZE).unwrap_or(0))).ok());
}

/// The grammar of grants and names: any text is one, or is refused.
pub fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let asked = [
        Address::Inet(([127, 0, 0, 1], 80).into()),
        Address::Inet((std::net::Ipv6Addr::LOCALHOST, 80).into()),
        Address::Unix(crate::address::UnixName::new("/run/app.sock")),
        Address::Unix(crate::address::UnixName::unnamed()),
    ];
    match text.parse::<Grant>() {
        Ok(grant) => {
            let is_of_paths = grant.is_of_paths();
            let covers = asked.each_ref().map(|address| grant.covers(address));
            // One kind of address, and no socket without a name.
            assert!(if is_of_paths { !covers[0] && !covers[1] } else { !covers[2] }, "{text:?}");
            assert!(!covers[3], "{text:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(grant) = Grant::for_connecting(&text) {
        let again = Grant::for_connecting(&grant.to_string());
        assert!(again.is_ok_and(|again| again == grant), "{text:?} is written as {grant}");
        let covers = asked.iter().any(|address| grant.covers(address));
        assert!(!grant.is_of_names() || !covers, "{text:?} is a name, and no address");
    }
    if let Ok(pattern) = text.parse::<NamePattern>() {
        _ = pattern.matches("www.example.com.");
        let is_itself = pattern.matches(&text) || text.starts_with('*');
        assert!(is_itself, "{text:?} is a pattern that does not match itself");
    }
}

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::default);

/// Which dialect a module speaks: a module of bytes, or one whose imports the bytes choose.
/// Every import is in one of the lists.
pub fn dialects(data: &[u8]) {
    let made;
    let bytes = if data.starts_with(b"\0asm") {
        data
    } else {
        // Wasmtime reads text only where it is asked to, which the library does not.
        made = wat::parse_str(importing(data)).unwrap_or_default();
        made.as_slice()
    };
    let Ok(module) = Module::new(&ENGINE, bytes) else {
        assert!(data.starts_with(b"\0asm"), "not a module: {}", importing(data));
        return;
    };
    let found = detect(&module);
    let lists = [&found.supported, &found.refused, &found.stubbed, &found.missing];
    assert_eq!(lists.iter().map(|list| list.len()).sum::<usize>(), module.imports().len(), "{found:?}");
    let wide = found.personality().wide_addresses;
    assert!(!wide || found.dialect.id() == "wasix", "{found:?}");
    assert!(!found.threads || found.memory == MemoryKind::ImportedShared, "{found:?}");
    let told = found.told_by.as_ref();
    assert!(told.is_none_or(|told| lists.iter().any(|list| list.contains(told))), "{found:?}");
}

/// A module: three bytes an import, which are its module, its name and its type.
fn importing(data: &[u8]) -> String {
    const MODULES: [&str; 6] =
        ["wasix_32v1", "wasi_snapshot_preview1", "wasi_unstable", "wasi", "env", "wasi_ephemeral"];
    let mut text = String::from("(module ");
    for import in data.chunks_exact(3).take(64) {
        let (module, name, ty) = (usize::from(import[0]), usize::from(import[1]), usize::from(import[2]));
        let function = &FUNCTIONS[name % FUNCTIONS.len()];
        let lacking = LACKING.get(name.wrapping_sub(FUNCTIONS.len())).copied();
        let module = if ty & 1 == 0 { function.module } else { MODULES[module % MODULES.len()] };
        let name = lacking.unwrap_or(function.name);
        // That of the function, or one that may be another one's.
        let params: String = match ty & 6 {
            0 => " i32".repeat(ty >> 4),
            _ => function.params.iter().map(|ty| format!(" {}", ty.name())).collect(),
        };
        let result = if ty & 8 == 0 { " (result i32)" } else { "" };
        _ = write!(text, "(import \"{module}\" \"{name}\" (func (param{params}){result}))");
    }
    text + match data.len() % 3 {
        0 => "(import \"env\" \"memory\" (memory 1 2 shared)))",
        1 => "(memory (export \"memory\") 1))",
        _ => ")",
    }
}

/// The call trace: a function, its arguments, and the memory that they point to. One line, of
/// bounded length, without control characters.
pub fn trace(data: &[u8]) {
    let Some((head, rest)) = data.split_at_checked(4) else { return };
    let function = &FUNCTIONS[usize::from(head[0]) % FUNCTIONS.len()];
    let values: Vec<u64> = (0..function.params.len())
        .map(|index| match rest.get(index * 3..index * 3 + 3) {
            // Mostly pointers into the memory, and lengths.
            Some([low, high, 0..=239]) => u64::from(u16::from_le_bytes([*low, *high]) % 1100),
            Some([low, high, top]) => u64::from_le_bytes([*low, *high, *top, *top, *top, *top, *top, *top]),
            _ => 0,
        })
        .collect();
    let printed = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&printed);
    let sink: Arc<TraceSink> = Arc::new(move |line: &TraceLine<'_>| {
        *to.lock().unwrap_or_else(PoisonError::into_inner) = line.to_string();
    });
    with_memory(rest, |memory| {
        let mut line = Line::begin(&sink, function, &values, memory);
        let errno = (head[1] & 1 == 0).then(|| i32::from(head[2]) - i32::from(head[3]));
        line.end(errno, memory, None);
    });
    let printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(printed.len() < 8192, "{printed}");
    assert!(!printed.contains(char::is_control), "{printed:?}");
}

/// What is run on some bytes.
pub type FuzzTarget = fn(&[u8]);

/// All of them, by the names of their targets.
pub const TARGETS: [(&str, FuzzTarget); 5] = [
    ("addresses", addresses),
    ("iovecs", iovecs),
    ("policy", policy),
    ("dialects", dialects),
    ("trace", trace),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_corpus_passes() -> std::io::Result<()> {
        for (name, target) in TARGETS {
            let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let mut count = 0;
            for entry in std::fs::read_dir(corpus)? {
                target(&std::fs::read(entry?.path())?);
                count += 1;
            }
            assert!(count > 0, "{name} has no corpus");
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_an_address_or_none(mut data in prop::collection::vec(any::<u8>(), 0..130), tag in 0..5_u8) {
            if let Some(first) = data.first_mut() {
                *first = tag;
            }
            addresses(&data);
        }

        #[test]
        fn any_bytes_are_buffers_or_none(
            head in (any::<u32>(), 0..12_u32),
            buffers in prop::collection::vec((0..1100_u32, 0..300_u32), 0..10),
        ) {
            let mut data = [head.0.to_le_bytes(), head.1.to_le_bytes()].concat();
            data.extend(buffers.iter().flat_map(|(at, len)| [at.to_le_bytes(), len.to_le_bytes()].concat()));
            iovecs(&data);
        }

        #[test]
        fn any_text_is_a_grant_or_none(data in prop::collection::vec(any::<u8>(), 0..40)) {
            policy(&data);
        }

        #[test]
        fn any_call_is_one_line(data in prop::collection::vec(any::<u8>(), 4..300)) {
            trace(&data);
        }
    }

    proptest! {
        // A module is compiled each time.
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_imports_have_a_dialect(data in prop::collection::vec(any::<u8>(), 0..60)) {
            dialects(&data);
        }
    }
}
