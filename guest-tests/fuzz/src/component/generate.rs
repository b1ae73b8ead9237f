//! Which calls a component makes: any of them with arguments that are mostly sensible, and in between the sequences
//! that programs make.
//!
//! A trap is the end of a component, and many things that a module would be told are traps to it. So most
//! operations are none that could trap, and those that could are marked as wild.

use super::layout::{
    ADDRESS_SIZE, ADDRESSES, DATA, DATAGRAM_COUNT, DATAGRAM_SIZE, DATAGRAMS, END, HANDLES_A_KIND, HEAP,
    NAME_LIST, NAME_SIZE, NAMES, NO_TEXT, POLL_COUNT, POLL_LIST, RETURNED, address, word,
};
use super::op::Op;
use super::table::{ADDRESS_WORDS, CALLS, Call, Kind, Own, Param, Value, drop_of, find};
use crate::op::Arg;
use crate::random::Random;

/// What a guest may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// Once in so many operations it does what may trap; never where it is 0.
    pub(super) wild_once_in: u64,
    /// Does it make calls that block at any time? Otherwise only where that should be short.
    pub(super) blocks: bool,
    /// May a stream not be dropped before its pollables? That is so where another host than wasock's own has them.
    pub(super) has_children: bool,
    /// Does it fill the table of resources, and goes on?
    pub(super) hoards: bool,
}

/// As many pollables as there are resources where descriptors are few.
const HOARD: usize = 1150;

/// The word of a pollable of a clock, for waits that are to be short.
const CLOCK: u64 = HANDLES_A_KIND - 1;

const NANOSECONDS: [u64; 6] = [0, 1, 20_000, 100_000, 300_000, 1_000_000];

const SIZES: [u64; 12] = [0, 1, 2, 17, 512, 4096, 20_000, 65_536, 65_537, 1 << 31, 1 << 63, u64::MAX];

/// Makes operations.
pub(super) struct Generator {
    random: Random,
    manners: Manners,
    /// Places of calls, as often as they are to be made.
    weighted: Vec<u8>,
    /// Which words may hold a handle, for each kind.
    filled: [Vec<u64>; Kind::ALL.len()],
    ops: Vec<Op>,
}

fn may_block(call: &Call) -> bool {
    call.name.contains("blocking") || call.name.ends_with(".block")
}

impl Generator {
    pub(super) fn new(random: Random, manners: Manners) -> Self {
        let calls = CALLS.iter().zip(0_u8..).filter(|(call, _)| manners.blocks || !may_block(call));
        let weighted = calls.flat_map(|(call, at)| std::iter::repeat_n(at, call.weight)).collect();
        Self { random, manners, weighted, filled: Default::default(), ops: Vec::new() }
    }

    /// `count` operations or a few more.
    pub(super) fn list(mut self, count: usize) -> Vec<Op> {
        self.call("instance-network", &[], 0);
        self.until(count);
        if self.manners.hoards {
            for _ in 0..HOARD {
                self.call("subscribe-duration", &[Arg::Is(0)], CLOCK);
            }
            self.until(self.ops.len() + 50);
        }
        self.ops
    }

    fn until(&mut self, count: usize) {
        while self.ops.len() < count {
            match self.random.below(12) {
                0 | 1 => self.sequence(),
                2 => self.any_drop(),
                _ => self.any_call(),
            }
        }
    }

    fn any_call(&mut self) {
        let number = self.random.pick(&self.weighted);
        let call = &CALLS[usize::from(number)];
        if call.short_name() == "poll" {
            let mask = self.random.next() & self.random.next();
            return self.poll(mask);
        }
        let is_wild = self.manners.wild_once_in > 0 && self.random.once_in(self.manners.wild_once_in);
        let mut args = Vec::new();
        // Of a wild one only one argument is wrong: the first that is decides.
        let wrong = if is_wild { self.random.index(call.params.len() + 1) } else { usize::MAX };
        let mut out = self.random.below(HANDLES_A_KIND - 1);
        for (index, (_, param)) in call.params.iter().enumerate() {
            if index == wrong {
                self.wrong(call, *param, &mut args);
            } else {
                self.right(call, *param, &mut args);
            }
            // One pair of streams for each socket, in words of the same number.
            if let (Param::Handle(Kind::Udp), Some(Arg::At(at))) = (param, args.first()) {
                out = at / 4 % HANDLES_A_KIND;
            }
        }
        if call.has_pointer() {
            let is_wrong = wrong == call.params.len();
            args.push(if is_wrong { self.wrong_pointer() } else { Arg::Is(RETURNED) });
        }
        self.push(number, out, is_wild, args);
    }

