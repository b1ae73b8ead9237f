//! How much of the container's memory the guest may have: `memory.grow` shall answer before the kernel kills.

use std::fs;

use crate::bundle;

/// Where a control group says its limit, in a container that has them mounted: the second version and the first.
const FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// What the host takes at least besides the guest's own memory: its code and the guest's, stacks, a descriptor table. As
/// measured it is 10 to 20 MiB.
const LEAST_OF_HOST: u64 = 24 << 20;

/// More it does not take.
const MOST_OF_HOST: u64 = 256 << 20;

/// From here on a number means that there is no limit: the first version has no word for it.
const NO_LIMIT: u64 = 1 << 50;

/// The flags that keep the guest, and what the host holds for it, within the limit of the container.
pub(crate) fn flags() -> Vec<String> {
    let of_groups = FILES.iter().filter_map(|file| limit_in(&fs::read_to_string(file).ok()?));
    let Some(limit) = of_groups.chain(bundle::memory_limit()).min() else { return Vec::new() };
    let Shares { guest, host } = Shares::of(limit);
    vec![format!("--max-memory={guest}"), format!("--max-host-memory={host}")]
}

fn limit_in(text: &str) -> Option<u64> {
    // `max` is no number.
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

/// What each may have, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Shares {
    /// The guest's memories and tables.
    guest: u64,
    /// What the host holds for the guest: descriptors, buffers, threads.
    host: u64,
}

impl Shares {
    fn of(limit: u64) -> Self {
        // Of little memory the guest has half: with less than 24 MiB for the host it is the kernel's to choose.
        let reserve = (limit / 8).clamp(LEAST_OF_HOST, MOST_OF_HOST).min(limit / 2);
        Self { guest: limit - reserve, host: reserve / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_that_limits() {
        assert_eq!(limit_in("67108864\n"), Some(64 << 20));
        for none in ["max\n", "9223372036854771712\n", "", "x"] {
            assert_eq!(limit_in(none), None, "{none}");
        }
    }

    #[test]
    fn the_host_keeps_a_part() {
        const MIB: u64 = 1 << 20;
        assert_eq!(Shares::of(64 * MIB), Shares { guest: 40 * MIB, host: 12 * MIB });
        assert_eq!(Shares::of(1024 * MIB), Shares { guest: 896 * MIB, host: 64 * MIB });
        assert_eq!(Shares::of(8192 * MIB), Shares { guest: 7936 * MIB, host: 128 * MIB });
        assert_eq!(Shares::of(16 * MIB), Shares { guest: 8 * MIB, host: 4 * MIB });
        assert_eq!(Shares::of(0), Shares { guest: 0, host: 0 });
    }
}
