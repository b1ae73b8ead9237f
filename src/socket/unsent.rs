//! What the kernel has still to send, for each of its sockets.
//!
//! A program that has written an answer has done its part, though the peer may take minutes to fetch
//! it: such a connection is not idle. There is a call that tells of one socket, and it is an `ioctl`
//! without a safe interface; so this reads the table of all, which is for rare use.

use std::collections::HashMap;

/// The tables of the network that this process is in.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// How many bytes of each TCP socket its peer has not confirmed yet, by the number of its inode; those
/// with none are left out. Empty where the system does not say.
pub(crate) fn unsent() -> HashMap<u64, u64> {
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
        assert_eq!(unsent().get(&inode), None);
        client.set_nonblocking(true)?;
        while client.write(&[0; 65536]).is_ok() {}
        assert!(unsent().get(&inode).is_some_and(|queued| *queued > 0));
        Ok(())
    }
}
