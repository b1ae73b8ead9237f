//! The call trace: the arguments and results of a call, as text.
//!
//! Nothing here may disturb the call it describes: a pointer that cannot be read
//! is printed as a number, and what is read is bounded.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wiggle::{GuestMemory, GuestPtr};

use super::errno;
use super::memory::{MAX_BUFFERS, read_buffer};
use super::table::{Argument, ArgumentKind, ERRNO_NAMES, Function};
use super::wamr::address as port_last;
use super::wasix::address;
use super::wasmedge::address as split;
use crate::address::Address;
use crate::observe::text::Quoted;
use crate::observe::{TraceLine, TraceSink, contained};
use crate::process::TraceAnnotation;

/// How much of a text is printed, in characters.
const MAX_TEXT: usize = 64;

/// How much of a text is read for that: a character has at most four bytes.
const MAX_TEXT_BYTES: u32 = 4 * 64;

/// A call that has begun. Its line is printed when it ends, with the outcome `?`
/// if it never does.
pub(crate) struct Line {
    sink: Arc<TraceSink>,
    function: &'static Function,
    /// The core values of the parameters.
    values: Vec<u64>,
    arguments: String,
    results: String,
    outcome: &'static str,
    started: Instant,
    pid: Option<u32>,
    is_cancelled: bool,
}

impl Line {
    /// Decodes the arguments, before the call changes the memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn begin(
        sink: &Arc<TraceSink>,
        function: &'static Function,
        values: &[u64],
        memory: &GuestMemory<'_>,
    ) -> Box<Self> {
        let mut arguments = String::new();
        for (argument, value, len) in split(function, values) {
            if !argument.kind.is_output() {
                separate(&mut arguments, ", ");
                _ = write!(
                    arguments,
                    "{}={}",
                    argument.name,
                    Shown { kind: argument.kind, value, len, memory }
                );
            }
        }
        Box::new(Self {
            sink: sink.clone(),
            function,
            values: values.to_vec(),
            arguments,
            results: String::new(),
            outcome: "?",
            started: Instant::now(),
            pid: None,
            is_cancelled: false,
        })
    }

    /// Records that the call returned `errno`, or nothing at all, and its results if
    /// it succeeded; with an annotation that the guest does not see. The line is printed when this is dropped.
    #[cold]
    #[inline(never)]
    pub(crate) fn end(
        &mut self,
        errno: Option<i32>,
        memory: &GuestMemory<'_>,
        annotation: Option<TraceAnnotation>,
    ) {
        // A negative errno, or else a thread's number, which is a success.
        let is_thread = self.function.module == "wasi";
        let errno = errno.map(|errno| if is_thread { errno.saturating_neg().max(0) } else { errno });
        let number = usize::try_from(errno.unwrap_or(0)).unwrap_or(usize::MAX);
        let own_name =
            (self.function.name == "sock_getaddrinfo").then(|| errno::look_up_name(number)).flatten();
        self.outcome = own_name.or_else(|| ERRNO_NAMES.get(number).copied()).unwrap_or("?");
        let has_results = number == 0;
        let mut results = String::new();
        for (argument, value, len) in split(self.function, &self.values) {
            if has_results && argument.kind.is_output() {
                separate(&mut results, " ");
                _ = write!(
                    results,
                    "{}={}",
                    argument.name,
                    Shown { kind: argument.kind, value, len, memory }
                );
            }
        }
        if let Some(TraceAnnotation { name, value }) = annotation {
            separate(&mut results, " ");
            _ = write!(results, "{name}={value}");
        }
        self.results = results;
    }
}

impl Line {
    /// It is a call of this process, among others.
    pub(crate) fn of_process(mut self: Box<Self>, pid: Option<u32>) -> Box<Self> {
        self.pid = pid;
        self
    }

    /// Prints nothing: the call will be made once more.
    pub(crate) fn cancel(mut self) {
        self.is_cancelled = true;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_cancelled {
            return;
        }
        let line = TraceLine {
            pid: self.pid,
            name: self.function.name,
            arguments: &self.arguments,
            outcome: self.outcome,
            results: &self.results,
            duration: self.started.elapsed(),
        };
        contained("trace sink", || (self.sink)(&line));
    }
}