    fn push(&mut self, number: u8, out: u64, is_wild: bool, args: Vec<Arg>) {
        if let Some(Call { value: Value::Handles(kinds), .. }) = CALLS.get(usize::from(number)) {
            kinds.iter().for_each(|kind| self.fill(*kind, out));
        }
        self.ops.push(Op { number, out: out as u8, is_wild, args });
    }

    fn fill(&mut self, kind: Kind, index: u64) {
        let filled = &mut self.filled[kind as usize];
        if !filled.contains(&index) {
            filled.push(index);
        }
    }

    /// A word with a handle of this kind, as far as is known.
    fn handle(&mut self, kind: Kind) -> Arg {
        let filled = &self.filled[kind as usize];
        let index = match filled.is_empty() {
            true => self.random.below(HANDLES_A_KIND),
            false => filled[self.random.index(filled.len())],
        };
        Arg::At(word(kind, index))
    }

    fn right(&mut self, call: &Call, param: Param, args: &mut Vec<Arg>) {
        let is_small = may_block(call);
        match param {
            Param::Handle(kind) => args.push(self.handle(kind)),
            Param::Address => {
                let index = self.address();
                args.extend(address_words(index));
            }
            Param::MaybeAddress => {
                let index = self.address();
                args.push(Arg::Is(self.random.below(2)));
                args.extend(address_words(index));
            }
            Param::U64 if is_small => args.push(Arg::Is(self.random.pick(&[0, 1, 5, 700, 4096]))),
            Param::U64 => args.push(Arg::Is(self.random.pick(&SIZES))),
            Param::Time if self.random.once_in(8) => args.push(Arg::Is(self.random.pick(&SIZES))),
            Param::Time => {
                let seconds = if call.name.starts_with("set") { 1_000_000 } else { 1 };
                args.push(Arg::Is(self.random.pick(&NANOSECONDS) * seconds));
            }
            Param::U32 | Param::U8 | Param::Bool => {
                args.push(Arg::Is(self.random.pick(&[
                    0,
                    1,
                    2,
                    7,
                    64,
                    127,
                    128,
                    255,
                    256,
                    0x8000_0000,
                    0xffff_ffff,
                ])));
            }
            Param::Family => args.push(Arg::Is(u64::from(self.random.once_in(4)))),
            Param::Shutdown => args.push(Arg::Is(self.random.below(3))),
            Param::Bytes => {
                let lengths: &[u64] =
                    if is_small { &[0, 1, 64, 4096] } else { &[0, 1, 64, 700, 4096, 20_000, 65_536, 65_536] };
                args.extend([Arg::Is(DATA + self.random.below(4096)), Arg::Is(self.random.pick(lengths))]);
            }
            Param::Text => {
                // A look-up of what is not granted is quickly refused.
                let count = if self.random.once_in(3) { NAME_LIST.len() } else { 4 };
                let index = self.random.index(count);
                args.extend([
                    Arg::Is(NAMES + NAME_SIZE * index as u64),
                    Arg::Is(NAME_LIST[index].len() as u64),
                ]);
            }
            Param::Pollables => args.extend([Arg::Is(POLL_LIST), Arg::At(POLL_COUNT)]),
            Param::Datagrams => {
                let first = self.random.below(DATAGRAM_COUNT);
                let count = self.random.below(17.min(DATAGRAM_COUNT - first + 1));
                args.extend([Arg::Is(DATAGRAMS + first * DATAGRAM_SIZE), Arg::Is(count)]);
            }
        }
    }

