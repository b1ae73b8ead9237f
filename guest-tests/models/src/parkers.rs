//! A thread that drives a future, and those that wake it.

use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};

use crate::io::{Descriptor, Parker};
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::SeqCst;
use crate::sync::thread;

const WAKERS: u32 = 3;

/// Each of several threads has changes and says so, and one descriptor becomes ready. The thread
/// looks and sleeps, by itself or at the descriptor, and sees all.
pub fn a_parker_is_woken_by_all() {
    let changes = Arc::new(AtomicU32::new(0));
    let descriptor = Arc::new(Descriptor::default());
    let parker = Parker::new();
    let main = thread::current();
    for index in 0..WAKERS {
        let (changes, main) = (Arc::clone(&changes), main.clone());
        let waker = parker.waker();
        thread::spawn(move || {
            changes.fetch_add(1, SeqCst);
            waker.wake_by_ref();
            // What else unparks a thread, or takes what it was unparked with.
            if index == 0 {
                main.unpark();
            }
        });
    }
    let far = Arc::clone(&descriptor);
    thread::spawn(move || far.set_ready());
    let (mut heard, mut was_ready) = (0, false);
    loop {
        heard += changes.swap(0, SeqCst);
        was_ready |= descriptor.take();
        if heard == WAKERS && was_ready {
            return;
        }
        // What is ready wakes only the thread that sleeps there.
        if !was_ready || thread_rng().gen_bool(0.5) {
            parker.park_in_poll(&[Arc::clone(&descriptor)]).expect("there is a descriptor");
        } else {
            parker.park();
        }
    }
}
