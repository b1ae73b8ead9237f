//! Sequences of calls as programs make them, so that calls find something to work on.

use crate::generate::Generator;
use crate::layout::{
    ADDRESS_SIZE, ADDRESSES, CONTROL, DATA, DURATIONS, EVENTS, FUTEXES, INTERESTS, IOVS, IOVS_SIZE, LOOK_UPS,
    NAME_LIST, NAME_SIZE, NAMES, NUMBERS, OUT, PORT_LAST, PORT_LAST_SIZE, SPLIT_ADDRESSES, SUBSCRIPTION_SIZE,
    SUBSCRIPTIONS, address,
};
use crate::op::{Arg, FdKind};

const NONBLOCK: Arg = Arg::Is(4);
const ALL_RIGHTS: Arg = Arg::Is((1 << 30) - 1);
const WRITTEN: Arg = Arg::Is(NUMBERS);
const FLAGS_OUT: Arg = Arg::Is(NUMBERS + 8);
const LENGTH_OUT: Arg = Arg::Is(NUMBERS + 16);

fn is(value: u64) -> Arg {
    Arg::Is(value)
}

fn addr(index: u64) -> Arg {
    Arg::Is(ADDRESSES + index * ADDRESS_SIZE)
}

/// An address whose port comes last.
fn port_last(index: u64) -> Arg {
    Arg::Is(PORT_LAST + index * PORT_LAST_SIZE)
}

fn iovs(set: u64) -> Arg {
    Arg::Is(IOVS + set * IOVS_SIZE)
}

/// The name with this number, pointer and length.
fn name(index: usize) -> [Arg; 2] {
    let len = NAME_LIST.get(index).map_or(0, |name| name.len() as u64);
    [Arg::Is(NAMES + index as u64 * NAME_SIZE), Arg::Is(len)]
}

impl Generator {
    /// One of the sequences.
    pub(crate) fn sequence(&mut self) {
        if self.is_wasmedge() && self.random.once_in(2) {
            return if self.random.once_in(2) { self.split_pair() } else { self.split_datagrams() };
        }
        if self.is_wamr() && self.random.once_in(2) {
            return if self.random.once_in(2) { self.port_last_pair() } else { self.port_last_datagrams() };
        }
        match self.random.below(18) {
            0..=2 => self.tcp_pair(),
            3 => self.unix_pair(1),
            4 => self.unix_pair(self.seqpacket()),
            5 => self.datagrams(),
            6 => self.file(),
            7 => self.directory(),
            8 => self.pipes(),
            9 | 10 => self.watch(),
            11 => self.poll(),
            12 => self.call_peer(),
            13 => self.threads(),
            14 => self.signals(),
            15 => self.transfers(),
            16 => self.pass(),
            _ => self.start_over(),
        }
    }

    fn slot(&mut self) -> u64 {
        self.random.below(4)
    }

    fn unblock(&mut self, word: u64) {
        if !self.random.once_in(8) {
            self.call("fd_fdstat_set_flags", &[Arg::At(word), NONBLOCK]);
        }
    }

    /// Closes what the word holds, so that the table does not fill up.
    fn close(&mut self, word: u64) {
        self.call("fd_close", &[Arg::At(word)]);
        // What has its number next is another one's.
        self.store(word, is(0xffff_ffff));
    }

    fn open(&mut self, word: u64, family: u64, kind: u64) {
        self.close(word);
        self.call("sock_open", &[is(family), is(kind), is(0), is(word)]);
    }

    fn accept(&mut self, listener: u64, word: u64, flags: u64) {
        let out = addr(address::FIRST_OUT + 7);
        let name = if self.random.once_in(2) { "sock_accept" } else { "sock_accept_v2" };
        self.close(word);
        self.call(name, &[Arg::At(listener), is(flags), is(word), out]);
        self.call("sock_accept", &[Arg::At(listener), is(flags), is(word)]);
    }

    fn connected(&mut self, listener: u64, family: u64, kind: u64, to: Arg) {
        let (client, accepted) = (FdKind::Connection.word(self.slot()), FdKind::Accepted.word(self.slot()));
        self.open(client, family, kind);
        self.call("sock_connect", &[Arg::At(client), to]);
        self.unblock(client);
        let flags = self.random.pick(&[0, 4]);
        self.accept(listener, accepted, flags);
        self.unblock(accepted);
    }

