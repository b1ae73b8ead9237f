//! Listening, to the letter: every rule in every profile, a test each.
//!
//! [`rows`] and [`descriptors`] hold what is the same everywhere, [`cells`] what a profile decides,
//! and the expected results are in [`profile`] alone. [`limits`] holds to the operator's limits,
//! [`queue`] is the queue that the host owns for `winsock`, [`close`] the end of a listener,
//! [`stress`] its bad days. The first line above a test's function is a row of the tables of
//! docs/listen.md; [`every_profile!`] makes five tests of it, so that one is called
//! `listen::winsock::row_18_already_waiting`.

mod cells;
mod close;
mod descriptors;
mod limits;
mod profile;
mod queue;
mod rows;
mod stress;

use super::{run, run_on_loopback};
use anyhow::{Context, Result, ensure};
use guest_tests::{Attempt, Client, Finished, Running, Silent, Wasock, is_refused, let_packets_pass};
use profile::{OneMore, Profile, Programs, Unbound};
use std::net::SocketAddr;
use std::time::Duration;

/// How long anything may take before the test gives up on it.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A test of each function, in each profile.
macro_rules! every_profile {
    ($($room:ident: $tests:tt)*) => {
        tests_of! { wasix WASIX $($room: $tests)* }
        tests_of! { posix POSIX $($room: $tests)* }
        tests_of! { winsock WINSOCK $($room: $tests)* }
        tests_of! { bsd BSD $($room: $tests)* }
        tests_of! { linux LINUX $($room: $tests)* }
    };
}

macro_rules! tests_of {
    ($module:ident $profile:ident $($room:ident: { $($test:ident)* })*) => {
        mod $module {
            $($(
                #[test]
                fn $test() -> anyhow::Result<()> {
                    crate::listen::$room::$test(crate::listen::Profile::$profile)
                }
            )*)*
        }
    };
}

/// The same with programs whose calls are another dialect's: one is called `listen::wasmedge::winsock::one_more`.
macro_rules! every_profile_in {
    ($dialect:ident $PROGRAMS:ident $($room:ident: $tests:tt)*) => {
        mod $dialect {
            tests_in! { $PROGRAMS wasix WASIX $($room: $tests)* }
            tests_in! { $PROGRAMS posix POSIX $($room: $tests)* }
            tests_in! { $PROGRAMS winsock WINSOCK $($room: $tests)* }
            tests_in! { $PROGRAMS bsd BSD $($room: $tests)* }
            tests_in! { $PROGRAMS linux LINUX $($room: $tests)* }
        }
    };
}

macro_rules! tests_in {
    ($PROGRAMS:ident $module:ident $profile:ident $($room:ident: { $($test:ident)* })*) => {
        mod $module {
            $($(
                #[test]
                fn $test() -> anyhow::Result<()> {
                    use crate::listen::{Profile, Programs};
                    crate::listen::$room::$test(Profile::$profile.with(Programs::$PROGRAMS))
                }
            )*)*
        }
    };
}

// A function that is missing here is dead code, which no build lets pass.
every_profile! {
    rows: {
        row_01_bad_descriptor
        row_02_not_a_socket
        row_03_without_the_right
        row_04_datagram
        row_05_seqpacket
        row_06_refused_by_the_policy
        row_07_taken_after_bind
        row_09_order_of_errors
        row_10_failure_changes_nothing
        row_11_last_duplicate
        row_11_until_the_guest_ends
        row_13_accept_waits
        row_13_accept_timeout
        row_13_accept_intr
        row_14_accept_states_and_kinds
        row_15_reset_while_waiting
        row_16_addresses_of_the_accepted
        row_17_polling_consumes_nothing
        row_17_poll_waits_for_a_connection
        row_18_already_waiting
        row_19_chosen_port
        row_20_restart_at_once
        row_20_two_listeners
        row_20_shared_port
    }
    descriptors: {
        row_08_out_of_descriptors
        row_12_accept_with_a_full_table
        row_12_accept_without_host_descriptors
        row_12_poll_without_host_descriptors
        row_12_epoll_without_host_descriptors
        row_12_server_without_host_descriptors
    }
    cells: {
        backlog_as_passed
        negative_backlog
        zero_backlog
        above_the_maximum
        somaxconn
        capacity
        one_more
        listen_again
        unbound
        connected_or_connecting
        beyond_the_kernels_limit
    }
    limits: {
        as_many_connections_as_may_be
        as_many_as_a_listener_may_have
        as_many_as_a_peer_may_have
        a_duplicate_keeps_the_permit_of_its_connection
        a_server_with_as_many_connections_as_may_be
    }
    close: {
        close_with_clients_waiting
        shutdown_of_a_listener
        duplicates_share_the_queue
        listen_again_on_a_duplicate
    }
    stress: {
        every_kind_and_backlog
        ten_thousand_listens
        ten_thousand_connections
        threads_of_fifty_listeners
    }
}