    /// What may end the guest.
    fn wrong(&mut self, call: &Call, param: Param, args: &mut Vec<Arg>) {
        match param {
            Param::Handle(kind) => args.push(match self.random.below(4) {
                0 => Arg::Is(self.random.below(64)),
                1 => Arg::Is(self.random.pick(&[0xffff_ffff, 0x8000_0000, 100_000, 0x0fff_ffff])),
                // One that was dropped, perhaps, or none.
                2 => Arg::At(word(kind, self.random.below(HANDLES_A_KIND))),
                _ => {
                    let other = self.random.pick(&Kind::ALL);
                    self.handle(other)
                }
            }),
            Param::Address | Param::MaybeAddress => {
                let from = args.len();
                self.right(call, param, args);
                let at = self.random.index(param.words().len().min(6));
                args[from + at] = Arg::Is(self.random.pick(&[2, 256, 65_536, 0xffff_ffff]));
            }
            Param::Family => args.push(Arg::Is(self.random.pick(&[2, 3, 0xffff_ffff]))),
            Param::Shutdown => args.push(Arg::Is(self.random.pick(&[3, 256, 0xffff_ffff]))),
            Param::Text if self.random.once_in(2) => args.extend([Arg::Is(NO_TEXT), Arg::Is(11)]),
            Param::Bytes | Param::Text | Param::Pollables | Param::Datagrams => {
                let length =
                    self.random.pick(&[0, 1, 2, 17, 4097, 65_537, 0x10_0000, 0x8000_0000, 0xffff_ffff]);
                args.extend(match self.random.below(3) {
                    0 => [self.wrong_pointer(), Arg::Is(1)],
                    1 => [Arg::Is(END - 4), Arg::Is(length)],
                    _ => [Arg::Is(DATAGRAMS), Arg::Is(length)],
                });
            }
            Param::U64 | Param::Time | Param::U32 | Param::U8 | Param::Bool => self.right(call, param, args),
        }
    }

    fn wrong_pointer(&mut self) -> Arg {
        Arg::Is(self.random.pick(&[0, 1, END, END - 1, END - 4, RETURNED + 1, 0x7fff_fff8, 0xffff_fff8]))
    }

    fn address(&mut self) -> u64 {
        match self.random.below(10) {
            0..=2 => address::INET4,
            3 => address::INET6,
            4 => address::PEER_TCP,
            5 => self.random.pick(&[address::PEER_UDP, address::HELD]),
            6..=8 => address::FIRST_LEARNED + self.random.below(address::COUNT - address::FIRST_LEARNED),
            _ => self.random.below(address::COUNT),
        }
    }

    /// Drops something, which is mostly not there any more then.
    fn any_drop(&mut self) {
        let kind = self.random.pick(&[
            Kind::Tcp,
            Kind::Tcp,
            Kind::Input,
            Kind::Output,
            Kind::Udp,
            Kind::Incoming,
            Kind::Outgoing,
            Kind::Pollable,
            Kind::Pollable,
            Kind::Error,
            Kind::LookUp,
        ]);
        let filled = self.filled[kind as usize].len();
        if filled == 0 {
            return;
        }
        let index = self.filled[kind as usize][self.random.index(filled)];
        let is_wild = self.manners.wild_once_in > 0 && self.random.once_in(self.manners.wild_once_in);
        self.drop_one(kind, index, is_wild);
    }

    fn drop_one(&mut self, kind: Kind, index: u64, is_wild: bool) {
        if self.manners.has_children && matches!(kind, Kind::Input | Kind::Output) && !is_wild {
            for pollable in 0..HANDLES_A_KIND {
                self.drop_one(Kind::Pollable, pollable, false);
            }
        }
        if !is_wild {
            self.filled[kind as usize].retain(|filled| *filled != index);
        }
        self.push(drop_of(kind), 0, is_wild, vec![Arg::At(word(kind, index))]);
    }

    fn own(&mut self, own: Own, args: &[Arg]) {
        self.push(own.number(), 0, false, args.to_vec());
    }

    /// Makes a call with these arguments, and the one where its result goes.
    fn call(&mut self, short_name: &str, args: &[Arg], out: u64) {
        let Some(number) = find(short_name) else { return };
        let mut args = args.to_vec();
        if CALLS[number].has_pointer() {
            args.push(Arg::Is(RETURNED));
        }
        self.push(number as u8, out, false, args);
    }

    /// Waits for what `mask` has, and not for long.
    fn poll(&mut self, mask: u64) {
        let time = self.random.pick(&NANOSECONDS);
        self.call("subscribe-duration", &[Arg::Is(time)], CLOCK);
        let times =
            if self.random.once_in(12) { self.random.pick(&[0, 2, 20, 300, 4000, 20_000]) } else { 1 };
        self.own(Own::Gather, &[Arg::Is(mask | 1 << CLOCK), Arg::Is(times)]);
        if self.manners.wild_once_in > 0 && self.random.once_in(self.manners.wild_once_in) {
            let mut args = Vec::new();
            if let Some(number) = find("poll") {
                self.wrong(&CALLS[number], Param::Pollables, &mut args);
                args.push(Arg::Is(RETURNED));
                self.push(number as u8, 0, true, args);
            }
            return;
        }
        self.call("poll", &[Arg::Is(POLL_LIST), Arg::At(POLL_COUNT)], 0);
    }