    fn tcp_pair(&mut self) {
        let family = self.random.pick(&[1, 1, 2]);
        let own = addr(if family == 1 { address::INET4 } else { address::INET6 });
        let listener = FdKind::Listener.word(self.slot());
        let out = addr(address::FIRST_OUT + self.slot());
        self.open(listener, family, 1);
        self.call("sock_set_opt_flag", &[Arg::At(listener), is(2), is(1)]);
        self.call("sock_bind", &[Arg::At(listener), own]);
        let backlog = self.random.pick(&[0, 1, 5, 128]);
        self.call("sock_listen", &[Arg::At(listener), is(backlog)]);
        self.call("sock_addr_local", &[Arg::At(listener), out]);
        self.connected(listener, family, 1, out);
        self.unblock(listener);
    }

    /// A listener and a connection by addresses without a port.
    fn split_pair(&mut self) {
        let (family, form) = self.random.pick(&[(1, 0), (1, 4), (2, 3), (3, 6)]);
        let (own, port) = (is(SPLIT_ADDRESSES + form * 8), NUMBERS + 24);
        let listener = FdKind::Listener.word(self.slot());
        let (client, accepted) = (FdKind::Connection.word(self.slot()), FdKind::Accepted.word(self.slot()));
        self.close(listener);
        self.call("path_unlink_file", &[&[is(3)][..], &name(5)].concat());
        // Those that count from 0 have the stream there that others have the datagram at.
        let first = self.first_number();
        let (family, stream) = (family - 1 + first, 1 + first);
        self.call("sock_open", &[is(family), is(stream), is(listener)]);
        self.call("sock_bind", &[Arg::At(listener), own, is(0)]);
        self.call("sock_listen", &[Arg::At(listener), is(5)]);
        self.local_port(listener, port);
        self.close(client);
        self.call("sock_open", &[is(family), is(stream), is(client)]);
        self.call("sock_connect", &[Arg::At(client), own, Arg::At(port)]);
        self.unblock(client);
        self.close(accepted);
        self.call("sock_accept", &[Arg::At(listener), is(accepted)]);
        self.unblock(accepted);
        self.unblock(listener);
    }

    fn local_port(&mut self, fd: u64, port: u64) {
        let storage = is(SPLIT_ADDRESSES + 13 * 8);
        self.call("sock_getlocaladdr", &[Arg::At(fd), storage, WRITTEN, is(port)]);
        self.call("sock_getlocaladdr_v2", &[Arg::At(fd), storage, is(port)]);
    }

    /// Two datagram sockets, by addresses without a port.
    fn split_datagrams(&mut self) {
        let (one, two) = (FdKind::Datagram.word(0), FdKind::Datagram.word(1 + self.random.below(3)));
        let (own, port) = (is(SPLIT_ADDRESSES), NUMBERS + 32);
        for fd in [one, two] {
            self.close(fd);
            let first = self.first_number();
            self.call("sock_open", &[is(first), is(first), is(fd)]);
            self.unblock(fd);
        }
        self.call("sock_bind", &[Arg::At(one), own, is(0)]);
        self.local_port(one, port);
        if self.first_number() == 0 {
            // It has no port to send to.
            self.call("sock_connect", &[Arg::At(two), own, Arg::At(port)]);
        }
        for _ in 0..3 {
            self.call("sock_send_to", &[Arg::At(two), iovs(0), is(2), own, Arg::At(port), is(0), WRITTEN]);
            self.call("sock_send_to", &[Arg::At(two), iovs(0), is(2), own, is(0), WRITTEN]);
        }
        let from = is(SPLIT_ADDRESSES + 14 * 8);
        let port = is(NUMBERS + 40);
        self.call("sock_recv_from", &[Arg::At(one), iovs(4), is(2), from, is(0), WRITTEN]);
        self.call("sock_recv_from", &[Arg::At(one), iovs(4), is(2), from, is(0), WRITTEN, FLAGS_OUT]);
        self.call("sock_recv_from", &[Arg::At(one), iovs(4), is(2), from, is(0), port, WRITTEN, FLAGS_OUT]);
        self.call(
            "sock_recv_from_v2",
            &[Arg::At(one), iovs(4), is(2), from, is(0), port, WRITTEN, FLAGS_OUT],
        );
        let [node, length] = name(10);
        let look_up = [node, length, is(DATA), is(0), is(0), is(LOOK_UPS), is(3), WRITTEN];
        self.call("sock_getaddrinfo", &look_up);
    }