// What its calls can say. `tests/docs/listening.rs` has the reason of each that is not here.
every_profile_in! { wasmedge WASMEDGE
    rows: {
        row_01_bad_descriptor
        row_02_not_a_socket
        row_03_without_the_right
        row_04_datagram
        row_06_refused_by_the_policy
        row_07_taken_after_bind
        row_09_order_of_errors
        row_10_failure_changes_nothing
        row_11_until_the_guest_ends
        row_13_accept_waits
        row_13_accept_timeout
        row_14_accept_states_and_kinds
        row_15_reset_while_waiting
        row_16_addresses_of_the_accepted
        row_17_polling_consumes_nothing
        row_17_poll_waits_for_a_connection
        row_18_already_waiting
        row_19_chosen_port
        row_20_restart_at_once
        row_20_two_listeners
    }
    descriptors: {
        row_08_out_of_descriptors
        row_12_accept_with_a_full_table
        row_12_accept_without_host_descriptors
        row_12_poll_without_host_descriptors
        row_12_server_without_host_descriptors
    }
    cells: {
        backlog_as_passed
        negative_backlog
        zero_backlog
        above_the_maximum
        somaxconn
        capacity
        one_more
        listen_again
        unbound
        connected_or_connecting
    }
    limits: {
        as_many_connections_as_may_be
        as_many_as_a_listener_may_have
        as_many_as_a_peer_may_have
        a_server_with_as_many_connections_as_may_be
    }
    close: {
        close_with_clients_waiting
        shutdown_of_a_listener
    }
    stress: {
        every_kind_and_backlog
    }
}

every_profile_in! { wamr WAMR
    rows: {
        row_01_bad_descriptor
        row_02_not_a_socket
        row_03_without_the_right
        row_04_datagram
        row_06_refused_by_the_policy
        row_07_taken_after_bind
        row_09_order_of_errors
        row_10_failure_changes_nothing
        row_11_until_the_guest_ends
        row_13_accept_waits
        row_13_accept_timeout
        row_14_accept_states_and_kinds
        row_15_reset_while_waiting
        row_16_addresses_of_the_accepted
        row_17_polling_consumes_nothing
        row_17_poll_waits_for_a_connection
        row_18_already_waiting
        row_19_chosen_port
        row_20_restart_at_once
        row_20_two_listeners
        row_20_shared_port
    }
    descriptors: {
        row_08_out_of_descriptors
        row_12_accept_with_a_full_table
        row_12_accept_without_host_descriptors
        row_12_poll_without_host_descriptors
        row_12_server_without_host_descriptors
    }
    cells: {
        backlog_as_passed
        negative_backlog
        zero_backlog
        above_the_maximum
        somaxconn
        capacity
        one_more
        listen_again
        unbound
        connected_or_connecting
    }
    limits: {
        as_many_connections_as_may_be
        as_many_as_a_listener_may_have
        as_many_as_a_peer_may_have
        a_server_with_as_many_connections_as_may_be
    }
    close: {
        close_with_clients_waiting
        shutdown_of_a_listener
    }
    stress: {
        every_kind_and_backlog
    }
}

every_profile_in! { component COMPONENT
    rows: {
        row_09_order_of_errors
        row_10_failure_changes_nothing
        row_11_until_the_guest_ends
        row_13_accept_waits
        row_13_accept_timeout
        row_14_accept_states_and_kinds
        row_15_reset_while_waiting
        row_16_addresses_of_the_accepted
        row_17_polling_consumes_nothing
        row_17_poll_waits_for_a_connection
        row_18_already_waiting
        row_19_chosen_port
        row_20_restart_at_once
        row_20_two_listeners
    }
    cells: {
        above_the_maximum
        somaxconn
        capacity
        one_more
        listen_again
        connected_or_connecting
    }
    limits: {
        as_many_as_a_peer_may_have
    }
    close: {
        close_with_clients_waiting
    }
}

