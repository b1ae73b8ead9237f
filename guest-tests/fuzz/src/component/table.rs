//! The calls of a component: all that wasock itself serves of WASI 0.2, with the types by which the interpreter
//! imports and lowers them, and the generator chooses arguments.

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Network,
    Tcp,
    Udp,
    Input,
    Output,
    Incoming,
    Outgoing,
    Pollable,
    Error,
    LookUp,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::Network,
        Self::Tcp,
        Self::Udp,
        Self::Input,
        Self::Output,
        Self::Incoming,
        Self::Outgoing,
        Self::Pollable,
        Self::Error,
        Self::LookUp,
    ];

    /// Its name in the text of the interfaces.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Tcp => "tcp-socket",
            Self::Udp => "udp-socket",
            Self::Input => "input-stream",
            Self::Output => "output-stream",
            Self::Incoming => "incoming-datagram-stream",
            Self::Outgoing => "outgoing-datagram-stream",
            Self::Pollable => "pollable",
            Self::Error => "error",
            Self::LookUp => "resolve-address-stream",
        }
    }
}

/// A core type: all that values are lowered to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    I32,
    I64,
}

impl Word {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
        }
    }
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    /// A handle, which is lent.
    Handle(Kind),
    Address,
    MaybeAddress,
    U64,
    /// A time: the same, and no size.
    Time,
    U32,
    U8,
    Bool,
    Family,
    Shutdown,
    Bytes,
    Text,
    Pollables,
    Datagrams,
}

/// How many words an address is: its family, and as many as one of IPv6 has.
pub(super) const ADDRESS_WORDS: usize = 12;

impl Param {
    /// As the component's text has it.
    pub(super) fn text(self) -> String {
        match self {
            Self::Handle(kind) => format!("(borrow ${})", kind.name()),
            Self::Address => "$ip-socket-address".into(),
            Self::MaybeAddress => "(option $ip-socket-address)".into(),
            Self::U64 | Self::Time => "u64".into(),
            Self::U32 => "u32".into(),
            Self::U8 => "u8".into(),
            Self::Bool => "bool".into(),
            Self::Family => "$ip-address-family".into(),
            Self::Shutdown => "$shutdown-type".into(),
            Self::Bytes => "(list u8)".into(),
            Self::Text => "string".into(),
            Self::Pollables => "(list (borrow $pollable))".into(),
            Self::Datagrams => "(list $outgoing-datagram)".into(),
        }
    }

    /// What it is lowered to.
    pub(super) fn words(self) -> &'static [Word] {
        const ADDRESS: [Word; ADDRESS_WORDS + 1] = [Word::I32; ADDRESS_WORDS + 1];
        match self {
            Self::Address => ADDRESS.split_at(ADDRESS_WORDS).0,
            Self::MaybeAddress => &ADDRESS,
            Self::U64 | Self::Time => &[Word::I64],
            Self::Bytes | Self::Text | Self::Pollables | Self::Datagrams => &[Word::I32, Word::I32],
            Self::Handle(_) | Self::U32 | Self::U8 | Self::Bool | Self::Family | Self::Shutdown => {
                &[Word::I32]
            }
        }
    }
}

/// What a call returns where it does not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Nothing,
    Bool,
    Family,
    U8,
    U32,
    U64,
    Address,
    /// New handles, one after the other.
    Handles(&'static [Kind]),
    Text,
    Bytes,
    /// Places in a list.
    Places,
    Datagrams,
    MaybeIp,
    MaybeCode,
}

impl Value {
    pub(super) fn text(self) -> String {
        match self {
            Self::Nothing => "_".into(),
            Self::Bool => "bool".into(),
            Self::Family => "$ip-address-family".into(),
            Self::U8 => "u8".into(),
            Self::U32 => "u32".into(),
            Self::U64 => "u64".into(),
            Self::Address => "$ip-socket-address".into(),
            Self::Handles([kind]) => format!("(own ${})", kind.name()),
            Self::Handles(kinds) => {
                let kinds: String = kinds.iter().map(|kind| format!(" (own ${})", kind.name())).collect();
                format!("(tuple{kinds})")
            }
            Self::Text => "string".into(),
            Self::Bytes => "(list u8)".into(),
            Self::Places => "(list u32)".into(),
            Self::Datagrams => "(list $incoming-datagram)".into(),
            Self::MaybeIp => "(option $ip-address)".into(),
            Self::MaybeCode => "(option $error-code)".into(),
        }
    }