    /// A listener and a connection by addresses whose port comes last.
    fn port_last_pair(&mut self) {
        let family = self.random.pick(&[0, 0, 1]);
        let (own, at) = (port_last(family), port_last(8));
        let listener = FdKind::Listener.word(self.slot());
        let (client, accepted) = (FdKind::Connection.word(self.slot()), FdKind::Accepted.word(self.slot()));
        self.close(listener);
        self.call("sock_open", &[is(0), is(family), is(1), is(listener)]);
        self.call("sock_set_reuse_addr", &[Arg::At(listener), is(1)]);
        self.call("sock_bind", &[Arg::At(listener), own]);
        self.call("sock_listen", &[Arg::At(listener), is(5)]);
        self.call("sock_addr_local", &[Arg::At(listener), at]);
        self.close(client);
        self.call("sock_open", &[is(0), is(family), is(1), is(client)]);
        let fast = self.random.below(2);
        self.call("sock_set_tcp_fastopen_connect", &[Arg::At(client), is(fast)]);
        self.call("sock_connect", &[Arg::At(client), at]);
        self.unblock(client);
        self.close(accepted);
        self.call("sock_accept", &[Arg::At(listener), is(4), is(accepted)]);
        self.unblock(accepted);
        self.unblock(listener);
    }

    /// Two datagram sockets, by addresses whose port comes last.
    fn port_last_datagrams(&mut self) {
        let (one, two) = (FdKind::Datagram.word(0), FdKind::Datagram.word(1 + self.random.below(3)));
        let at = port_last(9);
        for fd in [one, two] {
            self.close(fd);
            self.call("sock_open", &[is(0), is(0), is(0), is(fd)]);
            self.unblock(fd);
        }
        self.call("sock_bind", &[Arg::At(one), port_last(0)]);
        self.call("sock_addr_local", &[Arg::At(one), at]);
        for _ in 0..3 {
            self.call("sock_send_to", &[Arg::At(two), iovs(0), is(2), is(0), at, WRITTEN]);
        }
        self.call("sock_recv_from", &[Arg::At(one), iovs(4), is(2), is(0), port_last(10), WRITTEN]);
        let [(host, _), (service, _)] = [name(10), name(12)].map(|[at, len]| (at, len));
        self.call("sock_addr_resolve", &[host, service, is(0), is(OUT), is(4), WRITTEN]);
    }

    fn unix_pair(&mut self, kind: u64) {
        let listener = FdKind::Listener.word(self.slot());
        self.call("path_unlink_file", &[&[is(3)][..], &name(5)].concat());
        self.open(listener, 3, kind);
        self.call("sock_bind", &[Arg::At(listener), addr(address::UNIX_A)]);
        self.call("sock_listen", &[Arg::At(listener), is(3)]);
        self.connected(listener, 3, kind, addr(address::UNIX_A));
        self.unblock(listener);
    }

    fn datagrams(&mut self) {
        let (one, two) = (FdKind::Datagram.word(0), FdKind::Datagram.word(1 + self.random.below(3)));
        let out = addr(address::FIRST_OUT + 4);
        self.open(one, 1, self.datagram());
        self.call("sock_bind", &[Arg::At(one), addr(address::INET4)]);
        self.call("sock_addr_local", &[Arg::At(one), out]);
        self.unblock(one);
        self.open(two, 1, self.datagram());
        let to = if self.random.once_in(4) { addr(address::PEER_UDP) } else { out };
        for _ in 0..3 {
            let set = self.random.below(13);
            self.call("sock_send_to", &[Arg::At(two), iovs(set), is(2), is(0), to, WRITTEN]);
        }
        self.call("sock_connect", &[Arg::At(two), to]);
        self.call("sock_send", &[Arg::At(two), iovs(0), is(1), is(0), WRITTEN]);
        let from = addr(address::FIRST_OUT + 5);
        self.call("sock_recv_from", &[Arg::At(one), iovs(4), is(2), is(0), WRITTEN, FLAGS_OUT, from]);
    }

    fn file(&mut self) {
        let file = FdKind::File.word(self.slot());
        let path = name(self.random.index(2));
        self.close(file);
        let head = [is(3), is(1), path[0], path[1], is(1), ALL_RIGHTS, ALL_RIGHTS, is(0)];
        self.call("path_open", &[&head[..], &[is(file)]].concat());
        self.call("path_open2", &[&head[..], &[is(0), is(file)]].concat());
        let number = self.random.below(13);
        self.call("fd_write", &[Arg::At(file), iovs(number), is(2), WRITTEN]);
        self.call("fd_seek", &[Arg::At(file), is(0), is(0), is(NUMBERS + 16)]);
        self.call("fd_read", &[Arg::At(file), iovs(3), is(1), WRITTEN]);
        let number = self.random.below(100_000);
        self.call("fd_filestat_set_size", &[Arg::At(file), is(number)]);
    }