    fn sequence(&mut self) {
        match self.random.below(12) {
            0 | 1 => {
                let to = self.random.below(5);
                self.listen(to);
                self.accept(to);
            }
            2 | 3 => self.connect(),
            4..=6 => self.pair(),
            7 | 8 => self.datagrams(),
            9 => self.look_up(),
            10 => self.errors(),
            _ => self.oddities(),
        }
    }

    /// A listener in word `to`, whose address is the learned one of the same number.
    fn listen(&mut self, to: u64) {
        let socket = Arg::At(word(Kind::Tcp, to));
        let network = Arg::At(word(Kind::Network, 0));
        let index = self.random.pick(&[
            address::INET4,
            address::INET4,
            address::INET4,
            address::INET6,
            address::HELD,
        ]);
        self.call("create-tcp-socket", &[Arg::Is(u64::from(index == address::INET6))], to);
        let mut args = vec![socket, network];
        args.extend(address_words(index));
        self.call("tcp-socket.start-bind", &args, 0);
        self.call("tcp-socket.finish-bind", &[socket], 0);
        if self.random.once_in(3) {
            let size = self.random.pick(&[1, 2, 5, 100, u64::MAX]);
            self.call("tcp-socket.set-listen-backlog-size", &[socket, Arg::Is(size)], 0);
        }
        self.call("tcp-socket.start-listen", &[socket], 0);
        self.call("tcp-socket.finish-listen", &[socket], 0);
        self.call("tcp-socket.local-address", &[socket], to);
    }

    /// Waits for connections, and takes some.
    fn accept(&mut self, listener: u64) {
        let socket = Arg::At(word(Kind::Tcp, listener));
        for _ in 0..=self.random.below(3) {
            self.call("tcp-socket.subscribe", &[socket], 0);
            self.poll(1);
            let to = 5 + self.random.below(HANDLES_A_KIND - 6);
            self.call("tcp-socket.accept", &[socket], to);
            if self.random.once_in(2) {
                self.exchange(to, to);
            }
        }
    }

    fn connect(&mut self) {
        let to = 5 + self.random.below(HANDLES_A_KIND - 6);
        let index = self.random.pick(&[address::PEER_TCP, address::PEER_TCP, address::FIRST_LEARNED, 6, 7]);
        self.connect_to(to, index);
        self.exchange(to, to);
    }

    fn connect_to(&mut self, to: u64, index: u64) {
        let socket = Arg::At(word(Kind::Tcp, to));
        self.call("create-tcp-socket", &[Arg::Is(u64::from(index == 7))], to);
        let mut args = vec![socket, Arg::At(word(Kind::Network, 0))];
        args.extend(address_words(index));
        self.call("tcp-socket.start-connect", &args, 0);
        self.call("tcp-socket.subscribe", &[socket], 1);
        self.poll(2);
        self.call("tcp-socket.finish-connect", &[socket], to);
    }

    /// Both ends of a connection.
    fn pair(&mut self) {
        let (listener, one) = (self.random.below(5), 5 + self.random.below(4));
        let other = one + 5;
        self.listen(listener);
        self.connect_to(one, address::FIRST_LEARNED + listener);
        let socket = Arg::At(word(Kind::Tcp, listener));
        self.call("tcp-socket.subscribe", &[socket], 0);
        self.poll(1);
        self.call("tcp-socket.accept", &[socket], other);
        // A client of the peers' may have come first.
        if self.random.once_in(2) {
            self.call("tcp-socket.accept", &[socket], other);
        }
        for _ in 0..=self.random.below(4) {
            match self.random.below(3) {
                0 => self.exchange(one, other),
                1 => self.exchange(other, one),
                _ => self.fill_up(one, other),
            }
        }
        self.end(one);
        if self.random.once_in(2) {
            self.exchange(other, other);
            self.end(other);
        }
    }

