//! What each profile is to do: the one table that the tests expect, written from
//! the five descriptions and not from the code.

/// The backlogs for which connections are counted one by one.
pub(super) const BACKLOGS: [u32; 8] = [0, 1, 2, 3, 5, 16, 127, 128];

/// The operator's maximum while [`BACKLOGS`] are counted: more than every one of
/// them, and little enough to fill.
pub(super) const PLENTY: u32 = 130;

/// The operator's maximum where it is to matter.
pub(super) const FEW: u32 = 8;

/// Backlogs that are more than [`FEW`].
pub(super) const MORE_THAN_FEW: [u32; 4] = [9, 1000, 4096, 0x7fff_ffff];

/// Backlogs that are negative as a C `int`.
pub(super) const NEGATIVE: [u32; 2] = [1 << 31, u32::MAX];

/// The largest C `int`, which is `SOMAXCONN` in Winsock.
pub(super) const SOMAXCONN: u32 = 0x7fff_ffff;

/// One profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    /// As `--listen-profile` takes it.
    pub(super) name: &'static str,
    /// The programs, whose calls are those of a dialect.
    pub(super) programs: Programs,
    /// How many connections wait for each of [`BACKLOGS`], with [`PLENTY`].
    pub(super) waiting: [usize; 8],
    /// How many wait for the largest C `int`, with [`PLENTY`].
    pub(super) waiting_for_somaxconn: usize,
    /// How many wait for [`MORE_THAN_FEW`], with [`FEW`].
    pub(super) waiting_at_most: usize,
    /// How many wait for [`NEGATIVE`], with [`FEW`].
    pub(super) waiting_for_negative: usize,
    /// How many wait for 100,000, where the operator allows it and the kernel's limit
    /// is this.
    pub(super) waiting_for_everything: fn(u32) -> u32,
    /// What becomes of a connection that finds the queue full.
    pub(super) one_more: OneMore,
    /// Are those reset, newest first, that exceed a smaller backlog?
    pub(super) resets_excess: bool,
    /// The result of listening on a socket without an address.
    pub(super) unbound: Unbound,
    /// The result of listening on a connected or connecting socket.
    pub(super) connected: &'static str,
}

/// The programs of the tests, as they are compiled for a dialect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Programs {
    /// The one that follows commands.
    pub(super) listener: &'static str,
    /// The one that checks rules from inside.
    pub(super) rules: &'static str,
    pub(super) port_probe: &'static str,
    pub(super) http_server: &'static str,
    /// How the call by which a listener listens again begins in the trace, and how it succeeds.
    pub(super) listens: (&'static str, &'static str),
    /// Does the listener ask for 1 where it is told 0, as C libraries do?
    pub(super) has_no_backlog_of_0: bool,
}

/// Those of a module of `guest_tests`.
macro_rules! programs {
    ($($module:tt)*) => {
        Programs {
            listener: $($module)*::LISTENER,
            rules: $($module)*::LISTEN_RULES,
            port_probe: $($module)*::PORT_PROBE,
            http_server: $($module)*::HTTP_SERVER,
            listens: ("sock_listen(fd=3, backlog=", "0"),
            has_no_backlog_of_0: false,
        }
    };
}

impl Programs {
    const WASIX: Self = programs!(guest_tests);
    pub(super) const WASMEDGE: Self = programs!(guest_tests::wasmedge);
    pub(super) const WAMR: Self = programs!(guest_tests::wamr);
    /// WASI 0.2. What needs the others of them is tested by `component::sockets`.
    pub(super) const COMPONENT: Self = Self {
        listener: guest_tests::components::COMPONENT_LISTENER,
        rules: guest_tests::components::COMPONENT_RULES,
        listens: ("tcp-socket.set-listen-backlog-size(fd=3, value=", "ok"),
        has_no_backlog_of_0: true,
        ..Self::WASIX
    };
    /// WASI 0.3. What needs the other one of them is tested by `component::p3`.
    pub(super) const P3: Self = Self {
        listener: guest_tests::components::P3_LISTENER,
        rules: guest_tests::components::P3_RULES,
        http_server: guest_tests::components::P3_SERVER,
        listens: ("tcp-socket.set-listen-backlog-size(fd=3, value=", "ok"),
        has_no_backlog_of_0: true,
        ..Self::WASIX
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OneMore {
    /// The client's kernel tries again.
    Unanswered,
    /// The client learns of it at once.
    Reset,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Unbound {
    Answers(&'static str),
    /// The wildcard address and port 0, where the policy grants that.
    Binds,
}

impl Profile {
    pub(super) const WASIX: Self = Self {
        name: "wasix",
        programs: Programs::WASIX,
        waiting: [1, 1, 2, 3, 5, 16, 127, 128],
        waiting_for_somaxconn: 130,
        waiting_at_most: 8,
        waiting_for_negative: 8,
        // The kernel holds one more than its limit, whatever it is passed.
        waiting_for_everything: |limit| limit + 1,
        one_more: OneMore::Unanswered,
        resets_excess: false,
        unbound: Unbound::Answers("EINVAL"),
        connected: "EISCONN",
    };

    /// The same, with programs of another dialect.
    pub(super) const fn with(self, programs: Programs) -> Self {
        let mut waiting = self.waiting;
        if programs.has_no_backlog_of_0 {
            waiting[0] = waiting[1];
        }
        Self { programs, waiting, ..self }
    }

    pub(super) const POSIX: Self = Self {
        name: "posix",
        waiting_for_negative: 1,
        unbound: Unbound::Answers("EDESTADDRREQ"),
        connected: "EINVAL",
        ..Self::WASIX
    };

    pub(super) const WINSOCK: Self = Self {
        name: "winsock",
        // 128 is SOMAXCONN in the guests' C library: the maximum.
        waiting: [1, 1, 2, 3, 5, 16, 127, 130],
        waiting_for_negative: 1,
        waiting_for_everything: |_| 100_000,
        one_more: OneMore::Reset,
        resets_excess: true,
        ..Self::WASIX
    };

    pub(super) const BSD: Self = Self {
        name: "bsd",
        // One and a half times as many.
        waiting: [1, 2, 3, 5, 8, 24, 191, 192],
        waiting_for_somaxconn: 195,
        waiting_at_most: 12,
        waiting_for_negative: 12,
        connected: "EINVAL",
        ..Self::WASIX
    };

    pub(super) const LINUX: Self = Self {
        name: "linux",
        // One more.
        waiting: [1, 2, 3, 4, 6, 17, 128, 129],
        waiting_for_somaxconn: 131,
        waiting_at_most: 9,
        waiting_for_negative: 9,
        unbound: Unbound::Binds,
        connected: "EINVAL",
        ..Self::WASIX
    };

    pub(super) const ALL: [Self; 5] = [Self::WASIX, Self::POSIX, Self::WINSOCK, Self::BSD, Self::LINUX];

    /// How many connections wait for one of [`BACKLOGS`].
    pub(super) fn waiting_for(&self, backlog: u32) -> usize {
        let mut all = BACKLOGS.into_iter().zip(self.waiting);
        all.find_map(|(it, waiting)| (it == backlog).then_some(waiting)).unwrap_or(0)
    }

    /// The result of listening on a socket without an address, where nothing is
    /// granted but 127.0.0.1.
    pub(super) fn unbound_without_grant(&self) -> &'static str {
        match self.unbound {
            Unbound::Answers(errno) => errno,
            Unbound::Binds => "EACCES",
        }
    }
}
