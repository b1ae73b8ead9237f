//! The profile `wasix`: from the number that a guest passes to the number that the
//! kernel is given.

/// How many connections may wait for a backlog that the guest passed.
///
/// A value of 2^31 or more is a negative C `int`, and means 0; 0 means the
/// minimum, 1; more than `maximum` means the maximum, silently.
pub fn capacity(backlog: u32, maximum: u32) -> u32 {
    // "If listen() is called with a backlog argument value that is less than 0, the
    // function behaves as if it had been called with a backlog argument value of 0."
    // - listen(3p)
    let asked = if i32::try_from(backlog).is_ok() { backlog } else { 0 };
    asked.min(maximum).max(1)
}

/// The number to give to the kernel so that exactly `capacity` connections wait.
///
/// Linux holds one more than it is told, because it compares with "greater than"
/// when it asks whether the queue is full.
pub fn kernel_backlog(capacity: u32) -> i32 {
    i32::try_from(capacity.saturating_sub(1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_becomes_a_capacity() {
        for (backlog, expected) in [(0, 1), (1, 1), (2, 2), (128, 128), (4096, 4096), (4097, 4096)] {
            assert_eq!(capacity(backlog, 4096), expected, "{backlog}");
        }
        for negative in [1 << 31, u32::MAX] {
            assert_eq!(capacity(negative, 4096), 1, "{negative}");
        }
        assert_eq!(capacity(i32::MAX.unsigned_abs(), u32::MAX), i32::MAX.unsigned_abs());
    }

    #[test]
    fn the_kernel_is_told_one_less() {
        assert_eq!(kernel_backlog(1), 0);
        assert_eq!(kernel_backlog(128), 127);
        assert_eq!(kernel_backlog(0), 0);
    }
}
