use super::*;
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};

use crate::error::Errno;
use crate::ready::interruptible;

const CALLBACK: &str = "callback";

fn handling(signal: Signal) -> Option<SignalDelivery> {
    Some(SignalDelivery::Handle { signal, callback: CALLBACK.into(), sender: SignalSender::Guest })
}

fn poll<T>(call: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    call.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn without_a_callback_the_default_action_counts() {
    let signals = Signals::new(&[Signal::Hup]);
    let main = signals.pending_signals(MAIN);
    for nothing in [Signal::Hup, Signal::Chld, Signal::Stop, Signal::Winch] {
        signals.to_process(nothing);
        assert!(!main.is_due() && main.next().is_none(), "{nothing}");
    }
    signals.to_process(Signal::Term);
    assert!(main.is_due());
    assert_eq!(main.next(), Some(SignalDelivery::End(Ending::Signal(Signal::Term))));
    // There is no way back.
    signals.to_process(Signal::Int);
    assert_eq!(main.next(), Some(SignalDelivery::End(Ending::Signal(Signal::Term))));
}

#[test]
fn a_signal_is_pending_once_and_not_during_its_handler() {
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.name_callback(Some(CALLBACK));
    for _ in 0..3 {
        signals.to_process(Signal::Usr1);
    }
    assert_eq!(main.next(), handling(Signal::Usr1));
    assert_eq!(main.next(), None);
    signals.to_process(Signal::Usr1);
    assert!(!main.is_due());
    // Another one may arrive in between.
    signals.to_thread(MAIN, Signal::Usr2);
    assert_eq!(main.next(), handling(Signal::Usr2));
    main.finished(Signal::Usr2);
    main.finished(Signal::Usr1);
    assert_eq!(main.next(), handling(Signal::Usr1));
    main.finished(Signal::Usr1);
    assert!(!main.is_due());
}

#[test]
fn what_is_blocked_stays_pending() {
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.name_callback(None);
    signals.to_process(Signal::Term);
    signals.to_thread(MAIN, Signal::Int);
    assert!(!main.is_due() && main.next().is_none());
    main.name_callback(Some(CALLBACK));
    assert_eq!(main.next(), handling(Signal::Int));
    assert_eq!(main.next(), handling(Signal::Term));
    signals.to_process(Signal::Kill);
    assert_eq!(main.next(), Some(SignalDelivery::End(Ending::Signal(Signal::Kill))));
}

#[test]
fn one_thread_takes_what_is_sent_to_the_process() {
    let signals = Signals::new(&[]);
    let [main, other] = [MAIN, 2].map(|tid| signals.pending_signals(tid));
    main.name_callback(Some(CALLBACK));
    // No thread waits: the first that checks takes it.
    signals.to_process(Signal::Usr1);
    assert!(main.is_due() && other.is_due());
    assert_eq!(other.next(), handling(Signal::Usr1));
    assert_eq!(main.next(), None);
    assert!(!main.is_due());
    other.finished(Signal::Usr1);
    // One that waits has it for sure.
    let mut call = pin!(other.waiting(interruptible(pending::<()>())));
    assert_eq!(poll(call.as_mut()), Poll::Pending);
    signals.to_process(Signal::Usr1);
    assert!(!main.is_due() && other.is_due());
    assert_eq!(poll(call.as_mut()), Poll::Ready(Some(Err(Errno::EINTR))));
    assert_eq!(other.next(), handling(Signal::Usr1));
}

#[test]
fn what_a_thread_leaves_goes_to_another_one() {
    let signals = Signals::new(&[]);
    let [main, other] = [MAIN, 2].map(|tid| signals.pending_signals(tid));
    main.name_callback(Some(CALLBACK));
    let takes = |sent: &dyn Fn()| {
        let mut call = pin!(other.waiting(interruptible(pending::<()>())));
        assert_eq!(poll(call.as_mut()), Poll::Pending);
        sent();
        assert!(!main.is_due());
    };
    takes(&|| signals.to_process(Signal::Usr1));
    other.name_callback(None);
    assert_eq!(main.next(), handling(Signal::Usr1));
    main.finished(Signal::Usr1);
    other.name_callback(Some(CALLBACK));
    takes(&|| {
        signals.to_process(Signal::Usr1);
        signals.to_thread(2, Signal::Usr2);
    });
    other.leave();
    // Only what was not for that thread alone.
    assert_eq!(main.next(), handling(Signal::Usr1));
    assert_eq!(main.next(), None);
    signals.to_thread(2, Signal::Usr2);
    assert_eq!(main.next(), None);
}

#[test]
fn a_wait_without_a_signal_of_its_own_goes_on() {
    let signals = Signals::new(&[]);
    let [main, other] = [MAIN, 2].map(|tid| signals.pending_signals(tid));
    main.name_callback(Some(CALLBACK));
    signals.to_process(Signal::Usr1);
    // It is notified of the signal, and another thread has taken it by the time that it checks.
    assert!(main.is_due());
    assert_eq!(other.next(), handling(Signal::Usr1));
    let mut call = pin!(main.waiting(interruptible(pending::<()>())));
    assert_eq!(poll(call.as_mut()), Poll::Pending);
    assert!(!main.is_due());
}

/// A sender against a thread that begins to wait, thousands of times: no signal finds
/// the thread asleep.
#[test]
fn no_signal_is_lost_between_the_check_and_the_sleep() {
    const ROUNDS: u32 = 20_000;
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.name_callback(Some(CALLBACK));
    let handled = Arc::new(AtomicU32::new(0));
    let sender = std::thread::spawn({
        let (signals, handled) = (Arc::clone(&signals), Arc::clone(&handled));
        move || {
            for round in 0..ROUNDS {
                signals.to_process(Signal::Usr1);
                while handled.load(SeqCst) == round {
                    std::hint::spin_loop();
                    std::thread::yield_now();
                }
            }
        }
    });
    let waited = crate::io::block_on(async {
        for _ in 0..ROUNDS {
            let ended = main.waiting(interruptible(pending::<()>())).await;
            assert_eq!(ended, Some(Err(Errno::EINTR)));
            assert_eq!(main.next(), handling(Signal::Usr1));
            main.finished(Signal::Usr1);
            handled.fetch_add(1, SeqCst);
        }
    });
    assert_eq!(waited, Ok(()));
    assert!(sender.join().is_ok());
}

#[test]
fn what_the_operator_sent_is_known_once() {
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.name_callback(Some(CALLBACK));
    signals.order(Signal::Term);
    let ordered = SignalDelivery::Handle {
        signal: Signal::Term,
        callback: CALLBACK.into(),
        sender: SignalSender::Operator,
    };
    assert_eq!(main.next(), Some(ordered));
    main.finished(Signal::Term);
    signals.to_process(Signal::Term);
    assert_eq!(main.next(), handling(Signal::Term));
}

#[test]
fn a_restart_forgets_everything() {
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.name_callback(Some(CALLBACK));
    signals.to_process(Signal::Usr1);
    main.leave();
    signals.restart();
    assert!(!main.is_due() && main.next().is_none() && !signals.has_callback());
    main.name_callback(Some(CALLBACK));
    signals.to_process(Signal::Usr2);
    assert_eq!(main.next(), handling(Signal::Usr2));
}

/// Once, by what comes first, and for every start of the guest; a call that no signal ends
/// is given up.
#[test]
fn the_host_ends_a_guest_whatever_it_does() {
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.name_callback(Some(CALLBACK));
    let mut file_operation = pin!(main.waiting(pending::<()>()));
    assert_eq!(poll(file_operation.as_mut()), Poll::Pending);
    let mut from_outside = pin!(signals.ended());
    assert_eq!(poll(from_outside.as_mut()), Poll::Pending);
    let limit = Terminated::Timeout(std::time::Duration::from_secs(1));
    signals.terminate(limit);
    signals.terminate(Terminated::Order);
    signals.to_process(Signal::Kill);
    let ending = Ending::Terminated(limit);
    assert_eq!(poll(file_operation.as_mut()), Poll::Ready(None));
    assert_eq!(poll(from_outside.as_mut()), Poll::Ready(ending));
    assert_eq!(main.next(), Some(SignalDelivery::End(ending)));
    signals.restart();
    assert!(main.is_due());
    assert_eq!(main.next(), Some(SignalDelivery::End(ending)));
}

#[test]
fn a_broken_pipe_is_reported_to_a_handler_alone() {
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.broken_pipe();
    assert!(!main.is_due(), "no death by default");
    main.name_callback(Some(CALLBACK));
    main.broken_pipe();
    let handling = SignalDelivery::Handle {
        signal: Signal::Pipe,
        callback: CALLBACK.into(),
        sender: SignalSender::Host,
    };
    assert_eq!(main.next(), Some(handling));
    main.finished(Signal::Pipe);
    // Its handler aborts: it is the library's, for the default action.
    signals.to_thread(MAIN, Signal::Abrt);
    assert!(main.is_abort(Signal::Pipe, 127));
    main.survive_pipe();
    assert!(!main.is_due());
    main.broken_pipe();
    assert!(!main.is_due(), "there is no handler");
}

#[test]
fn an_abort_is_distinguished_from_an_exit() {
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.name_callback(Some(CALLBACK));
    assert!(!main.is_abort(Signal::Term, 127), "the program's own code");
    signals.to_thread(MAIN, Signal::Abrt);
    assert!(!main.is_abort(Signal::Term, 1));
    assert!(!main.is_abort(Signal::Term, 134), "the program's own code");
    // From the inner handler outwards.
    assert!(main.is_abort(Signal::Abrt, 127));
    assert!(main.is_abort(Signal::Term, 134));
}

/// As a library does whose first thread blocks signals and does not know its own number.
#[test]
fn an_abort_may_be_raised_for_the_process() {
    let signals = Signals::new(&[]);
    let main = signals.pending_signals(MAIN);
    main.name_callback(Some(CALLBACK));
    main.name_callback(None);
    signals.to_process(Signal::Abrt);
    assert!(main.is_abort(Signal::Term, 127));
    main.survive_pipe();
    assert!(!main.is_abort(Signal::Term, 127));
}