    fn directory(&mut self) {
        self.call("path_create_directory", &[&[is(3)][..], &name(2)].concat());
        let dir = FdKind::Dir.word(1 + self.random.below(3));
        let path = name(2);
        let open = [is(3), is(1), path[0], path[1], is(2), ALL_RIGHTS, ALL_RIGHTS, is(0), is(dir)];
        self.close(dir);
        self.call("path_open", &open);
        self.call("path_symlink", &[&name(0)[..], &[is(3)], &name(4)].concat());
        self.call("path_link", &[&[is(3), is(0)][..], &name(0), &[is(3)], &name(3)].concat());
        let room = [is(OUT + 0x400), is(64), is(NUMBERS)];
        self.call("path_readlink", &[&[is(3)][..], &name(4), &room].concat());
        self.call("fd_readdir", &[Arg::At(dir), is(OUT + 0x400), is(256), is(0), is(NUMBERS)]);
        match self.random.below(4) {
            0 => self.call("path_rename", &[&[is(3)][..], &name(3), &[is(3)], &name(1)].concat()),
            1 => self.call("path_unlink_file", &[&[is(3)][..], &name(3)].concat()),
            2 => self.call("path_remove_directory", &[&[is(3)][..], &name(2)].concat()),
            _ => self.call("chdir", &name(2)),
        }
    }

    fn pipes(&mut self) {
        let (reader, writer) = (FdKind::Pipe.word(0), FdKind::Pipe.word(1));
        self.close(reader);
        self.close(writer);
        self.call("fd_pipe", &[is(reader), is(writer)]);
        self.unblock(reader);
        self.unblock(writer);
        let number = self.random.below(13);
        self.call("fd_write", &[Arg::At(writer), iovs(number), is(3), WRITTEN]);
        self.call("fd_read", &[Arg::At(reader), iovs(2), is(2), WRITTEN]);
        let counter = FdKind::Counter.word(self.slot());
        self.close(counter);
        let number = self.random.below(3);
        self.call("fd_event", &[is(number), is(4), is(counter)]);
        let (one, two) = (FdKind::Connection.word(3), FdKind::Unix.word(3));
        self.close(one);
        self.close(two);
        let kind = self.random.pick(&[1, self.datagram(), self.seqpacket()]);
        self.call("sock_pair", &[is(3), is(kind), is(0), is(one), is(two)]);
        self.unblock(one);
        self.unblock(two);
    }

    /// Descriptors in a message over a pair.
    fn pass(&mut self) {
        let (one, two) = (FdKind::Connection.word(3), FdKind::Unix.word(3));
        if self.random.once_in(2) {
            self.close(one);
            self.close(two);
            let kind = self.random.pick(&[1, self.datagram(), self.seqpacket()]);
            self.call("sock_pair", &[is(3), is(kind), is(0), is(one), is(two)]);
            self.unblock(one);
            self.unblock(two);
        }
        let (count, received) = (self.random.below(5), CONTROL + 64);
        let length = 8 + 4 * count;
        let told = is(self.random.pick(&[length, length, length, length, 7, 64]));
        let level_and_type = is(self.random.pick(&[0, 0, 0, 0, 0, 1]));
        self.store(CONTROL, told);
        self.store(CONTROL + 4, level_and_type);
        for index in 0..count {
            let any = self.random.pick(&FdKind::ALL).word(self.slot());
            let (end, counter) = (FdKind::Pipe.word(self.random.below(2)), FdKind::Counter.word(self.slot()));
            let word = self.random.pick(&[one, two, one, two, end, end, counter, any]);
            self.store(CONTROL + 8 + 4 * index, Arg::At(word));
        }
        let data = iovs(self.random.below(13));
        let control = [is(CONTROL), is(length)];
        self.call(
            "sock_send_msg",
            &[&[Arg::At(one), data, is(3), is(1), is(0)][..], &control, &[WRITTEN]].concat(),
        );
        let flags = is(self.random.pick(&[8, 8, 9, 10]));
        let room = is(self.random.pick(&[64, 64, 16, 12, 0]));
        for word in 0..5 {
            self.store(received + 8 + 4 * word, is(0xffff_ffff));
        }
        self.call(
            "sock_recv_msg",
            &[Arg::At(two), iovs(2), is(2), flags, is(0), is(received), room, WRITTEN, FLAGS_OUT, LENGTH_OUT],
        );
        for word in 0..5 {
            self.call("fd_close", &[Arg::At(received + 8 + 4 * word)]);
        }
    }

