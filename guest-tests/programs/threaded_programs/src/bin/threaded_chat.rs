//! `threaded_chat ADDR THREADS`: what one client says, all others hear.
//!
//! The first thread accepts. Each of the others has some clients, an epoll, and a box for
//! mail; a thread that puts something into the queue of another one wakes it by its event
//! descriptor.

#![cfg_attr(target_os = "wasi", no_std, no_main)]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use threaded::sync::Queue;
use threaded::{ADD, AGAIN, EpollEvent, FOR_EVER, Fd, IN, MOD, OUT, RDHUP, Result};

threaded::main!(run);

/// What is said to a client that has come in.
const WELCOME: &[u8] = b"welcome\n";

/// What stands for the event descriptor; a client has the number of its own, which no
/// other client ever gets.
const WAKER: u64 = 0;

enum Mail {
    /// A client, and its number.
    Client(Fd, u64),
    /// A line, and the number of the client that said it.
    Line(u64, Arc<Vec<u8>>),
}

struct Post {
    waker: Fd,
    mail: Queue<Mail>,
}

impl Post {
    fn send(&self, mail: Mail) {
        self.mail.put(mail);
        threaded::add(self.waker, 1).expect("to ring");
    }
}

fn run() {
    let arguments = threaded::args();
    let addr = threaded::argument(&arguments, 1, SocketAddr::from(([127, 0, 0, 1], 0)));
    let posts: Arc<Vec<Post>> = (0..threaded::argument(&arguments, 2, 4))
        .map(|_| Post { waker: threaded::event(0, false).expect("an event descriptor"), mail: Queue::new() })
        .collect::<Vec<_>>()
        .into();
    for number in 0..posts.len() {
        let posts = Arc::clone(&posts);
        threaded::spawn(move || Worker::new(posts, number).work()).expect("a thread");
    }
    let listener = threaded::listen(addr, 1024).expect("a listener");
    let mut last = WAKER;
    loop {
        let fd = threaded::accept(listener, false).expect("a client");
        threaded::set_nonblocking(fd).expect("a client that does not wait");
        last += 1;
        posts[last as usize % posts.len()].send(Mail::Client(fd, last));
    }
}

#[derive(Default)]
struct Client {
    fd: Fd,
    /// The begin of a line.
    line: Vec<u8>,
    out: Vec<u8>,
    /// It is notified when there is space.
    waits: bool,
}

struct Worker {
    posts: Arc<Vec<Post>>,
    number: usize,
    epoll: Fd,
    clients: BTreeMap<u64, Client>,
}

impl Worker {
    fn new(posts: Arc<Vec<Post>>, number: usize) -> Self {
        let epoll = threaded::epoll().expect("an epoll");
        threaded::epoll_ctl(epoll, ADD, posts[number].waker, &EpollEvent::new(IN, WAKER))
            .expect("to watch it");
        Self { posts, number, epoll, clients: BTreeMap::new() }
    }

    fn work(mut self) {
        let mut found = [EpollEvent::NONE; 16];
        loop {
            let count = threaded::epoll_wait(self.epoll, &mut found, FOR_EVER).expect("events");
            for event in &found[..count] {
                match event.data {
                    WAKER => self.read_mail(),
                    number => self.serve(number),
                }
            }
        }
    }

    fn read_mail(&mut self) {
        // First the waker, then the queue: what comes in between wakes again.
        threaded::take(self.posts[self.number].waker).expect("a wake-up");
        while let Some(mail) = self.posts[self.number].mail.try_take() {
            match mail {
                Mail::Client(fd, number) => {
                    let event = EpollEvent::new(IN | RDHUP, number);
                    threaded::epoll_ctl(self.epoll, ADD, fd, &event).expect("to watch it");
                    self.clients.insert(number, Client { fd, ..Client::default() });
                    self.say_to(number, WELCOME);
                }
                Mail::Line(from, line) => {
                    let others: Vec<_> = self.clients.keys().copied().filter(|to| *to != from).collect();
                    others.into_iter().for_each(|to| self.say_to(to, &line));
                }
            }
        }
    }

    /// Says what can be said, and keeps the rest.
    fn say_to(&mut self, number: u64, text: &[u8]) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.out.extend_from_slice(text);
        if client.flush(self.epoll, number).is_err() {
            self.see_off(number);
        }
    }

    fn serve(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let lines = client.flush(self.epoll, number).and_then(|()| client.hear());
        match lines {
            Ok((lines, is_there)) => {
                for line in lines {
                    let line = Arc::new(line);
                    self.posts.iter().for_each(|post| post.send(Mail::Line(number, Arc::clone(&line))));
                }
                if !is_there {
                    self.see_off(number);
                }
            }
            Err(_) => self.see_off(number),
        }
    }

    fn see_off(&mut self, number: u64) {
        if let Some(client) = self.clients.remove(&number) {
            threaded::close(client.fd).expect("close");
        }
    }
}

impl Client {
    /// Whole lines, and whether the client is still there.
    fn hear(&mut self) -> Result<(Vec<Vec<u8>>, bool)> {
        let (mut lines, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            match threaded::recv(self.fd, &mut bytes) {
                Ok(0) => return Ok((lines, false)),
                Ok(count) => {
                    for byte in &bytes[..count] {
                        self.line.push(*byte);
                        if *byte == b'\n' {
                            lines.push(core::mem::take(&mut self.line));
                        }
                    }
                }
                Err(AGAIN) => return Ok((lines, true)),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn flush(&mut self, epoll: Fd, number: u64) -> Result<()> {
        while !self.out.is_empty() {
            match threaded::send(self.fd, &self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(AGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        if self.waits == self.out.is_empty() {
            self.waits = !self.waits;
            let wanted = IN | RDHUP | if self.waits { OUT } else { 0 };
            threaded::epoll_ctl(epoll, MOD, self.fd, &EpollEvent::new(wanted, number))?;
        }
        Ok(())
    }
}