    /// Writes to one connection, and reads from another, which is mostly its other end.
    fn exchange(&mut self, writer: u64, reader: u64) {
        let (output, input) = (Arg::At(word(Kind::Output, writer)), Arg::At(word(Kind::Input, reader)));
        let back = Arg::At(word(Kind::Output, reader));
        self.call("output-stream.check-write", &[output], 0);
        let length = self.random.pick(&[1, 64, 4096, 65_536]);
        match self.random.below(4) {
            0 => self.call("output-stream.write-zeroes", &[output, Arg::Is(length)], 0),
            _ => self.call("output-stream.write", &[output, Arg::Is(DATA), Arg::Is(length)], 0),
        }
        self.call("output-stream.flush", &[output], 0);
        self.call("input-stream.subscribe", &[input], 2);
        self.call("output-stream.subscribe", &[output], 3);
        self.poll(4);
        let most = self.random.pick(&SIZES);
        match self.random.below(16) {
            // What waits for the other end of a pair is mostly not for long.
            0 if writer != reader => match self.random.below(3) {
                0 => {
                    self.call("output-stream.blocking-splice", &[back, input, Arg::Is(most.min(4096))], 0);
                }
                1 => self.call("input-stream.blocking-skip", &[input, Arg::Is(64)], 0),
                _ => self.call("input-stream.blocking-read", &[input, Arg::Is(64)], 0),
            },
            1 => {
                let length = Arg::Is(length.min(4096));
                match self.random.below(3) {
                    0 => {
                        let name = "output-stream.blocking-write-zeroes-and-flush";
                        self.call(name, &[output, length], 0);
                    }
                    1 => self.call("output-stream.blocking-flush", &[output], 0),
                    _ => {
                        let name = "output-stream.blocking-write-and-flush";
                        self.call(name, &[output, Arg::Is(DATA), length], 0);
                    }
                }
            }
            2..=4 => self.call("output-stream.splice", &[back, input, Arg::Is(most)], 0),
            5 | 6 => self.call("input-stream.skip", &[input, Arg::Is(most)], 0),
            _ => self.call("input-stream.read", &[input, Arg::Is(most)], 0),
        }
    }

    /// Writes more than the other end takes.
    fn fill_up(&mut self, writer: u64, reader: u64) {
        let output = Arg::At(word(Kind::Output, writer));
        let small = Arg::Is(4096);
        self.call("tcp-socket.set-send-buffer-size", &[Arg::At(word(Kind::Tcp, writer)), small], 0);
        for _ in 0..self.random.pick(&[2, 8, 60]) {
            self.call("output-stream.check-write", &[output], 0);
            self.call("output-stream.write", &[output, Arg::Is(DATA), Arg::Is(65_536)], 0);
        }
        if self.random.once_in(2) {
            let input = Arg::At(word(Kind::Input, reader));
            self.call("output-stream.subscribe", &[output], 4);
            for _ in 0..self.random.below(40) {
                self.call("input-stream.read", &[input, Arg::Is(u64::MAX)], 0);
            }
            self.poll(1 << 4);
        }
    }

    /// Lets go of a connection, in any order.
    fn end(&mut self, at: u64) {
        let mut kinds = vec![Kind::Tcp, Kind::Input, Kind::Output];
        if self.random.once_in(2) {
            let how = Arg::Is(self.random.below(3));
            self.call("tcp-socket.shutdown", &[Arg::At(word(Kind::Tcp, at)), how], 0);
        }
        while !kinds.is_empty() {
            let kind = kinds.swap_remove(self.random.index(kinds.len()));
            if self.random.once_in(5) {
                continue;
            }
            self.drop_one(kind, at, false);
        }
    }