    fn watch(&mut self) {
        let epoll = FdKind::Epoll.word(self.slot());
        if self.random.once_in(3) {
            self.close(epoll);
            self.call("epoll_create", &[is(epoll)]);
        }
        let kinds = [FdKind::Connection, FdKind::Listener, FdKind::Pipe, FdKind::Counter, FdKind::Accepted];
        for _ in 0..self.random.below(6) {
            let word = self.random.pick(&kinds).word(self.slot());
            let (op, interest) = (self.random.pick(&[1, 1, 3, 2]), INTERESTS + 32 * self.random.below(6));
            self.call("epoll_ctl", &[Arg::At(epoll), is(op), Arg::At(word), is(interest)]);
        }
        let limit = self.random.pick(&[0, 0, 1000, 200_000]);
        self.call("epoll_wait", &[Arg::At(epoll), is(EVENTS), is(8), is(limit), WRITTEN]);
    }

    fn poll(&mut self) {
        let list = SUBSCRIPTIONS + self.random.below(15) * 8 * SUBSCRIPTION_SIZE;
        for index in 1..8 {
            let word = self.random.pick(&FdKind::ALL).word(self.slot());
            self.store(list + index * SUBSCRIPTION_SIZE + 16, Arg::At(word));
        }
        let count = 1 + self.random.below(8);
        self.call("poll_oneoff", &[is(list), is(EVENTS), is(count), WRITTEN]);
    }

    fn call_peer(&mut self) {
        let client = FdKind::Connection.word(self.slot());
        let unix = self.random.once_in(3);
        self.open(client, if unix { 3 } else { 1 }, 1);
        let to = addr(if unix { address::PEER_UNIX } else { address::PEER_TCP });
        self.call("sock_connect", &[Arg::At(client), to]);
        self.unblock(client);
        let number = self.random.below(13);
        self.call("sock_send", &[Arg::At(client), iovs(number), is(4), is(0), WRITTEN]);
        self.call("sock_recv", &[Arg::At(client), iovs(4), is(1), is(0), WRITTEN, FLAGS_OUT]);
    }

    fn threads(&mut self) {
        let list = self.random.below(4);
        self.call("thread-spawn", &[is(list)]);
        self.call("thread_spawn_v2", &[is(list), is(NUMBERS + 24)]);
        self.call("thread_spawn", &[is(list), is(0), is(0), is(0), is(NUMBERS + 24)]);
        let word = FUTEXES + 4 * self.random.below(8);
        let limit = DURATIONS + 16 * (1 + self.random.below(3));
        self.call("futex_wait", &[is(word), is(0), is(limit), WRITTEN]);
        self.call("futex_wake_all", &[is(word), WRITTEN]);
        self.call("thread_local_create", &[is(5), is(NUMBERS + 32)]);
        self.call("thread_local_set", &[Arg::At(NUMBERS + 32), is(9)]);
        self.call("thread_local_get", &[Arg::At(NUMBERS + 32), is(NUMBERS + 40)]);
        if self.random.once_in(4) {
            self.call("thread_local_destroy", &[Arg::At(NUMBERS + 32)]);
            self.call("thread_join", &[Arg::At(NUMBERS + 24)]);
        }
    }

    fn signals(&mut self) {
        self.call("callback_signal", &name(11));
        let signal = self.random.pick(&[10, 12, 28, 17]);
        self.call("proc_signal", &[is(1), is(signal)]);
        self.call("thread_signal", &[is(1), is(signal)]);
        self.call("proc_signals_get", &[is(OUT)]);
        let interval = self.random.pick(&[0, 100_000, 1_000_000]);
        let number = self.random.below(2);
        self.call("proc_raise_interval", &[is(signal), is(interval), is(number)]);
    }

    fn transfers(&mut self) {
        for _ in 0..4 {
            let kind = self.random.pick(&[FdKind::Connection, FdKind::Accepted, FdKind::Unix]);
            let word = kind.word(self.slot());
            let set = self.random.below(13);
            match self.random.below(4) {
                0 => self.call("sock_send", &[Arg::At(word), iovs(set), is(2), is(0), WRITTEN]),
                1 => self.call("sock_recv", &[Arg::At(word), iovs(set), is(2), is(0), WRITTEN, FLAGS_OUT]),
                2 => {
                    let file = FdKind::File.word(self.slot());
                    self.call("sock_send_file", &[Arg::At(word), Arg::At(file), is(0), is(4096), WRITTEN]);
                }
                _ => {
                    let how = 1 + self.random.below(3);
                    self.call("sock_shutdown", &[Arg::At(word), is(how)]);
                }
            }
        }
    }

    /// Closes everything, by number.
    fn start_over(&mut self) {
        for fd in 5..5 + self.random.below(40) {
            self.call("fd_close", &[is(fd)]);
        }
    }
}
