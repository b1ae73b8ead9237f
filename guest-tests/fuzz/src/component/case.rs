//! One component: what it may do, and the calls that it makes, all from its seed.

use std::fmt::Write as _;
use std::time::Duration;

use super::generate::{Generator, Manners};
use super::layout::{HEADER, LIST, MAX_OPS, OP_SIZE, start};
use super::op::Op;
use super::table::{Kind, Own};
use super::text::component;
use crate::case::Terms;
use crate::layout::PeerPorts;
use crate::op::Arg;
use crate::random::Random;

/// How the component is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By `Guest::run`, on a thread of its own, which parks.
    OwnThread,
    /// By `Guest::run`, where the future is polled.
    Run,
    /// In a store of the embedder's, with `add_to_component_linker` beside a `WasiCtx`.
    Linker,
}

/// A component.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) index: u64,
    pub(crate) way: Way,
    pub(crate) terms: Terms,
    /// How long it may take.
    pub(super) patience: Duration,
    /// Does the host hold a listener for it?
    pub(crate) has_held: bool,
    /// A bit for each kind of handle of which it keeps what it no longer has a word for.
    leaks: u32,
    rounds: u32,
    manners: Manners,
    ops: Vec<Op>,
}

impl Case {
    /// Guest `index` of the run with `seed`, as a component.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        let mut random = Random::of_guest(seed, index);
        let way = random.pick(&[Way::OwnThread, Way::OwnThread, Way::Run, Way::Run, Way::Linker]);
        let terms = Terms::choose(&mut random, 6);
        let leaks = match way {
            // These may not be dropped before their pollables.
            Way::Linker => 1 << Kind::Input as u32 | 1 << Kind::Output as u32,
            Way::OwnThread | Way::Run if random.once_in(6) => u32::MAX,
            Way::OwnThread | Way::Run => 0,
        };
        let manners = Manners {
            wild_once_in: random.pick(&[0, 0, 2000, 300, 40]),
            blocks: random.once_in(8),
            has_children: way == Way::Linker,
            hoards: leaks == u32::MAX && random.once_in(3),
        };
        let has_held = random.once_in(3);
        let rounds = random.pick(&[1, 1, 2, 3]);
        // One that waits for ever is given up; some are in the midst of their calls.
        let patience = match random.below(6) {
            0 => random.below(10_000),
            _ if manners.blocks => 100_000,
            _ => 500_000,
        };
        let patience = Duration::from_micros(patience);
        let length = if manners.hoards { 100 } else { random.pick(&[100, 400, 1200]) };
        let ops = Generator::new(Random::new(random.next()), manners).list(length);
        Self { seed, index, way, terms, patience, has_held, leaks, rounds, manners, ops }
    }

    /// Does it do nothing that may trap, but for what its limits refuse?
    pub(crate) fn is_tame(&self) -> bool {
        self.manners.wild_once_in == 0
    }

    /// The same guest with those operations alone.
    pub(crate) fn keep(&mut self, kept: &[usize]) {
        let mut number = 0;
        self.ops.retain(|_| {
            number += 1;
            kept.binary_search(&(number - 1)).is_ok()
        });
    }

    pub(crate) fn op_count(&self) -> usize {
        self.ops.len()
    }

    /// What it reads of its standard input: the operations, after some that store where the peers are.
    pub(super) fn encode(&self, ports: PeerPorts, held: u16) -> Vec<u8> {
        let mut ops = stores(ports, held);
        ops.extend_from_slice(&self.ops);
        debug_assert!(ops.len() <= MAX_OPS);
        let end = LIST + HEADER + ops.len() as u64 * OP_SIZE;
        let mut bytes = Vec::new();
        for word in [end as u32, self.rounds, self.leaks] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.resize(HEADER as usize, 0);
        ops.iter().for_each(|op| op.encode(&mut bytes));
        bytes
    }

    /// The guest as a component of its own, with `fault` and what it does in comments. Without peers.
    pub(crate) fn wat(&self, fault: &str) -> String {
        let mut text = String::new();
        for line in fault.lines() {
            _ = writeln!(text, ";; {line}");
        }
        _ = writeln!(text, ";; {} (run by {:?})\n;; {:?}", self.command(), self.way, self.terms);
        for op in &self.ops {
            _ = writeln!(text, ";; {op}");
        }
        let mut contents = start(PeerPorts::default(), 0);
        contents.push((LIST, self.encode(PeerPorts::default(), 0)));
        text + &component(&contents)
    }

    /// The command that makes this guest again.
    pub(crate) fn command(&self) -> String {
        format!("cargo xtask fuzz --seed {} --guest {}", self.seed, self.index)
    }

    /// What is said of it.
    pub(crate) fn describe(&self) -> String {
        format!("component {:?} {:?} {:?}", self.way, self.manners, self.terms)
    }
}

/// What makes of the memory as it is in every guest the one with these ports.
fn stores(ports: PeerPorts, held: u16) -> Vec<Op> {
    let (all, own) = (start(PeerPorts::default(), 0), start(ports, held));
    let mut ops = Vec::new();
    for ((at, before), (_, bytes)) in all.iter().zip(&own) {
        for (place, (was, is)) in before.chunks(4).zip(bytes.chunks(4)).enumerate() {
            if was != is {
                let value = is.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
                let args = vec![Arg::Is(at + 4 * place as u64), Arg::Is(value)];
                ops.push(Op { number: Own::Store.number(), out: 0, is_wild: false, args });
            }
        }
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_component() {
        let (one, again) = (Case::new(1, 3), Case::new(1, 3));
        assert_eq!(one.ops, again.ops);
        assert_ne!(one.ops, Case::new(1, 7).ops);
        let ports = PeerPorts { tcp: 40_000, udp: 50_000 };
        for index in 0..50 {
            assert!(Case::new(1, index).op_count() + stores(ports, 60_000).len() <= MAX_OPS);
        }
    }

    #[test]
    fn every_guest_can_be_written_as_a_component() -> wasmtime::Result<()> {
        let engine = wasmtime::Engine::new(&wasock::Guest::engine_config())?;
        for index in 0..4 {
            wasmtime::component::Component::new(&engine, Case::new(3, index).wat("none"))?;
        }
        Ok(())
    }
}