fn separate(text: &mut String, separator: &str) {
    if !text.is_empty() {
        text.push_str(separator);
    }
}

/// Each argument with its core value, and its length where it has one.
fn split<'a>(
    function: &'static Function,
    values: &'a [u64],
) -> impl Iterator<Item = (&'static Argument, u64, u32)> + 'a {
    let mut values = values.iter().copied();
    function.arguments.iter().map_while(move |argument| {
        let value = values.next()?;
        let len = if argument.kind.has_length() { low(values.next()?) } else { 0 };
        Some((argument, value, len))
    })
}

/// The value of an i32.
fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

/// An argument, printed as its kind asks.
struct Shown<'a> {
    kind: ArgumentKind,
    value: u64,
    len: u32,
    memory: &'a GuestMemory<'a>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = low(self.value);
        match self.kind {
            ArgumentKind::Fd | ArgumentKind::Number => write!(f, "{}", self.value),
            ArgumentKind::Float => write!(f, "{}", f64::from_bits(self.value)),
            ArgumentKind::Signed => write!(f, "{}", self.value.cast_signed()),
            ArgumentKind::Flags if self.value == 0 => f.write_str("0"),
            ArgumentKind::Flags => write!(f, "{:#x}", self.value),
            ArgumentKind::Pointer => write!(f, "{pointer:#x}"),
            ArgumentKind::Bytes => write!(f, "{pointer:#x}/{}", self.len),
            ArgumentKind::Text => match text(self.memory, pointer, self.len) {
                Some(text) => f.write_str(&text),
                None => write!(f, "{pointer:#x}/{}", self.len),
            },
            ArgumentKind::TextToNul => {
                match length_to_nul(self.memory, pointer).and_then(|len| text(self.memory, pointer, len)) {
                    Some(text) => f.write_str(&text),
                    None => write!(f, "{pointer:#x}"),
                }
            }
            ArgumentKind::Iovs => match total(self.memory, pointer, self.len) {
                Some(total) => write!(f, "{}/{total}", self.len),
                None => write!(f, "{pointer:#x}/{}", self.len),
            },
            ArgumentKind::AddressIn | ArgumentKind::AddressOut => match address_at(self.memory, pointer) {
                Some(address) => write!(f, "{address}"),
                None => write!(f, "{pointer:#x}"),
            },
            ArgumentKind::SplitAddressIn | ArgumentKind::SplitAddressOut => {
                match split::shown(self.memory, pointer, self.kind.is_output()) {
                    Some(address) => f.write_str(&address),
                    None => write!(f, "{pointer:#x}"),
                }
            }
            ArgumentKind::PortLastIn | ArgumentKind::PortLastOut => {
                match port_last::shown(self.memory, pointer) {
                    Some(address) => f.write_str(&address),
                    None => write!(f, "{pointer:#x}"),
                }
            }
            ArgumentKind::InetIn => match port_last::shown_ip(self.memory, pointer) {
                Some(address) => f.write_str(&address),
                None => write!(f, "{pointer:#x}"),
            },
            ArgumentKind::OutPort => match self.memory.read(GuestPtr::<u16>::new(pointer)) {
                Ok(port) => write!(f, "{}", u16::from_be(port)),
                Err(_) => write!(f, "{pointer:#x}"),
            },
            ArgumentKind::Inet4In => match self.memory.to_vec(GuestPtr::<u8>::new(pointer).as_array(4)) {
                Ok(bytes) => write!(f, "{}", address::inet4(&bytes)),
                Err(_) => write!(f, "{pointer:#x}"),
            },
            ArgumentKind::Inet6In => match self.memory.to_vec(GuestPtr::<u8>::new(pointer).as_array(16)) {
                Ok(bytes) => write!(f, "{}", address::group(&bytes)),
                Err(_) => write!(f, "{pointer:#x}"),
            },
            ArgumentKind::OptionTimestampIn | ArgumentKind::OptionTimestampOut => {
                match duration(self.memory, pointer) {
                    Some(Some(duration)) => write!(f, "{duration:?}"),
                    Some(None) => f.write_str("none"),
                    None => write!(f, "{pointer:#x}"),
                }
            }
            ArgumentKind::OutFd
            | ArgumentKind::OutU8
            | ArgumentKind::OutU16
            | ArgumentKind::OutU32
            | ArgumentKind::OutU64 => match number(self.kind, self.memory, pointer) {
                Some(number) => write!(f, "{number}"),
                None => write!(f, "{pointer:#x}"),
            },
        }
    }
}

