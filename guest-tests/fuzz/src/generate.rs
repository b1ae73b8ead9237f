//! Which calls a guest makes: any function with arguments that are mostly sensible, and in
//! between the sequences that real programs make, so that there is something to call on.

use wasock::internals::{Argument, ArgumentKind, Function};

use crate::arguments;
use crate::layout::{
    ADDRESS_SIZE, ADDRESSES, DATA, DATA_SIZE, DURATIONS, IOVS, IOVS_SIZE, NAME_LIST, NAME_SIZE, NAMES,
    NUMBERS, OUT, PORT_LAST, PORT_LAST_COUNT, PORT_LAST_SIZE, SPLIT_ADDRESSES, address,
};
use crate::module::Dialect;
use crate::op::{Arg, FdKind, Op, Own, function, functions};
use crate::random::Random;

/// How far arguments stray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arbitrariness {
    /// Nothing that traps or ends the guest.
    Tame,
    /// Now and then.
    Low,
    /// One argument in eight.
    High,
}

/// Makes operations.
pub(crate) struct Generator {
    pub(crate) random: Random,
    dialect: Dialect,
    arbitrariness: Arbitrariness,
    /// Indices of functions, as often as they are to be called.
    weighted: Vec<u16>,
    pub(crate) ops: Vec<Op>,
}

/// What ends a thread or the guest, or traps, whatever it is given.
const ENDINGS: [&str; 7] =
    ["proc_exit", "proc_exit2", "thread_exit", "proc_exec", "proc_exec2", "stack_restore", "proc_raise"];

/// What opens, connects and waits is called more often.
fn weight(function: &Function, arbitrariness: Arbitrariness) -> usize {
    if function.refused.is_some() {
        return 1;
    }
    if ENDINGS.contains(&function.name) {
        return match arbitrariness {
            Arbitrariness::Tame => 0,
            Arbitrariness::Low => 1,
            Arbitrariness::High => 2,
        };
    }
    let weight = match function.name {
        name if name.starts_with("sock_") => 24,
        name if name.starts_with("epoll_") || name.starts_with("futex_") => 16,
        "poll_oneoff" | "fd_read" | "fd_write" | "fd_close" | "path_open" | "path_open2" => 20,
        "fd_renumber" | "fd_dup" | "fd_dup2" | "fd_event" | "fd_pipe" => 12,
        "fd_fdstat_set_rights" | "resolve" | "thread_sleep" => 2,
        name if name.starts_with("thread") => 6,
        _ => 8,
    };
    if function.module == "wasi_unstable" { weight / 2 } else { weight }
}

impl Generator {
    pub(crate) fn new(random: Random, dialect: Dialect, arbitrariness: Arbitrariness) -> Self {
        let weighted = functions().enumerate().filter(|(_, function)| dialect.has(function));
        let weighted = weighted
            .flat_map(|(index, function)| std::iter::repeat_n(index as u16, weight(function, arbitrariness)))
            .collect();
        Self { random, dialect, arbitrariness, weighted, ops: Vec::new() }
    }

    /// `count` operations or a few more.
    pub(crate) fn list(mut self, count: usize) -> Vec<Op> {
        while self.ops.len() < count {
            if self.random.once_in(9) {
                self.sequence();
            } else {
                self.any_call();
            }
        }
        self.ops
    }

    fn any_call(&mut self) {
        let number = self.random.pick(&self.weighted);
        if let Some(function) = function(usize::from(number)) {
            let args = self.arguments(function);
            self.ops.push(Op { number, args });
        }
    }

    /// Is this a moment to stray?
    fn strays(&mut self, traps: bool) -> bool {
        match (self.arbitrariness, traps) {
            (Arbitrariness::Tame, true) => false,
            (Arbitrariness::Tame, false) | (Arbitrariness::Low, false) => self.random.once_in(24),
            (Arbitrariness::Low, true) => self.random.once_in(4000),
            (Arbitrariness::High, false) => self.random.once_in(8),
            (Arbitrariness::High, true) => self.random.once_in(60),
        }
    }