    /// Where it lies in memory, it begins at a multiple of this.
    fn alignment(self) -> u64 {
        match self {
            Self::Nothing | Self::Bool | Self::Family | Self::U8 | Self::MaybeCode => 1,
            Self::MaybeIp => 2,
            Self::U32
            | Self::Address
            | Self::Handles(_)
            | Self::Text
            | Self::Bytes
            | Self::Places
            | Self::Datagrams => 4,
            Self::U64 => 8,
        }
    }

    /// What the core function returns, where the value is no more than one word.
    fn word(self) -> Option<Word> {
        match self {
            Self::Bool | Self::Family | Self::U8 | Self::U32 | Self::Handles([_]) => Some(Word::I32),
            Self::U64 => Some(Word::I64),
            _ => None,
        }
    }
}

/// What a call fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// An `error-code` of `wasi:sockets`.
    Code,
    /// A `stream-error`, which may have a handle.
    Stream,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) interface: &'static str,
    /// As the interface has it.
    pub(super) name: &'static str,
    pub(super) params: &'static [(&'static str, Param)],
    pub(super) value: Value,
    pub(super) failure: Option<Failure>,
    /// How often it is called beside the others.
    pub(super) weight: usize,
}

impl Call {
    /// What the parameters are lowered to.
    pub(super) fn words(&self) -> impl Iterator<Item = Word> {
        self.params.iter().flat_map(|(_, param)| param.words().iter().copied())
    }

    /// Does it write what it returns where its last parameter points?
    pub(super) fn has_pointer(&self) -> bool {
        self.failure.is_some() || (self.value != Value::Nothing && self.value.word().is_none())
    }

    /// What the core function returns.
    pub(super) fn returned(&self) -> Option<Word> {
        if self.failure.is_some() { None } else { self.value.word() }
    }

    /// Where the value, or the failure, lies behind the byte that says which of the two it is.
    pub(super) fn payload(&self) -> u64 {
        let failure = match self.failure {
            None | Some(Failure::Code) => 1,
            Some(Failure::Stream) => 4,
        };
        self.value.alignment().max(failure)
    }

    /// The name without what says what kind of function it is.
    pub(super) fn short_name(&self) -> &'static str {
        self.name.split_once(']').map_or(self.name, |(_, name)| name)
    }

    pub(super) fn result_text(&self) -> String {
        let value = self.value.text();
        match self.failure {
            None if self.value == Value::Nothing => String::new(),
            None => format!("(result {value})"),
            Some(failure) => {
                let failure = match failure {
                    Failure::Code => "$error-code",
                    Failure::Stream => "$stream-error",
                };
                let value = if self.value == Value::Nothing { String::new() } else { format!("{value} ") };
                format!("(result (result {value}(error {failure})))")
            }
        }
    }
}

const fn call(
    interface: &'static str,
    name: &'static str,
    params: &'static [(&'static str, Param)],
    value: Value,
    failure: Option<Failure>,
    weight: usize,
) -> Call {
    Call { interface, name, params, value, failure, weight }
}

const CODE: Option<Failure> = Some(Failure::Code);
const STREAM: Option<Failure> = Some(Failure::Stream);

const TCP: (&str, Param) = ("self", Param::Handle(Kind::Tcp));
const UDP: (&str, Param) = ("self", Param::Handle(Kind::Udp));
const INPUT: (&str, Param) = ("self", Param::Handle(Kind::Input));
const OUTPUT: (&str, Param) = ("self", Param::Handle(Kind::Output));
const INCOMING: (&str, Param) = ("self", Param::Handle(Kind::Incoming));
const OUTGOING: (&str, Param) = ("self", Param::Handle(Kind::Outgoing));
const POLLABLE: (&str, Param) = ("self", Param::Handle(Kind::Pollable));
const LOOK_UP: (&str, Param) = ("self", Param::Handle(Kind::LookUp));
const NETWORK: (&str, Param) = ("network", Param::Handle(Kind::Network));