fn number(kind: ArgumentKind, memory: &GuestMemory<'_>, pointer: u32) -> Option<u64> {
    match kind {
        ArgumentKind::OutU8 => memory.read(GuestPtr::<u8>::new(pointer)).ok().map(u64::from),
        ArgumentKind::OutU16 => memory.read(GuestPtr::<u16>::new(pointer)).ok().map(u64::from),
        ArgumentKind::OutU64 => memory.read(GuestPtr::<u64>::new(pointer)).ok(),
        _ => memory.read(GuestPtr::<u32>::new(pointer)).ok().map(u64::from),
    }
}

/// The text in quotes, with `..` where it goes on.
fn text(memory: &GuestMemory<'_>, pointer: u32, len: u32) -> Option<String> {
    let bytes = memory.to_vec(GuestPtr::<[u8]>::new((pointer, len.min(MAX_TEXT_BYTES)))).ok()?;
    let whole = String::from_utf8_lossy(&bytes);
    let end = whole.char_indices().nth(MAX_TEXT).map(|(at, _)| at);
    let mut shown = Quoted(end.and_then(|end| whole.get(..end)).unwrap_or(&whole)).to_string();
    if len > MAX_TEXT_BYTES || end.is_some() {
        shown.push_str("..");
    }
    Some(shown)
}

/// How many bytes are before a NUL; of a text that goes on, more than are printed.
fn length_to_nul(memory: &GuestMemory<'_>, pointer: u32) -> Option<u32> {
    for length in 0..=MAX_TEXT_BYTES {
        if memory.read(GuestPtr::<u8>::new(pointer.checked_add(length)?)).ok()? == 0 {
            return Some(length);
        }
    }
    Some(MAX_TEXT_BYTES + 1)
}

/// How many bytes the buffers hold in all.
fn total(memory: &GuestMemory<'_>, pointer: u32, count: u32) -> Option<u64> {
    if count > MAX_BUFFERS {
        return None;
    }
    let mut total = 0;
    for index in 0..count {
        let (_, len) = read_buffer(memory, pointer.checked_add(index * 8)?).ok()?;
        total += u64::from(len);
    }
    Some(total)
}

/// The address at `pointer`; an IPv4 one may be the last 8 bytes of the memory.
fn address_at(memory: &GuestMemory<'_>, pointer: u32) -> Option<Address> {
    // Where one may be left out, that is how.
    if pointer == 0 {
        return None;
    }
    let at = GuestPtr::<u8>::new(pointer);
    address::read(memory, at, address::AddressWidth::Narrow).ok().or_else(|| {
        let bytes = memory.to_vec(at.as_array(8)).ok()?;
        address::decode(&bytes).map(Address::Inet)
    })
}