    pub(crate) fn arguments(&mut self, function: &'static Function) -> Vec<Arg> {
        let mut args = Vec::with_capacity(function.params.len());
        for (index, argument) in function.arguments.iter().enumerate() {
            self.argument(function, index, argument, &mut args);
        }
        args
    }

    fn argument(&mut self, function: &Function, index: usize, argument: &Argument, args: &mut Vec<Arg>) {
        match argument.kind {
            ArgumentKind::Fd => args.push(self.fd(function, index)),
            ArgumentKind::Text => {
                let name = self.name();
                args.extend(if self.strays(true) {
                    [self.arbitrary_pointer(), self.arbitrary_number()]
                } else {
                    name
                });
            }
            ArgumentKind::Iovs => {
                let sets = if self.strays(true) { 16 } else { 13 };
                let set = self.random.below(sets);
                let start = self.random.below(8);
                let count = if self.strays(false) {
                    self.arbitrary_number()
                } else {
                    Arg::Is(self.random.below(8 - start))
                };
                args.extend([Arg::Is(IOVS + set * IOVS_SIZE + start * 8), count]);
            }
            ArgumentKind::Bytes => args.extend([self.data(), Arg::Is(self.random.below(64))]),
            ArgumentKind::AddressIn => args.push(self.address(address::COUNT)),
            ArgumentKind::AddressOut => args.push(self.address_out()),
            ArgumentKind::SplitAddressIn | ArgumentKind::SplitAddressOut => {
                let at = SPLIT_ADDRESSES + 8 * self.random.below(16);
                args.push(self.pointer(at));
            }
            ArgumentKind::PortLastIn | ArgumentKind::InetIn => {
                let at = PORT_LAST + PORT_LAST_SIZE * self.random.below(PORT_LAST_COUNT);
                args.push(self.pointer(at));
            }
            ArgumentKind::PortLastOut => {
                let at = PORT_LAST + PORT_LAST_SIZE * (8 + self.random.below(4));
                args.push(self.pointer(at));
            }
            ArgumentKind::TextToNul => {
                let [at, _] = self.name();
                args.push(if self.strays(true) { self.arbitrary_pointer() } else { at });
            }
            ArgumentKind::Inet4In => args.push(self.pointer(ADDRESSES + address::GROUP4 * ADDRESS_SIZE)),
            ArgumentKind::Inet6In => args.push(self.pointer(ADDRESSES + address::GROUP6 * ADDRESS_SIZE)),
            ArgumentKind::OutFd => {
                let kind = arguments::opened_by(function.name, index)
                    .unwrap_or_else(|| self.random.pick(FdKind::NO_DIR));
                let word = kind.word(self.random.below(4));
                args.push(self.pointer(word));
            }
            ArgumentKind::OutU8
            | ArgumentKind::OutU16
            | ArgumentKind::OutU32
            | ArgumentKind::OutU64
            | ArgumentKind::OutPort => {
                let at = NUMBERS + 8 * self.random.below(64);
                args.push(self.pointer(at));
            }
            ArgumentKind::OptionTimestampIn => {
                // The one for ever is the last but one.
                let at = DURATIONS + 16 * if self.random.once_in(60) { 4 } else { 1 + self.random.below(3) };
                args.push(self.pointer(at));
            }
            ArgumentKind::OptionTimestampOut => args.push(self.pointer(OUT)),
            ArgumentKind::Pointer => {
                let at = arguments::pointer(&mut self.random, function.name, argument.name);
                args.push(self.pointer(at));
            }
            // Kinds that are added later are numbers to this.
            _ if self.strays(false) && !arguments::is_size(argument.name) => {
                args.push(self.arbitrary_number())
            }
            _ => {
                let number = arguments::number(&mut self.random, function.name, argument.name);
                args.push(number);
            }
        }
    }

