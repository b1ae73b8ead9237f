//! Threads that write and rest, and others that copy what they write.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

/// Both words change between two looks at the gate alone, so that a copier sees them equal.
#[test]
fn nobody_writes_while_there_is_a_standstill() {
    const WRITERS: usize = 2;
    const COPIERS: usize = 2;
    let gate = Gate::default();
    gate.begin_to_use();
    let words: [[AtomicU32; 2]; WRITERS] = Default::default();
    let copied = AtomicU32::new(0);
    thread::scope(|scope| {
        for own in &words {
            scope.spawn(|| {
                while copied.load(Relaxed) < 200 {
                    gate.look();
                    own[0].fetch_add(1, Relaxed);
                    thread::yield_now();
                    own[1].fetch_add(1, Relaxed);
                    gate.rest();
                    thread::yield_now();
                    gate.go_on();
                }
                gate.rest();
            });
        }
        for _ in 0..COPIERS {
            scope.spawn(|| {
                while copied.load(Relaxed) < 200 {
                    let still = gate.close(LIMIT, |resting| resting + 1 == WRITERS + COPIERS, || ()).unwrap();
                    let before: Vec<_> = words.iter().flatten().map(|word| word.load(Relaxed)).collect();
                    thread::yield_now();
                    let after: Vec<_> = words.iter().flatten().map(|word| word.load(Relaxed)).collect();
                    assert_eq!(before, after);
                    assert!(before.chunks(2).all(|pair| pair[0] == pair[1]), "{before:?}");
                    copied.fetch_add(1, Relaxed);
                    drop(still);
                }
                gate.rest();
            });
        }
    });
}

#[test]
fn there_is_none_where_one_does_not_rest() {
    let gate = Gate::default();
    gate.begin_to_use();
    assert!(gate.close(Duration::from_millis(10), |_| false, || ()).is_none());
    // The others go on.
    gate.look();
    assert!(gate.close(LIMIT, |resting| resting == 0, || ()).is_some());
}