/// All of them. `wasi:sockets` begins with what it needs.
#[rustfmt::skip]
pub(super) const CALLS: &[Call] = &[
    call("io/error", "[method]error.to-debug-string", &[("self", Param::Handle(Kind::Error))], Value::Text, None, 6),
    call("io/poll", "[method]pollable.ready", &[POLLABLE], Value::Bool, None, 12),
    call("io/poll", "[method]pollable.block", &[POLLABLE], Value::Nothing, None, 3),
    call("io/poll", "poll", &[("in", Param::Pollables)], Value::Places, None, 24),
    call("io/streams", "[method]input-stream.read", &[INPUT, ("len", Param::U64)], Value::Bytes, STREAM, 24),
    call("io/streams", "[method]input-stream.blocking-read", &[INPUT, ("len", Param::U64)], Value::Bytes, STREAM, 2),
    call("io/streams", "[method]input-stream.skip", &[INPUT, ("len", Param::U64)], Value::U64, STREAM, 8),
    call("io/streams", "[method]input-stream.blocking-skip", &[INPUT, ("len", Param::U64)], Value::U64, STREAM, 1),
    call("io/streams", "[method]input-stream.subscribe", &[INPUT], Value::Handles(&[Kind::Pollable]), None, 8),
    call("io/streams", "[method]output-stream.check-write", &[OUTPUT], Value::U64, STREAM, 16),
    call("io/streams", "[method]output-stream.write", &[OUTPUT, ("contents", Param::Bytes)], Value::Nothing, STREAM, 20),
    call("io/streams", "[method]output-stream.blocking-write-and-flush", &[OUTPUT, ("contents", Param::Bytes)], Value::Nothing, STREAM, 3),
    call("io/streams", "[method]output-stream.flush", &[OUTPUT], Value::Nothing, STREAM, 8),
    call("io/streams", "[method]output-stream.blocking-flush", &[OUTPUT], Value::Nothing, STREAM, 2),
    call("io/streams", "[method]output-stream.subscribe", &[OUTPUT], Value::Handles(&[Kind::Pollable]), None, 8),
    call("io/streams", "[method]output-stream.write-zeroes", &[OUTPUT, ("len", Param::U64)], Value::Nothing, STREAM, 8),
    call("io/streams", "[method]output-stream.blocking-write-zeroes-and-flush", &[OUTPUT, ("len", Param::U64)], Value::Nothing, STREAM, 2),
    call("io/streams", "[method]output-stream.splice", &[OUTPUT, ("src", Param::Handle(Kind::Input)), ("len", Param::U64)], Value::U64, STREAM, 10),
    call("io/streams", "[method]output-stream.blocking-splice", &[OUTPUT, ("src", Param::Handle(Kind::Input)), ("len", Param::U64)], Value::U64, STREAM, 1),
    call("clocks/monotonic-clock", "now", &[], Value::U64, None, 2),
    call("clocks/monotonic-clock", "resolution", &[], Value::U64, None, 1),
    call("clocks/monotonic-clock", "subscribe-instant", &[("when", Param::Time)], Value::Handles(&[Kind::Pollable]), None, 4),
    call("clocks/monotonic-clock", "subscribe-duration", &[("when", Param::Time)], Value::Handles(&[Kind::Pollable]), None, 6),
    call("sockets/network", "network-error-code", &[("err", Param::Handle(Kind::Error))], Value::MaybeCode, None, 6),
    call("sockets/instance-network", "instance-network", &[], Value::Handles(&[Kind::Network]), None, 3),
    call("sockets/ip-name-lookup", "[method]resolve-address-stream.resolve-next-address", &[LOOK_UP], Value::MaybeIp, CODE, 6),
    call("sockets/ip-name-lookup", "[method]resolve-address-stream.subscribe", &[LOOK_UP], Value::Handles(&[Kind::Pollable]), None, 4),
    call("sockets/ip-name-lookup", "resolve-addresses", &[NETWORK, ("name", Param::Text)], Value::Handles(&[Kind::LookUp]), CODE, 4),
    call("sockets/tcp", "[method]tcp-socket.start-bind", &[TCP, NETWORK, ("local-address", Param::Address)], Value::Nothing, CODE, 16),
    call("sockets/tcp", "[method]tcp-socket.finish-bind", &[TCP], Value::Nothing, CODE, 12),
    call("sockets/tcp", "[method]tcp-socket.start-connect", &[TCP, NETWORK, ("remote-address", Param::Address)], Value::Nothing, CODE, 16),
    call("sockets/tcp", "[method]tcp-socket.finish-connect", &[TCP], Value::Handles(&[Kind::Input, Kind::Output]), CODE, 16),
    call("sockets/tcp", "[method]tcp-socket.start-listen", &[TCP], Value::Nothing, CODE, 12),
    call("sockets/tcp", "[method]tcp-socket.finish-listen", &[TCP], Value::Nothing, CODE, 10),
    call("sockets/tcp", "[method]tcp-socket.accept", &[TCP], Value::Handles(&[Kind::Tcp, Kind::Input, Kind::Output]), CODE, 24),
    call("sockets/tcp", "[method]tcp-socket.local-address", &[TCP], Value::Address, CODE, 10),
    call("sockets/tcp", "[method]tcp-socket.remote-address", &[TCP], Value::Address, CODE, 6),
    call("sockets/tcp", "[method]tcp-socket.is-listening", &[TCP], Value::Bool, None, 4),
    call("sockets/tcp", "[method]tcp-socket.address-family", &[TCP], Value::Family, None, 2),
    call("sockets/tcp", "[method]tcp-socket.set-listen-backlog-size", &[TCP, ("value", Param::U64)], Value::Nothing, CODE, 6),
    call("sockets/tcp", "[method]tcp-socket.keep-alive-enabled", &[TCP], Value::Bool, CODE, 2),
    call("sockets/tcp", "[method]tcp-socket.set-keep-alive-enabled", &[TCP, ("value", Param::Bool)], Value::Nothing, CODE, 3),
    call("sockets/tcp", "[method]tcp-socket.keep-alive-idle-time", &[TCP], Value::U64, CODE, 2),
    call("sockets/tcp", "[method]tcp-socket.set-keep-alive-idle-time", &[TCP, ("value", Param::Time)], Value::Nothing, CODE, 3),
    call("sockets/tcp", "[method]tcp-socket.keep-alive-interval", &[TCP], Value::U64, CODE, 2),
    call("sockets/tcp", "[method]tcp-socket.set-keep-alive-interval", &[TCP, ("value", Param::Time)], Value::Nothing, CODE, 3),
    call("sockets/tcp", "[method]tcp-socket.keep-alive-count", &[TCP], Value::U32, CODE, 2),
    call("sockets/tcp", "[method]tcp-socket.set-keep-alive-count", &[TCP, ("value", Param::U32)], Value::Nothing, CODE, 3),
    call("sockets/tcp", "[method]tcp-socket.hop-limit", &[TCP], Value::U8, CODE, 2),
    call("sockets/tcp", "[method]tcp-socket.set-hop-limit", &[TCP, ("value", Param::U8)], Value::Nothing, CODE, 3),
    call("sockets/tcp", "[method]tcp-socket.receive-buffer-size", &[TCP], Value::U64, CODE, 2),
    call("sockets/tcp", "[method]tcp-socket.set-receive-buffer-size", &[TCP, ("value", Param::U64)], Value::Nothing, CODE, 3),
    call("sockets/tcp", "[method]tcp-socket.send-buffer-size", &[TCP], Value::U64, CODE, 2),
    call("sockets/tcp", "[method]tcp-socket.set-send-buffer-size", &[TCP, ("value", Param::U64)], Value::Nothing, CODE, 3),
    call("sockets/tcp", "[method]tcp-socket.subscribe", &[TCP], Value::Handles(&[Kind::Pollable]), None, 12),
    call("sockets/tcp", "[method]tcp-socket.shutdown", &[TCP, ("shutdown-type", Param::Shutdown)], Value::Nothing, CODE, 6),
    call("sockets/tcp-create-socket", "create-tcp-socket", &[("address-family", Param::Family)], Value::Handles(&[Kind::Tcp]), CODE, 12),
    call("sockets/udp", "[method]udp-socket.start-bind", &[UDP, NETWORK, ("local-address", Param::Address)], Value::Nothing, CODE, 10),
    call("sockets/udp", "[method]udp-socket.finish-bind", &[UDP], Value::Nothing, CODE, 8),
    call("sockets/udp", "[method]udp-socket.stream", &[UDP, ("remote-address", Param::MaybeAddress)], Value::Handles(&[Kind::Incoming, Kind::Outgoing]), CODE, 10),
    call("sockets/udp", "[method]udp-socket.local-address", &[UDP], Value::Address, CODE, 4),
    call("sockets/udp", "[method]udp-socket.remote-address", &[UDP], Value::Address, CODE, 3),
    call("sockets/udp", "[method]udp-socket.address-family", &[UDP], Value::Family, None, 2),
    call("sockets/udp", "[method]udp-socket.unicast-hop-limit", &[UDP], Value::U8, CODE, 2),
    call("sockets/udp", "[method]udp-socket.set-unicast-hop-limit", &[UDP, ("value", Param::U8)], Value::Nothing, CODE, 2),
    call("sockets/udp", "[method]udp-socket.receive-buffer-size", &[UDP], Value::U64, CODE, 2),
    call("sockets/udp", "[method]udp-socket.set-receive-buffer-size", &[UDP, ("value", Param::U64)], Value::Nothing, CODE, 2),
    call("sockets/udp", "[method]udp-socket.send-buffer-size", &[UDP], Value::U64, CODE, 2),
    call("sockets/udp", "[method]udp-socket.set-send-buffer-size", &[UDP, ("value", Param::U64)], Value::Nothing, CODE, 2),
    call("sockets/udp", "[method]udp-socket.subscribe", &[UDP], Value::Handles(&[Kind::Pollable]), None, 3),
    call("sockets/udp", "[method]incoming-datagram-stream.receive", &[INCOMING, ("max-results", Param::U64)], Value::Datagrams, CODE, 12),
    call("sockets/udp", "[method]incoming-datagram-stream.subscribe", &[INCOMING], Value::Handles(&[Kind::Pollable]), None, 4),
    call("sockets/udp", "[method]outgoing-datagram-stream.check-send", &[OUTGOING], Value::U64, CODE, 8),
    call("sockets/udp", "[method]outgoing-datagram-stream.send", &[OUTGOING, ("datagrams", Param::Datagrams)], Value::U64, CODE, 12),
    call("sockets/udp", "[method]outgoing-datagram-stream.subscribe", &[OUTGOING], Value::Handles(&[Kind::Pollable]), None, 4),
    call("sockets/udp-create-socket", "create-udp-socket", &[("address-family", Param::Family)], Value::Handles(&[Kind::Udp]), CODE, 8),
];