    fn fd(&mut self, function: &Function, index: usize) -> Arg {
        let word = self.random.below(4);
        match self.random.below(20) {
            0..=13 => {
                let kind = self.random.pick(arguments::wanted_by(function.name, index));
                // The first directory is open from the start.
                let word = if kind == FdKind::Dir && self.random.once_in(2) { 0 } else { word };
                Arg::At(kind.word(word))
            }
            14..=16 => {
                let kinds = if self.random.once_in(20) { &FdKind::ALL } else { FdKind::NO_DIR };
                Arg::At(self.random.pick(kinds).word(word))
            }
            17 | 18 => Arg::Is(self.random.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 7, 8, 9])),
            _ => Arg::Is(self.random.pick(&[0xffff_ffff, 0x8000_0000, 0x7fff_ffff, 1023, 1024, 63, 64, 65])),
        }
    }

    fn name(&mut self) -> [Arg; 2] {
        let count = if self.random.once_in(6) { NAME_LIST.len() } else { 8 };
        self.name_number(count)
    }

    fn name_number(&mut self, below: usize) -> [Arg; 2] {
        let index = self.random.index(below);
        let len = NAME_LIST[index].len() as u64;
        [Arg::Is(NAMES + index as u64 * NAME_SIZE), Arg::Is(len)]
    }

    fn data(&mut self) -> Arg {
        let at = DATA + self.random.below(DATA_SIZE);
        self.pointer(at)
    }

    pub(crate) fn address(&mut self, below: u64) -> Arg {
        let index = self.random.below(below);
        self.pointer(ADDRESSES + index * ADDRESS_SIZE)
    }

    fn address_out(&mut self) -> Arg {
        let index = address::FIRST_OUT + self.random.below(8);
        self.pointer(ADDRESSES + index * ADDRESS_SIZE)
    }

    fn pointer(&mut self, good: u64) -> Arg {
        if self.strays(true) { self.arbitrary_pointer() } else { Arg::Is(good) }
    }

    fn arbitrary_pointer(&mut self) -> Arg {
        Arg::Is(arguments::arbitrary_pointer(&mut self.random))
    }

    fn arbitrary_number(&mut self) -> Arg {
        Arg::Is(arguments::arbitrary_number(&mut self.random))
    }

    /// A call of `name`, with these arguments; nothing in a dialect that lacks it.
    pub(crate) fn call(&mut self, name: &str, args: &[Arg]) {
        let is_it = |function: &Function| {
            function.name == name && function.params.len() == args.len() && self.dialect.has(function)
        };
        // What several modules have is called by any of them.
        let found: Vec<usize> =
            functions().enumerate().filter(|(_, function)| is_it(function)).map(|(at, _)| at).collect();
        if !found.is_empty() {
            let number = self.random.pick(&found) as u16;
            self.ops.push(Op { number, args: args.to_vec() });
        }
    }

    pub(crate) fn is_wasmedge(&self) -> bool {
        self.dialect.is_wasmedge()
    }

    pub(crate) fn is_wamr(&self) -> bool {
        matches!(self.dialect, Dialect::Wamr | Dialect::WamrThreads)
    }

    /// Where the numbers of families and of kinds of sockets begin in WasmEdge: before 0.10 with 0.
    pub(crate) fn first_number(&self) -> u64 {
        u64::from(self.dialect != Dialect::WasmEdgeFirst)
    }

    /// The number of datagram sockets in this dialect.
    pub(crate) fn datagram(&self) -> u64 {
        if self.dialect.is_first() { 0 } else { 2 }
    }

    /// The number of sockets of connected messages.
    pub(crate) fn seqpacket(&self) -> u64 {
        if self.dialect.is_first() { 3 } else { 4 }
    }

    pub(crate) fn store(&mut self, at: u64, value: Arg) {
        self.ops.push(Op::own(Own::Store32, &[Arg::Is(at), value]));
    }
}
