//! What the kernel has still to send, for each of its sockets.
//!
//! A program that has written an answer has done its part, though the peer may take minutes to fetch
//! it: such a connection is not idle. There is a call that tells of one socket, and it is an `ioctl`
//! without a safe interface; so this reads the table of all. That takes the kernel milliseconds,
//! however few sockets there are, and every guest would read the same: one reading serves all for a
//! while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The tables of the network that this process is in.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// How long a reading serves.
const SERVES: Duration = Duration::from_millis(100);

/// How many bytes of each TCP socket its peer has not confirmed yet, by the number of its inode; those
/// with none are left out.
pub(crate) type Unsent = Arc<HashMap<u64, u64>>;

/// The latest reading, and when it was begun.
static LATEST: Mutex<Option<(Instant, Unsent)>> = Mutex::new(None);

/// What is unsent now or was a moment ago, but not before `since`. Empty where the system does not say.
pub(crate) fn unsent(since: Instant) -> Unsent {
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if let Some((begun, reading)) = &*latest
        && *begun >= since
        && now.saturating_duration_since(*begun) < SERVES
    {
        return Arc::clone(reading);
    }
    let reading = Arc::new(read());
    *latest = Some((now, Arc::clone(&reading)));
    reading
}

fn read() -> HashMap<u64, u64> {
    let tables = TABLES.map(|table| std::fs::read_to_string(table).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(entry).collect()
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...`
/// - proc_net_tcp.txt of the kernel
fn entry(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (queued, _) = words.nth(4)?.split_once(':')?;
    let queued = u64::from_str_radix(queued, 16).ok().filter(|queued| *queued > 0)?;
    Some((words.nth(4)?.parse().ok()?, queued))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_a_peer_does_not_fetch_is_unsent() -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let _peer = listener.accept()?;
        let inode = rustix::fs::fstat(&client)?.st_ino;
        assert_eq!(unsent(Instant::now()).get(&inode), None);
        client.set_nonblocking(true)?;
        while client.write(&[0; 65536]).is_ok() {}
        assert!(unsent(Instant::now()).get(&inode).is_some_and(|queued| *queued > 0));
        Ok(())
    }

    #[test]
    fn a_reading_from_before_is_no_answer() {
        let first = unsent(Instant::now());
        assert!(!Arc::ptr_eq(&first, &unsent(Instant::now())));
    }

    #[test]
    fn one_reading_serves_all_for_a_while() {
        // A busy machine may let the time pass, and another test may read anew.
        let is_shared = || {
            let since = Instant::now();
            Arc::ptr_eq(&unsent(since), &unsent(since))
        };
        assert!((0..100).any(|_| is_shared()));
    }
}