every_profile_in! { p3 P3
    rows: {
        row_09_order_of_errors
        row_10_failure_changes_nothing
        row_11_until_the_guest_ends
        row_13_accept_waits
        row_13_accept_timeout
        row_14_accept_states_and_kinds
        row_15_reset_while_waiting
        row_16_addresses_of_the_accepted
        row_17_polling_consumes_nothing
        row_17_poll_waits_for_a_connection
        row_18_already_waiting
        row_19_chosen_port
        row_20_restart_at_once
        row_20_two_listeners
    }
    descriptors: {
        row_12_server_without_host_descriptors
    }
    cells: {
        above_the_maximum
        somaxconn
        capacity
        one_more
        listen_again
        connected_or_connecting
    }
    limits: {
        as_many_as_a_peer_may_have
        a_server_with_as_many_connections_as_may_be
    }
    close: {
        close_with_clients_waiting
    }
}

/// The command with this profile, and everything on 127.0.0.1 granted.
fn host(profile: Profile) -> Wasock {
    run_on_loopback().args(["--listen-profile", profile.name])
}

/// Runs one rule of the program that checks rules from inside.
fn holds(profile: Profile, rule: &str) -> Result<Finished> {
    let folder = tempfile::tempdir()?;
    let silent = Silent::new()?;
    host(profile)
        .arg("--dir")
        .arg(format!("{}::/", folder.path().display()))
        .args(["--listen", "unix:*", "--connect", "unix:*"])
        .args([profile.programs.rules, rule, profile.unbound_without_grant(), profile.connected])
        .arg(silent.addr()?.to_string())
        .succeed()?
        .expect_stdout("holds\n")
}

/// A guest that listens and follows commands.
struct Listener {
    profile: Profile,
    running: Running,
    /// The address of the listener that gets the commands.
    addr: SocketAddr,
    told: usize,
}

impl Listener {
    fn start(profile: Profile, backlog: u32) -> Result<Self> {
        Self::start_on(profile, host(profile), "127.0.0.1:0", backlog)
    }

    /// With the operator's maximum.
    fn start_with_maximum(profile: Profile, maximum: u32, backlog: u32) -> Result<Self> {
        let host = host(profile).args(["--max-backlog", &maximum.to_string()]);
        Self::start_on(profile, host, "127.0.0.1:0", backlog)
    }

    /// With so many descriptors for the host.
    fn start_limited(profile: Profile, descriptors: u32, backlog: u32) -> Result<Self> {
        // What cleans the cache up now and then takes descriptors, and gives them back.
        let host = host(profile).arg("--no-cache");
        let host = on(profile, host, "127.0.0.1:0", backlog).limit_descriptors(descriptors);
        Self::started(profile, host)
    }

    fn start_on(profile: Profile, host: Wasock, addr: &str, backlog: u32) -> Result<Self> {
        Self::started(profile, on(profile, host, addr, backlog))
    }

    fn started(profile: Profile, host: Wasock) -> Result<Self> {
        let mut running = host.start()?;
        let addr = running.listening()?;
        Ok(Self { profile, running, addr, told: 0 })
    }

    fn tell(&mut self, line: &str) -> Result<String> {
        self.begin(line)?;
        self.answer()
    }

    /// Sends a command without waiting for the reply.
    fn begin(&mut self, line: &str) -> Result<()> {
        self.running.write_stdin(format!("{line}\n").as_bytes())
    }

    fn answer(&mut self) -> Result<String> {
        let prefix = format!("answer {}: ", self.told);
        self.told += 1;
        let line = self.running.wait_for_stdout(&prefix)?;
        Ok(line.trim_start_matches(&prefix).to_owned())
    }

    fn expect(&mut self, line: &str, expected: &str) -> Result<()> {
        let answer = self.tell(line)?;
        ensure!(answer == expected, "{line}: {answer}, not {expected}");
        Ok(())
    }