    fn datagrams(&mut self) {
        let to = self.random.below(HANDLES_A_KIND - 1);
        let socket = Arg::At(word(Kind::Udp, to));
        let (incoming, outgoing) = (Arg::At(word(Kind::Incoming, to)), Arg::At(word(Kind::Outgoing, to)));
        let index = self.random.pick(&[address::INET4, address::INET4, address::INET6]);
        self.call("create-udp-socket", &[Arg::Is(index)], to);
        let mut args = vec![socket, Arg::At(word(Kind::Network, 0))];
        args.extend(address_words(index));
        self.call("udp-socket.start-bind", &args, 0);
        self.call("udp-socket.finish-bind", &[socket], 0);
        self.call("udp-socket.local-address", &[socket], to);
        for _ in 0..=self.random.below(3) {
            let is_limited = self.random.once_in(2);
            let learned = address::FIRST_LEARNED + to % (address::COUNT - address::FIRST_LEARNED);
            let peer = self.random.pick(&[address::PEER_UDP, address::PEER_UDP, learned, 6]);
            let mut args = vec![socket, Arg::Is(u64::from(is_limited))];
            args.extend(address_words(peer));
            self.call("udp-socket.stream", &args, to);
            for _ in 0..=self.random.below(3) {
                self.call("outgoing-datagram-stream.check-send", &[outgoing], 0);
                let first = match is_limited {
                    true => self.random.below(DATAGRAM_COUNT / 2),
                    false => DATAGRAM_COUNT / 2 + self.random.pick(&[address::PEER_UDP, learned]),
                };
                let count = 1 + self.random.below(3);
                let list = Arg::Is(DATAGRAMS + first * DATAGRAM_SIZE);
                self.call("outgoing-datagram-stream.send", &[outgoing, list, Arg::Is(count)], 0);
                self.call("incoming-datagram-stream.subscribe", &[incoming], 5);
                self.poll(1 << 5);
                let most = self.random.pick(&[0, 1, 5, 16, 17, u64::MAX]);
                self.call("incoming-datagram-stream.receive", &[incoming, Arg::Is(most)], to);
            }
        }
    }

    fn look_up(&mut self) {
        let to = self.random.below(4);
        let stream = Arg::At(word(Kind::LookUp, to));
        let index = self.random.index(4);
        let name = [Arg::Is(NAMES + NAME_SIZE * index as u64), Arg::Is(NAME_LIST[index].len() as u64)];
        self.call("resolve-addresses", &[Arg::At(word(Kind::Network, 0)), name[0], name[1]], to);
        self.call("resolve-address-stream.subscribe", &[stream], 6);
        for _ in 0..3 {
            self.poll(1 << 6);
            self.call("resolve-address-stream.resolve-next-address", &[stream], 0);
        }
        if self.random.once_in(2) {
            self.drop_one(Kind::LookUp, to, false);
            self.poll(1 << 6);
        }
    }

    /// Writes to what a peer may have reset, and asks what went wrong.
    fn errors(&mut self) {
        let output = self.handle(Kind::Output);
        let input = self.handle(Kind::Input);
        for _ in 0..3 {
            self.call("output-stream.check-write", &[output], 0);
            self.call("output-stream.write", &[output, Arg::Is(DATA), Arg::Is(64)], 0);
            self.call("input-stream.read", &[input, Arg::Is(64)], 0);
            self.poll(0);
        }
        self.fill(Kind::Error, 0);
        let error = Arg::At(word(Kind::Error, 0));
        self.call("error.to-debug-string", &[error], 0);
        self.call("network-error-code", &[error], 0);
        self.drop_one(Kind::Error, 0, false);
    }

    fn oddities(&mut self) {
        match self.random.below(5) {
            4 => {
                self.call("instance-network", &[], 3);
                self.drop_one(Kind::Network, 3, false);
            }
            0 => self.own(Own::Grow, &[Arg::Is(1)]),
            1 => {
                self.call("subscribe-duration", &[Arg::Is(100_000)], CLOCK);
                self.call("pollable.block", &[Arg::At(word(Kind::Pollable, CLOCK))], 0);
            }
            2 => {
                // Numbers that a list of addresses does not begin with.
                let to = ADDRESSES + ADDRESS_SIZE * self.address();
                let port = self.random.pick(&[0, 1, 80, 65_535]);
                self.own(Own::Store, &[Arg::Is(to + 4), Arg::Is(port)]);
            }
            _ if self.manners.wild_once_in > 0 && self.random.once_in(self.manners.wild_once_in.min(20)) => {
                let at = self.random.pick(&[1, 2, 3, HEAP + 1, END, END - 1, END - 8, 0xffff_fff0]);
                self.own(Own::Misplace, &[Arg::Is(at)]);
            }
            _ => {
                let from = word(self.random.pick(&[Kind::Tcp, Kind::Pollable]), 0);
                // The list of pollables has what is not in words, too.
                self.own(Own::Copy, &[Arg::Is(DATA), Arg::Is(from), Arg::Is(64)]);
            }
        }
    }
}

/// The words of an address.
fn address_words(index: u64) -> impl Iterator<Item = Arg> {
    (0..ADDRESS_WORDS as u64).map(move |at| Arg::At(ADDRESSES + index * ADDRESS_SIZE + 4 * at))
}
