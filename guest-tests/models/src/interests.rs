//! Many things watched at once.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use shuttle::future::block_on;

use crate::io::{Change, Interest, Watchable};
use crate::ready::ReadyList;
use crate::sync::atomic::AtomicU32;
use crate::sync::atomic::Ordering::SeqCst;
use crate::sync::{Mutex, thread};

/// Something with data now and then, and one watcher.
#[derive(Default)]
struct Thing {
    data: AtomicU32,
    state: Mutex<(bool, Option<Waker>)>,
}

impl Thing {
    fn comes(&self) {
        self.data.fetch_add(1, SeqCst);
        let waker = {
            let mut state = self.state.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Watchable for Thing {
    fn poll_change(&self, _: Interest, context: &mut Context<'_>) -> Poll<Change> {
        let mut state = self.state.lock().unwrap();
        if std::mem::take(&mut state.0) {
            return Poll::Ready(Change::More);
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Things get data from several threads; a thread that takes the next one sees all of it.
pub fn the_next_one_with_news_is_found() {
    const EACH: u32 = 2;
    let things: Vec<Arc<Thing>> = (0..2).map(|_| Arc::default()).collect();
    let mut ready_list: ReadyList<usize> = ReadyList::new();
    for (key, thing) in things.iter().enumerate() {
        let thing: Arc<dyn Watchable> = Arc::<Thing>::clone(thing);
        ready_list.insert(key, &thing, Interest::Read);
    }
    for thing in &things {
        let thing = Arc::clone(thing);
        thread::spawn(move || {
            for _ in 0..EACH {
                thing.comes();
            }
        });
    }
    let mut found = 0;
    block_on(async {
        while found < EACH * 2 {
            let (key, _) = ready_list.next().await;
            if let Some(thing) = things.get(key) {
                found += thing.data.swap(0, SeqCst);
            }
        }
    });
}