    /// Listens on one more port, and goes on with that.
    fn also(&mut self, backlog: u32) -> Result<()> {
        let answer = self.tell(&format!("also {backlog}"))?;
        self.addr = answer.parse().context(answer)?;
        Ok(())
    }

    fn connect(&self) -> Result<Client> {
        Client::connect(self.addr)
    }

    /// Connects; nothing where the reset is quicker than that.
    fn connect_or_reset(&self) -> Result<Option<Client>> {
        match self.connect() {
            Ok(client) => Ok(Some(client)),
            Err(error) => {
                let kind = error.downcast_ref().map(std::io::Error::kind);
                if kind == Some(std::io::ErrorKind::ConnectionReset) { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Connects, and the guest accepts.
    fn accepted(&mut self) -> Result<Client> {
        let client = self.connect()?;
        self.expect("accept_waiting", &client.name()?)?;
        Ok(client)
    }

    /// Connects clients until so many wait in all.
    fn connect_until(&self, waiting: &mut Vec<Client>, count: usize) -> Result<()> {
        while waiting.len() < count {
            let client = self.connect().with_context(|| format!("{} wait already", waiting.len()))?;
            waiting.push(client);
        }
        Ok(())
    }

    /// So many connections wait, and not one more.
    fn fill(&self, count: usize) -> Result<Vec<Client>> {
        let mut waiting = Vec::new();
        self.connect_until(&mut waiting, count)?;
        self.is_full().with_context(|| format!("{count} wait"))?;
        Ok(waiting)
    }

    /// The queue is full.
    fn is_full(&self) -> Result<()> {
        match self.profile.one_more {
            OneMore::Reset => is_refused(self.addr),
            OneMore::Unanswered => {
                // The last of the waiters is in the queue, on both sides.
                let_packets_pass()?;
                ensure!(Attempt::start(self.addr)?.is_unanswered()?, "one more got in");
                Ok(())
            }
        }
    }

    /// These and no others are pending, in this order; the guest has them now.
    fn accepts_all(&mut self, waiting: &[Client]) -> Result<()> {
        let mut expected = String::new();
        for client in waiting {
            client.hears_nothing()?;
            expected.push_str(&format!("{} ", client.port()?));
        }
        self.expect("accept_all", &(expected + "EAGAIN"))
    }

    /// A client that is connected is served, after others that may be dead.
    fn serves(&mut self, mut client: Client) -> Result<()> {
        let name = client.name()?;
        for _ in 0..1000 {
            let accepted = self.tell("accept_waiting")?;
            if accepted != name {
                if accepted != "ECONNABORTED" {
                    self.expect("close", "done")?;
                }
                continue;
            }
            client.say("hello")?;
            self.expect("read", "hello")?;
            self.expect("close", "done")?;
            return client.hears_the_end();
        }
        anyhow::bail!("{name} is not served");
    }

    /// The next client that connects is served, and at once.
    fn still_serves(&mut self) -> Result<()> {
        let mut client = self.connect()?;
        self.expect("accept_waiting", &client.name()?)?;
        client.say("hello")?;
        self.expect("read", "hello")?;
        self.expect("close", "done")?;
        client.hears_the_end()
    }

    /// The host does nothing while `what` is so.
    fn rests(&self, what: &str) -> Result<()> {
        let before = self.running.processor_time()?;
        std::thread::sleep(Duration::from_millis(500));
        let used = self.running.processor_time()? - before;
        ensure!(used < Duration::from_millis(120), "{what}: {used:?} of processor time in half a second");
        Ok(())
    }

    fn host_descriptors(&self) -> Result<usize> {
        self.running.descriptors()
    }

    /// Waits until the host has no more descriptors than this.
    fn returns_to(&self, descriptors: usize) -> Result<()> {
        let deadline = std::time::Instant::now() + WAIT_TIMEOUT;
        while self.host_descriptors()? > descriptors {
            let open = self.host_descriptors()?;
            ensure!(std::time::Instant::now() < deadline, "{open} descriptors, not {descriptors}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

fn on(profile: Profile, host: Wasock, addr: &str, backlog: u32) -> Wasock {
    host.with_stdin().args([profile.programs.listener, addr, &backlog.to_string()])
}
