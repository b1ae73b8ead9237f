//! `saving_server ADDRESS FILE`: values by name, saved by a copy of the process while the server goes on.
//!
//! * `/get/NAME` and `/set/NAME/VALUE`; `/pair/VALUE` sets `left` and `right`;
//! * `/save` begins to save all values to the file, which has the old ones until it has all of the new; `/hold` does so
//!   too, and waits for `/go` before it looks at the first value;
//! * `/saves` returns how many saves have ended well, how many have not, and whether one goes on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use asyncify_programs::http::{Connection, Request};
use asyncify_programs::process::{Status, exit, fork, wait};
use wasix::poll::{MONOTONIC, Subscription, poll};
use wasix::wait::pipe;
use wasix::{Errno, Fd, check, check_ok, descriptor, ends, socket};

/// How often the server looks whether a save has ended, in nanoseconds.
const LOOK_INTERVAL: u64 = 20_000_000;

struct Save {
    child: u32,
    /// What lets it begin.
    go: Option<Fd>,
}

struct Server {
    listener: Fd,
    file: String,
    connections: BTreeMap<Fd, Connection>,
    values: BTreeMap<String, String>,
    save: Option<Save>,
    saved: u32,
    failed: u32,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().expect("an address");
    let file = arguments.next().expect("a file");
    let (_, listener) = check_ok!(ends::serve_at(&place));
    check_ok!(descriptor::set_nonblocking(listener));
    let mut server = Server {
        listener,
        file,
        connections: BTreeMap::new(),
        values: BTreeMap::new(),
        save: None,
        saved: 0,
        failed: 0,
    };
    loop {
        server.turn();
    }
}

impl Server {
    /// Waits, and does what there is to do.
    fn turn(&mut self) {
        let fds = [self.listener].into_iter().chain(self.connections.keys().copied());
        let mut awaited: Vec<_> = fds.map(|fd| Subscription::read(fd, fd.into())).collect();
        if self.save.is_some() {
            awaited.push(Subscription::clock(MONOTONIC, LOOK_INTERVAL, u64::MAX));
        }
        for event in check_ok!(poll(&awaited)) {
            match u32::try_from(event.userdata) {
                Ok(fd) if fd == self.listener => self.accept(),
                Ok(fd) => self.serve(fd),
                Err(_) => {}
            }
        }
        self.look_at_save();
    }

    fn accept(&mut self) {
        while let Ok((fd, _)) = socket::accept_v2(self.listener, 0) {
            check_ok!(descriptor::set_nonblocking(fd));
            self.connections.insert(fd, Connection::new(fd));
        }
    }

    fn serve(&mut self, fd: Fd) {
        let Some(mut connection) = self.connections.remove(&fd) else { return };
        let mut keeps = matches!(connection.receive(), Ok(true));
        while let Some(request) = connection.take().filter(|_| keeps) {
            let (status, body) = self.answer_to(&request);
            keeps = connection.answer(status, body.as_bytes(), request.keeps).is_ok() && request.keeps;
        }
        if keeps {
            self.connections.insert(fd, connection);
        } else {
            check_ok!(descriptor::close(fd));
        }
    }

    fn answer_to(&mut self, request: &Request) -> (&'static str, String) {
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        let ok = |text: &str| ("200 OK", text.to_owned());
        match parts[..] {
            ["get", name] => match self.values.get(name) {
                Some(value) => ok(value),
                None => ("404 Not Found", String::new()),
            },
            ["set", name, value] => {
                self.values.insert(name.to_owned(), value.to_owned());
                ok("set")
            }
            ["pair", value] => {
                for name in ["left", "right"] {
                    self.values.insert(name.to_owned(), value.to_owned());
                }
                ok("set")
            }
            ["save"] => self.begin_to_save(false),
            ["hold"] => self.begin_to_save(true),
            ["go"] => {
                let go = self.save.as_mut().and_then(|save| save.go.take());
                go.map_or(("409 Conflict", String::new()), |go| {
                    check_ok!(descriptor::close(go));
                    ok("goes")
                })
            }
            ["saves"] => ok(&format!("{} {} {}", self.saved, self.failed, self.save.is_some())),
            _ => ("404 Not Found", String::new()),
        }
    }

    fn begin_to_save(&mut self, holds: bool) -> (&'static str, String) {
        if self.save.is_some() {
            return ("409 Conflict", "one goes on\n".to_owned());
        }
        let (waits, go) = check_ok!(pipe());
        let child = fork();
        match child {
            Ok(0) => {
                check_ok!(descriptor::close(go));
                self.be_the_copy(waits, holds)
            }
            Ok(child) => {
                check_ok!(descriptor::close(waits));
                self.save = Some(Save { child, go: Some(go) });
                if !holds {
                    self.save.as_mut().and_then(|save| save.go.take()).map(descriptor::close);
                }
                ("200 OK", format!("{child} saves\n"))
            }
            Err(Errno(number)) => {
                for fd in [waits, go] {
                    check_ok!(descriptor::close(fd));
                }
                self.failed += 1;
                ("503 Service Unavailable", format!("error {number}\n"))
            }
        }
    }

    /// The copy: it has no clients, waits until it may begin, saves, and ends.
    fn be_the_copy(&mut self, waits: Fd, holds: bool) -> ! {
        for fd in self.connections.keys().chain([&self.listener]) {
            let _closed = descriptor::close(*fd);
        }
        if holds {
            while descriptor::read(waits, &mut [0; 8]) != Ok(0) {}
        }
        let mut text = String::new();
        for (name, value) in &mut self.values {
            let _written = writeln!(text, "{name} {value}");
            // What the copy changes is its own.
            *value = "saved".to_owned();
        }
        let made = format!("{}.new", self.file);
        let is_saved = std::fs::write(&made, &text).is_ok() && std::fs::rename(&made, &self.file).is_ok();
        check!(self.values.values().all(|value| value == "saved"), "the copy's own values");
        exit(u32::from(!is_saved))
    }

    fn look_at_save(&mut self) {
        let Some(save) = &self.save else { return };
        if let Some((_, status)) = check_ok!(wait(save.child, false)) {
            let is_saved = status == Status::Exited(0);
            self.saved += u32::from(is_saved);
            self.failed += u32::from(!is_saved);
            self.save = None;
        }
    }
}