fn duration(memory: &GuestMemory<'_>, pointer: u32) -> Option<Option<Duration>> {
    match memory.read(GuestPtr::<u8>::new(pointer)).ok()? {
        0 => Some(None),
        1 => {
            let nanoseconds = memory.read(GuestPtr::<u64>::new(pointer.checked_add(8)?)).ok()?;
            Some(Some(Duration::from_nanos(nanoseconds)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail")]

    use std::sync::Mutex;

    use super::*;

    /// The line of a call of `name`, without its duration.
    fn line(name: &str, values: &[u64], bytes: &[(usize, &[u8])], errno: Option<i32>) -> String {
        line_of(Function::find("wasix_32v1", name).unwrap(), values, bytes, errno)
    }

    fn line_of(
        function: &'static Function,
        values: &[u64],
        bytes: &[(usize, &[u8])],
        errno: Option<i32>,
    ) -> String {
        let mut page = vec![0; 1024 + 8];
        let skip = page.as_ptr().align_offset(8);
        for (at, bytes) in bytes {
            page[skip + at..skip + at + bytes.len()].copy_from_slice(bytes);
        }
        let memory = GuestMemory::Unshared(&mut page[skip..skip + 1024]);
        let printed = Arc::new(Mutex::new(String::new()));
        let to = printed.clone();
        let sink: Arc<TraceSink> = Arc::new(move |line: &TraceLine<'_>| {
            *to.lock().unwrap() = line.to_string();
        });
        let mut line = Line::begin(&sink, function, values, &memory);
        if errno.is_some() {
            line.end(errno, &memory, None);
        }
        drop(line);
        let printed = printed.lock().unwrap();
        printed.split(" <").next().unwrap().to_owned()
    }

    const ARBITRARY: u64 = u32::MAX as u64;
    const INET4: &[u8] = &[1, 0, 0x90, 0x1f, 127, 0, 0, 1];

    #[test]
    fn prints_addresses() {
        assert_eq!(
            line("sock_bind", &[3, 64], &[(64, INET4)], Some(2)),
            "sock_bind(fd=3, addr=127.0.0.1:8080) = EACCES"
        );
        let mut inet6 = [0; 20];
        (inet6[0], inet6[2], inet6[19]) = (2, 80, 1);
        assert_eq!(
            line("sock_connect", &[3, 64], &[(64, &inet6)], Some(0)),
            "sock_connect(fd=3, addr=[::1]:80) = 0"
        );
        assert_eq!(
            line("sock_bind", &[3, 1016], &[(1016, INET4)], Some(0)),
            "sock_bind(fd=3, addr=127.0.0.1:8080) = 0"
        );
        assert_eq!(
            line("sock_bind", &[3, 64], &[(64, b"\x03\x00/run/a\0")], Some(0)),
            "sock_bind(fd=3, addr=unix:/run/a) = 0"
        );
        assert_eq!(line("sock_bind", &[3, 64], &[], Some(28)), "sock_bind(fd=3, addr=0x40) = EINVAL");
    }

    #[test]
    fn prints_groups() {
        let memory: &[(usize, &[u8])] = &[(8, &[239, 1, 2, 3]), (16, &[127, 0, 0, 1]), (64, &[0xff, 2])];
        assert_eq!(
            line("sock_join_multicast_v4", &[3, 8, 16], memory, Some(0)),
            "sock_join_multicast_v4(fd=3, multiaddr=239.1.2.3, interface=127.0.0.1) = 0"
        );
        assert_eq!(
            line("sock_leave_multicast_v6", &[3, 64, 1], memory, Some(0)),
            "sock_leave_multicast_v6(fd=3, multiaddr=ff02::, interface=1) = 0"
        );
    }

    /// Addresses whose port comes last, and texts that end with a NUL.
    #[test]
    fn prints_what_wamr_has() {
        let of = |name: &str, values: &[u64], bytes: &[(usize, &[u8])], errno| {
            let is_it = |function: &&Function| function.name == name && function.added_by == Some("wamr");
            let functions = &super::super::table::FUNCTIONS;
            line_of(functions.iter().find(is_it).unwrap(), values, bytes, Some(errno))
        };
        let addr: &[u8] = &[0, 0, 0, 0, 127, 0, 0, 1, 0x90, 0x1f];
        assert_eq!(
            of("sock_bind", &[3, 64], &[(64, addr)], 2),
            "sock_bind(fd=3, addr=127.0.0.1:8080) = EACCES"
        );
        assert_eq!(
            of("sock_addr_local", &[3, 64], &[(64, addr)], 0),
            "sock_addr_local(fd=3) = 0 addr=127.0.0.1:8080"
        );
        let long = "x".repeat(300);
        let texts: &[(usize, &[u8])] = &[(200, b"a\"b\n\0"), (300, long.as_bytes()), (16, &[2])];
        assert_eq!(
            of("sock_addr_resolve", &[200, 300, 0, 64, 1, 16], texts, 0),
            format!(
                "sock_addr_resolve(host=\"a\\\"b\\n\", service=\"{}\".., hints=0x0, addrs=0x40, max_addrs=1) = 0 n=2",
                "x".repeat(64)
            )
        );
        assert_eq!(
            of("sock_addr_resolve", &[1023, ARBITRARY, 0, 64, 1, 16], &[(1023, b"x")], 28),
            "sock_addr_resolve(host=0x3ff, service=0xffffffff, hints=0x0, addrs=0x40, max_addrs=1) = EINVAL"
        );
        let group: &[u8] = &[0, 0, 0, 0, 224, 0, 0, 251];
        assert_eq!(
            of("sock_set_ip_add_membership", &[3, 64, 0], &[(64, group)], 0),
            "sock_set_ip_add_membership(fd=3, group=224.0.0.251, interface=0) = 0"
        );
        assert_eq!(
            of("sock_get_linger", &[3, 64, 68], &[(64, &[1, 0, 0, 0, 7])], 0),
            "sock_get_linger(fd=3) = 0 flag=1 seconds=7"
        );
    }

    #[test]
    fn prints_results_after_success_only() {
        let memory: &[(usize, &[u8])] = &[(16, &[4]), (64, INET4)];
        assert_eq!(
            line("sock_accept_v2", &[3, 4, 16, 64], memory, Some(0)),
            "sock_accept_v2(fd=3, flags=0x4) = 0 fd=4 addr=127.0.0.1:8080"
        );
        assert_eq!(
            line("sock_accept_v2", &[3, 0, 16, 64], memory, Some(6)),
            "sock_accept_v2(fd=3, flags=0) = EAGAIN"
        );
        assert_eq!(
            line("fd_read", &[3, 8, 1, 16], &[(8, &[0, 0, 0, 0, 12]), (16, &[12])], Some(0)),
            "fd_read(fd=3, iovs=1/12) = 0 n=12"
        );
    }

    #[test]
    fn prints_text_and_durations() {
        assert_eq!(
            line("chdir", &[100, 6], &[(100, b"a\"b\n\xffz")], Some(44)),
            "chdir(path=\"a\\\"b\\n\u{fffd}z\") = ENOENT"
        );
        let long = line("chdir", &[100, 65], &[(100, &[b'x'; 65])], Some(0));
        assert_eq!(long, format!("chdir(path=\"{}\"..) = 0", "x".repeat(64)));
        let second = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0xca, 0x9a, 0x3b];
        assert_eq!(
            line("sock_set_opt_time", &[3, 19, 64], &[(64, &second)], Some(0)),
            "sock_set_opt_time(fd=3, opt=19, timeout=1s) = 0"
        );
        assert_eq!(
            line("fd_seek", &[3, u64::MAX, 0, 64], &[], Some(0)),
            "fd_seek(fd=3, offset=-1, whence=0) = 0 pos=0"
        );
    }

    #[test]
    fn a_call_that_does_not_return_has_no_outcome() {
        assert_eq!(line("proc_exit", &[3], &[], None), "proc_exit(code=3) = ?");
        assert_eq!(line("sched_yield", &[], &[], Some(4711)), "sched_yield() = ?");
    }

    #[test]
    fn arbitrary_pointers_are_numbers() {
        assert_eq!(
            line("chdir", &[ARBITRARY, ARBITRARY], &[], Some(0)),
            "chdir(path=0xffffffff/4294967295) = 0"
        );
        assert_eq!(
            line("fd_read", &[3, 0, 1_000_000, ARBITRARY], &[], Some(0)),
            "fd_read(fd=3, iovs=0x0/1000000) = 0 n=0xffffffff"
        );
        for function in &super::super::table::FUNCTIONS {
            let Some(function) = Function::find("wasix_32v1", function.name) else { continue };
            for value in [0, 1, 1021, ARBITRARY, u64::MAX] {
                let text = line(function.name, &vec![value; function.params.len()], &[], Some(0));
                assert!(text.len() < 400, "{text}");
            }
        }
    }
}
