//! One guest: what it is, what it may do, and the calls that it makes, all from its seed.

use crate::generate::{Arbitrariness, Generator};
use crate::layout::{HEADER, LISTS, MAX_OPS, MAX_PAGES, OP_SIZE, THREAD_LISTS};
use crate::module::Dialect;
use crate::op::Op;
use crate::random::Random;

/// How the guest is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In a store of the embedder's, with `add_to_linker`. It goes on after a trap, and
    /// after a wait that was given up.
    Linker,
    /// By `Guest::run`.
    Run,
}

/// The operator's choices.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) profile: usize,
    pub(crate) max_fds: u32,
    pub(crate) max_threads: u32,
    pub(crate) max_blocking_calls: Option<u32>,
    /// Bytes.
    pub(crate) max_memory: Option<u64>,
    pub(crate) max_host_memory: Option<u64>,
    /// Microseconds.
    pub(crate) max_cpu_time: Option<u64>,
    pub(crate) timeout: Option<u64>,
    /// Ends it by order instead of dropping it.
    pub(crate) is_terminated: bool,
    pub(crate) has_fifo: bool,
    pub(crate) max_backlog: Option<u32>,
    pub(crate) max_connections: Option<u32>,
    pub(crate) max_per_listener: Option<u32>,
    pub(crate) max_per_peer: Option<u32>,
    pub(crate) max_socket_buffer: Option<u32>,
    pub(crate) blocks_on_files: bool,
    pub(crate) removes_unix_names: bool,
    pub(crate) restarts: bool,
    pub(crate) is_traced: bool,
    pub(crate) is_observed: bool,
    pub(crate) has_peers: bool,
    pub(crate) is_read_only: bool,
}

/// A guest.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) index: u64,
    pub(crate) dialect: Dialect,
    pub(crate) way: Way,
    pub(crate) terms: Terms,
    /// How often the first thread goes through its list.
    pub(crate) rounds: u32,
    /// The first thread's list, then those that threads begin with. The last one is the
    /// signal handler's too, which takes one at a time.
    pub(crate) lists: Vec<Vec<Op>>,
}

/// What the limit of memory has to be for a guest to start.
const MEMORY: u64 = (MAX_PAGES << 16) * 2;

/// A small limit in one case of three.
fn limit(random: &mut Random) -> Option<u32> {
    random.once_in(3).then(|| random.pick(&[0, 1, 2, 3, 5, 16]))
}

impl Terms {
    /// One guest in `traced_in` is traced.
    pub(crate) fn choose(random: &mut Random, traced_in: u64) -> Self {
        Self {
            profile: random.index(5),
            max_fds: random.pick(&[1024, 1024, 256, 64, 16, 8, 5]),
            max_threads: random.pick(&[1024, 8, 4, 2, 1]),
            max_blocking_calls: limit(random),
            // Always enough for the start.
            max_memory: random.once_in(4).then(|| random.pick(&[MEMORY, MEMORY + 1, 2 * MEMORY])),
            max_host_memory: random
                .once_in(4)
                .then(|| random.pick(&[64 << 10, 256 << 10, 1 << 20, 16 << 20])),
            max_cpu_time: random.once_in(12).then(|| random.below(20_000)),
            timeout: random.once_in(12).then(|| random.below(20_000)),
            is_terminated: random.once_in(2),
            has_fifo: random.once_in(8),
            max_backlog: limit(random),
            max_connections: limit(random),
            max_per_listener: limit(random),
            max_per_peer: limit(random),
            max_socket_buffer: random.once_in(4).then(|| random.pick(&[0, 1, 4096, 65_536])),
            blocks_on_files: random.once_in(2),
            removes_unix_names: random.once_in(2),
            restarts: random.once_in(16),
            is_traced: random.once_in(traced_in),
            is_observed: random.once_in(2),
            has_peers: random.once_in(2),
            is_read_only: random.once_in(16),
        }
    }
}