/// The place of the call with this name.
pub(super) fn find(short_name: &str) -> Option<usize> {
    CALLS.iter().position(|call| call.short_name() == short_name)
}

/// What a component does besides, numbered after the calls and the drops of each [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// Stores 32 bits: address, value.
    Store,
    /// Copies bytes: address, source, length.
    Copy,
    /// Makes a list of pollables, of those in the words that the mask has, so many times over: mask, times.
    Gather,
    /// Has the next list that the host returns go there.
    Misplace,
    /// Asks for more memory.
    Grow,
}

pub(super) const OWN: [(Own, &str, &[Word]); 5] = [
    (Own::Store, "store", &[Word::I32, Word::I32]),
    (Own::Copy, "copy", &[Word::I32, Word::I32, Word::I32]),
    (Own::Gather, "gather", &[Word::I32, Word::I32]),
    (Own::Misplace, "misplace", &[Word::I32]),
    (Own::Grow, "grow", &[Word::I32]),
];

/// The number of the operation that drops a handle of `kind`.
pub(super) fn drop_of(kind: Kind) -> u8 {
    (CALLS.len() + kind as usize) as u8
}

impl Own {
    pub(super) fn number(self) -> u8 {
        (CALLS.len() + Kind::ALL.len() + self as usize) as u8
    }
}

/// How many operations there are.
pub(super) const OPERATIONS: usize = CALLS.len() + Kind::ALL.len() + OWN.len();

/// The name of an operation.
pub(super) fn name_of(number: usize) -> String {
    let after = number.checked_sub(CALLS.len());
    let kind = after.and_then(|at| Kind::ALL.get(at));
    let own = after.and_then(|at| OWN.get(at.checked_sub(Kind::ALL.len())?));
    match (CALLS.get(number), kind, own) {
        (Some(call), ..) => format!("{}.{}", call.interface, call.short_name()),
        (_, Some(kind), _) => format!("drop.{}", kind.name()),
        (_, _, Some((_, name, _))) => format!("own.{name}"),
        _ => format!("operation {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::OP_SIZE;
    use super::*;

    #[test]
    fn every_call_fits_an_operation() {
        for call in CALLS {
            let words = call.words().count() + usize::from(call.has_pointer());
            assert!(8 + 8 * words as u64 <= OP_SIZE, "{}", call.name);
        }
        const { assert!(OPERATIONS < 256) };
    }
}
