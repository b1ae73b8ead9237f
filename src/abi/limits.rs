//! Limits of blocking calls, for the dialects whose programs set them as Linux has them.

use std::time::Duration;

use crate::error::Errno;
use crate::socket::{Socket, TimeOption};

/// Sets the limit of receiving or sending, and with it that of accepting or connecting, where the socket
/// does that.
///
/// "Timeouts only have effect for system calls that perform socket I/O (e.g., accept(2), connect(2), read(2) [...])"
/// - socket(7)
pub(crate) fn set_limits(socket: &Socket, option: TimeOption, limit: Option<Duration>) -> Result<(), Errno> {
    socket.set_time(option, limit)?;
    let beside = if option == TimeOption::Receive { TimeOption::Accept } else { TimeOption::Connect };
    match socket.set_time(beside, limit) {
        Err(Errno::ENOPROTOOPT) => Ok(()),
        set => set,
    }
}
