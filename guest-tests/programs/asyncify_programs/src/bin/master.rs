//! `master ADDRESS [COUNT]`: a server whose first process serves nothing. It listens and forks its workers, starts
//! one anew that has ended, and at SIGHUP has new ones take over: the old ones end what they have begun.
//!
//! A request for `/generation` returns how often workers were replaced, `/number` the number of the process; `/end` ends
//! the worker without an answer, `/reload` sends the signal.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use asyncify_programs::http::Connection;
use asyncify_programs::process::{exit, fork, pid, wait};
use wasix::errno::{EAGAIN, ECHILD, EINTR};
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::signal::{CHLD, HUP, TERM, handle, to_process};
use wasix::wait::pipe;
use wasix::{Fd, check_ok, descriptor, ends, socket};

const MASTER: u32 = 1;

/// How long a worker that is to end waits for a client that says nothing, in nanoseconds.
const LAST_WAIT: u64 = 2_000_000_000;

static RELOADS: AtomicBool = AtomicBool::new(false);
static ENDS: AtomicBool = AtomicBool::new(false);

/// Where a handler writes, so that a poll that is about to begin ends at once.
static WAKES: AtomicU32 = AtomicU32::new(u32::MAX);

#[unsafe(no_mangle)]
pub extern "C" fn __wasm_signal(signal: i32) {
    match signal.cast_unsigned() {
        HUP => RELOADS.store(true, SeqCst),
        TERM => ENDS.store(true, SeqCst),
        CHLD => {}
        _ => return,
    }
    // Full is as good.
    let _ = descriptor::write(WAKES.load(SeqCst), b"!");
}

/// What a handler wakes: a pipe of the process's own.
fn wakes() -> Fd {
    let (reader, writer) = check_ok!(pipe());
    check_ok!(descriptor::set_nonblocking(reader));
    check_ok!(descriptor::set_nonblocking(writer));
    WAKES.store(writer, SeqCst);
    reader
}

/// Waits for a signal, for something to read from `fd` if there is one, and not longer than `limit`.
fn pause(woken: Fd, fd: Option<Fd>, limit: Option<u64>) {
    let mut awaited = vec![Subscription::read(woken, 0)];
    awaited.extend(fd.map(|fd| Subscription::read(fd, 1)));
    awaited.extend(limit.map(|limit| Subscription::clock(MONOTONIC, limit, 2)));
    let _ = poll(&awaited);
    while descriptor::read(woken, &mut [0; 64]).is_ok() {}
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().expect("an address");
    let count = arguments.next().map_or(4, |text| text.parse().expect("a number"));
    let (_, listener) = check_ok!(ends::serve_at(&place));
    // Several wait for one connection.
    check_ok!(descriptor::set_nonblocking(listener));
    let woken = wakes();
    handle();
    let mut generation = 0_u32;
    let mut workers = BTreeMap::new();
    loop {
        if RELOADS.swap(false, SeqCst) {
            generation += 1;
        }
        while workers.values().filter(|of| **of == generation).count() < count {
            match fork() {
                Ok(0) => work(listener, woken, generation),
                Ok(worker) => _ = workers.insert(worker, generation),
                // Old ones that end make room.
                Err(error) => {
                    eprintln!("fork: {error:?}");
                    break;
                }
            }
        }
        // Those that take over are there.
        for (worker, _) in workers.iter().filter(|(_, of)| **of != generation) {
            let _gone = to_process(*worker, TERM);
        }
        if ENDS.load(SeqCst) {
            end(&workers);
        }
        pause(woken, None, None);
        while let Ok(Some((ended, _))) = wait(0, false) {
            workers.remove(&ended);
        }
    }
}

/// The end of the master: its workers end first.
fn end(workers: &BTreeMap<u32, u32>) -> ! {
    for worker in workers.keys() {
        let _gone = to_process(*worker, TERM);
    }
    loop {
        match wait(0, true) {
            Ok(_) | Err(EINTR) => {}
            Err(ECHILD) => exit(0),
            Err(error) => panic!("wait: {error:?}"),
        }
    }
}

/// A worker, to its end.
fn work(listener: Fd, of_master: Fd, generation: u32) -> ! {
    check_ok!(descriptor::close(WAKES.load(SeqCst)));
    check_ok!(descriptor::close(of_master));
    let woken = wakes();
    while !ENDS.load(SeqCst) {
        match socket::accept_v2(listener, 0) {
            Ok((connection, _)) => {
                check_ok!(descriptor::set_nonblocking(connection));
                let mut connection = Connection::new(connection);
                serve(&mut connection, woken, generation);
                let _closed = descriptor::close(connection.fd);
            }
            Err(EAGAIN) => pause(woken, Some(listener), None),
            Err(_) => {}
        }
    }
    exit(0)
}

fn serve(connection: &mut Connection, woken: Fd, generation: u32) {
    loop {
        while connection.is_idle() {
            let is_last = ENDS.load(SeqCst);
            pause(woken, Some(connection.fd), is_last.then_some(LAST_WAIT));
            match connection.receive() {
                Ok(true) => {}
                Err(EINTR | EAGAIN) if !is_last => {}
                _ => return,
            }
        }
        let Some(request) = connection.next_request() else { return };
        let body = match request.path.as_str() {
            "/generation" => generation.to_string(),
            "/number" => pid().to_string(),
            "/end" => exit(1),
            "/reload" => {
                check_ok!(to_process(MASTER, HUP));
                "reloads".to_owned()
            }
            _ => "hello\n".to_owned(),
        };
        let keeps = request.keeps && !ENDS.load(SeqCst);
        if connection.answer("200 OK", body.as_bytes(), keeps).is_err() || !keeps {
            return;
        }
    }
}