impl Case {
    /// Guest `index` of the run with `seed`.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        let mut random = Random::of_guest(seed, index);
        let dialect = random.pick(&[
            Dialect::Wasix,
            Dialect::Wasix,
            Dialect::Wasix,
            Dialect::Wasix,
            Dialect::WasixFirst,
            Dialect::Preview1,
            Dialect::Unstable,
            Dialect::WasmEdge,
            Dialect::WasmEdgePort,
            Dialect::WasmEdgeFirst,
            Dialect::Wamr,
            Dialect::Wamr,
            Dialect::WamrThreads,
            Dialect::WasixThreads,
            Dialect::WasixThreads,
            Dialect::WasixFirstThreads,
            Dialect::Preview1Threads,
        ]);
        let is_run = dialect.has_threads() || random.once_in(3);
        let way = if is_run { Way::Run } else { Way::Linker };
        let terms = Terms::choose(&mut random, if dialect.has_threads() { 6 } else { 16 });
        let arbitrariness = match (way, random.below(4)) {
            (Way::Run, 0 | 1) => Arbitrariness::Tame,
            (Way::Run, _) | (Way::Linker, 0 | 1) => Arbitrariness::Low,
            (Way::Linker, _) => Arbitrariness::High,
        };
        let lengths = if dialect.has_threads() { [1500, 300, 300, 300, 200] } else { [4000, 0, 0, 0, 200] };
        let lists = lengths
            .map(|length| Generator::new(Random::new(random.next()), dialect, arbitrariness).list(length))
            .to_vec();
        let rounds = random.pick(&[1, 1, 2, 4]);
        Self { seed, index, dialect, way, terms, rounds, lists }
    }

    /// The same guest with those operations alone, counted through all lists.
    pub(crate) fn keep(&mut self, kept: &[usize]) {
        let mut number = 0;
        for list in &mut self.lists {
            list.retain(|_| {
                number += 1;
                kept.binary_search(&(number - 1)).is_ok()
            });
        }
    }

    pub(crate) fn op_count(&self) -> usize {
        self.lists.iter().map(Vec::len).sum()
    }

    /// Where the first list begins and ends.
    pub(crate) fn first_list(&self) -> (u64, u64) {
        let first = LISTS + HEADER;
        (first, first + self.lists.first().map_or(0, Vec::len) as u64 * OP_SIZE)
    }

    /// The lists as they lie in the guest's memory, from [`LISTS`] on.
    pub(crate) fn encode(&self) -> Vec<u8> {
        debug_assert!(self.op_count() <= MAX_OPS);
        let (mut at, end) = self.first_list();
        let mut bytes = Vec::with_capacity((self.op_count() + 1) * OP_SIZE as usize);
        bytes.extend_from_slice(&(end as u32).to_le_bytes());
        bytes.extend_from_slice(&self.rounds.to_le_bytes());
        for (index, list) in self.lists.iter().enumerate() {
            let end = at + list.len() as u64 * OP_SIZE;
            if (1..=THREAD_LISTS).contains(&index) {
                bytes.extend_from_slice(&(at as u32).to_le_bytes());
                bytes.extend_from_slice(&(end as u32).to_le_bytes());
            }
            at = end;
        }
        bytes.resize(HEADER as usize, 0);
        for op in self.lists.iter().flatten() {
            op.encode(&mut bytes);
        }
        bytes
    }

    /// The command that makes this guest again.
    pub(crate) fn command(&self) -> String {
        format!("cargo xtask fuzz --seed {} --guest {}", self.seed, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_guest() {
        let (one, again) = (Case::new(1, 2), Case::new(1, 2));
        assert_eq!(one.lists, again.lists);
        assert_ne!(one.lists, Case::new(1, 3).lists);
        assert!(one.op_count() <= MAX_OPS);
    }

    #[test]
    fn some_operations_can_be_kept() {
        let mut case = Case::new(1, 2);
        let whole = case.clone();
        let last = whole.op_count() - 1;
        case.keep(&[0, 7, last]);
        assert_eq!(case.op_count(), 3);
        assert_eq!(case.lists[0], [whole.lists[0][0].clone(), whole.lists[0][7].clone()]);
        assert_eq!(case.lists.last().and_then(|l| l.last()), whole.lists.last().and_then(|l| l.last()));
    }
}
