//! Signals that are sent while a thread begins to wait, computes or ends.

use std::future::pending;
use std::sync::Arc;

use shuttle::future::block_on;

use crate::error::Errno;
use crate::io::Parker;
use crate::process::signal::SignalDelivery;
use crate::process::{MAIN, PendingSignals, Signal, Signals};
use crate::ready::interruptible;
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::SeqCst;
use crate::sync::thread;

/// A call that waits for ever, unless a signal ends it; then the handler runs.
fn waits(pending_signals: &PendingSignals) -> Signal {
    let ended = block_on(pending_signals.waiting(interruptible(pending::<()>())));
    assert_eq!(ended, Some(Err(Errno::EINTR)));
    match pending_signals.next() {
        Some(SignalDelivery::Handle { signal, .. }) => {
            pending_signals.finished(signal);
            signal
        }
        other => panic!("EINTR without a signal: {other:?}"),
    }
}

fn handling() -> (Arc<Signals>, PendingSignals) {
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.name_callback(Some("handler"));
    (signals, main)
}

/// One thread waits, another one sends it a signal.
pub fn a_signal_ends_a_wait() {
    let (signals, main) = handling();
    let sends = thread::spawn(move || signals.to_thread(MAIN, Signal::Usr1));
    assert_eq!(waits(&main), Signal::Usr1);
    sends.join().expect("no panic");
}

/// One thread parks, and another one sends it a signal: it does not park, or is woken, and finds the signal in a wait.
pub fn a_signal_ends_a_park() {
    let (signals, main) = handling();
    let sends = thread::spawn(move || signals.to_thread(MAIN, Signal::Usr1));
    let parker = Parker::new();
    if let Some(_listening) = main.listen(&parker.waker()) {
        parker.park();
    }
    assert_eq!(waits(&main), Signal::Usr1);
    sends.join().expect("no panic");
}

/// Two threads wait, and two different signals are sent to the process: both are handled, each
/// once, by whichever threads.
pub fn each_signal_is_handled_once() {
    let (signals, main) = handling();
    let handled = Arc::new(AtomicU32::new(0));
    let second = signals.pending_signals(2);
    let senders: Vec<_> = [Signal::Usr1, Signal::Usr2]
        .map(|signal| {
            let signals = Arc::clone(&signals);
            thread::spawn(move || signals.to_process(signal))
        })
        .into();
    let (theirs, count) = (Arc::clone(&signals), Arc::clone(&handled));
    let other = thread::spawn(move || handles_until_all_are(&theirs, &second, MAIN, &count));
    handles_until_all_are(&signals, &main, 2, &handled);
    other.join().expect("no panic");
    for sender in senders {
        sender.join().expect("no panic");
    }
}

/// Waits and handles all there is, again and again; the thread that handles the last one wakes `other`.
fn handles_until_all_are(
    signals: &Arc<Signals>,
    pending_signals: &PendingSignals,
    other: u32,
    handled: &AtomicU32,
) {
    let bit = |signal: Signal| 1_u32 << signal.number();
    while handled.load(SeqCst) != bit(Signal::Usr1) | bit(Signal::Usr2) {
        let mut signal = Some(waits(pending_signals));
        while let Some(taken) = signal {
            if taken != Signal::Hup {
                assert_eq!(handled.fetch_or(bit(taken), SeqCst) & bit(taken), 0, "{taken:?} twice");
            }
            signal = match pending_signals.next() {
                Some(SignalDelivery::Handle { signal, .. }) => {
                    pending_signals.finished(signal);
                    Some(signal)
                }
                _ => None,
            };
        }
    }
    signals.to_thread(other, Signal::Hup);
}

/// What a thread took on, for its wait was to end by it, and did not handle, because it ended,
/// another one handles.
pub fn a_thread_that_ends_leaves_its_signal() {
    let (signals, main) = handling();
    let second = signals.pending_signals(2);
    let leaves = thread::spawn(move || {
        let ended = block_on(second.waiting(interruptible(pending::<()>())));
        assert_eq!(ended, Some(Err(Errno::EINTR)));
        second.leave();
    });
    let theirs = Arc::clone(&signals);
    let sends = thread::spawn(move || theirs.to_process(Signal::Usr1));
    leaves.join().expect("no panic");
    assert_eq!(waits(&main), Signal::Usr1);
    sends.join().expect("no panic");
}

/// A thread that computes looks when the epoch moves, and waits after that: it never waits
/// with a signal unheard.
pub fn a_thread_that_computes_looks() {
    let (signals, main) = handling();
    let epoch = Arc::new(AtomicU32::new(0));
    let moved = Arc::clone(&epoch);
    signals.set_epoch_interrupt(Arc::new(move || {
        moved.fetch_add(1, SeqCst);
    }));
    let sends = thread::spawn(move || signals.to_process(Signal::Usr1));
    for _ in 0..3 {
        thread::yield_now();
        if epoch.swap(0, SeqCst) > 0
            && let Some(SignalDelivery::Handle { signal, .. }) = main.next()
        {
            assert_eq!(signal, Signal::Usr1);
            sends.join().expect("no panic");
            return;
        }
    }
    // It was not told by now, so the wait is.
    assert_eq!(waits(&main), Signal::Usr1);
    sends.join().expect("no panic");
}
