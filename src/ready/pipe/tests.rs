//! Ends of a pipe, and a counter, used by several threads at once.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::time::Duration;

use std::sync::mpsc;
use std::thread;

use super::*;
use crate::io::block_on;
use crate::ready::EventFd;

const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Begins `waits` on a thread of its own, then does `ends`; the outcome of `waits`, which
/// must end by that.
fn ended_by<T: Send + 'static>(
    waits: impl FnOnce() -> Result<T, Errno> + Send + 'static,
    ends: impl FnOnce(),
) -> Result<T, Errno> {
    let (begin, begun) = mpsc::channel();
    let (done, ended) = mpsc::channel();
    let _waiter = thread::spawn(move || {
        begin.send(()).unwrap();
        done.send(waits()).unwrap();
    });
    begun.recv().unwrap();
    // Most often it sleeps by now; the other order has to work too.
    let early = ended.recv_timeout(Duration::from_millis(10));
    assert!(early.is_err(), "it did not wait");
    ends();
    ended.recv_timeout(WAIT_TIMEOUT).unwrap()
}

fn read(reader: &PipeReader, buffer: &mut [u8]) -> Result<usize, Errno> {
    block_on(reader.read(true, buffer)).and_then(|read| read)
}

fn write(writer: &PipeWriter, data: &[u8]) -> Result<usize, Errno> {
    block_on(writer.write(true, &mut [IoSlice::new(data)])).and_then(|written| written)
}

#[test]
fn a_write_ends_a_read() {
    let (reader, writer) = pipe();
    assert_eq!(ended_by(move || read(&reader, &mut [0; 8]), || _ = write(&writer, b"abc")), Ok(3));
}

#[test]
fn the_last_writers_going_ends_a_read() {
    let (reader, writer) = pipe();
    assert_eq!(ended_by(move || read(&reader, &mut [0; 8]), || drop(writer)), Ok(0));
}

#[test]
fn a_read_ends_a_write() {
    let (reader, writer) = pipe();
    assert_eq!(write(&writer, &vec![0; CAPACITY]), Ok(CAPACITY));
    let mut buffer = vec![0; ATOMIC];
    assert_eq!(ended_by(move || write(&writer, &[0; 100]), || _ = read(&reader, &mut buffer)), Ok(100));
}

#[test]
fn the_readers_going_ends_a_write() {
    let (reader, writer) = pipe();
    assert_eq!(write(&writer, &vec![0; CAPACITY]), Ok(CAPACITY));
    assert_eq!(ended_by(move || write(&writer, &[0; 100]), || drop(reader)), Err(Errno::EPIPE));
    // Of a longer one, what was written counts.
    let (reader, writer) = pipe();
    let all = vec![0; CAPACITY + 1];
    assert_eq!(ended_by(move || write(&writer, &all), || drop(reader)), Ok(CAPACITY));
}

#[test]
fn a_counter_wakes_takers_and_adders() {
    let counter = Arc::new(EventFd::new(0, false).unwrap());
    let twin = Arc::clone(&counter);
    let waits = move || block_on(twin.take(true)).and_then(|it| it);
    assert_eq!(ended_by(waits, || block_on(counter.add(true, 5)).unwrap().unwrap()), Ok(5));

    block_on(counter.add(true, u64::MAX - 1)).unwrap().unwrap();
    let twin = Arc::clone(&counter);
    let waits = move || block_on(twin.add(true, 1)).and_then(|it| it);
    assert_eq!(ended_by(waits, || _ = block_on(counter.take(true))), Ok(()));
}

/// Small writes of many threads come out whole, and none is lost.
#[test]
fn small_writes_of_many_threads_are_whole() {
    const WRITES: usize = 2000;
    let (reader, writer) = pipe();
    thread::scope(|scope| {
        let writer = Arc::new(writer);
        for name in 1..5_u8 {
            let writer = Arc::clone(&writer);
            scope.spawn(move || {
                for _ in 0..WRITES {
                    assert_eq!(write(&writer, &[name; 100]), Ok(100));
                }
            });
        }
        drop(writer);
        let mut all = Vec::new();
        let mut buffer = [0; 777];
        while let Ok(count @ 1..) = read(&reader, &mut buffer) {
            all.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(all.len(), 4 * WRITES * 100);
        assert!(all.chunks(100).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])));
    });
}

/// Every count is taken once, by one of the waiters.
#[test]
fn a_semaphore_is_taken_as_often_as_it_was_given() {
    const COUNT: usize = 4000;
    let counter = EventFd::new(0, true).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..COUNT / 4 {
                    assert_eq!(block_on(counter.take(true)), Ok(Ok(1)));
                }
            });
        }
        for _ in 0..COUNT / 2 {
            block_on(counter.add(true, 2)).unwrap().unwrap();
        }
    });
    assert_eq!(block_on(counter.take(false)), Ok(Err(Errno::EAGAIN)));
}
