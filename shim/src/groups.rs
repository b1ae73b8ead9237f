//! The control groups of a container: who is in them, and what the kernel counts there.

use std::fs;
use std::path::{Path, PathBuf};

use containerd_shim_protos::cgroups::metrics::Metrics;

/// Where they are: of the second version, and in folders of controllers those of the first.
const GROUPS: &str = "/sys/fs/cgroup";

/// From here on a number of bytes means that there is no limit.
const NO_LIMIT: u64 = 1 << 50;

/// How many nanoseconds there are in the units of the second version's times, and in those of the first one's
/// `cpuacct.stat`: `USER_HZ`, which is 100 on each machine that Linux runs on today.
const IN_MICROSECOND: u64 = 1_000;
const IN_TICK: u64 = 10_000_000;

/// Those of one container. Without any it has no file, and nobody is in them.
pub(crate) struct Groups {
    /// What `/proc/PID/cgroup` has.
    table: String,
    id: String,
}

impl Groups {
    /// Those that the process `pid` of the container `id` is in.
    pub(crate) fn of(pid: u32, id: &str) -> Self {
        let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        Self { table, id: id.to_owned() }
    }

    /// The group of a controller of the first version, or with an empty name that of the second version.
    fn group(&self, controller: &str) -> Option<PathBuf> {
        let mut lines = self.table.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        let (_, path) = lines.find(|(controllers, _)| controllers.split(',').any(|it| it == controller))?;
        // A container without a group of its own is in that of others.
        let is_own = path.ends_with(&self.id) && !self.id.is_empty() && !path.contains("..");
        is_own.then(|| Path::new(GROUPS).join(controller).join(path.trim_start_matches('/')))
    }

    fn number(group: &Path, file: &str) -> Option<u64> {
        fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
    }

    /// Who is in them.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let group = self.group("pids").or_else(|| self.group("memory")).or_else(|| self.group(""));
        let list = group.and_then(|group| fs::read_to_string(group.join("cgroup.procs")).ok());
        list.unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Adds the limit of memory, and the processor time, to what the container's crate has found: it has no limit, no time
    /// of the first version, and those of the second one in microseconds, where nanoseconds are expected.
    pub(crate) fn complete(&self, metrics: &mut Metrics) {
        let limit = self
            .group("memory")
            .and_then(|group| Self::number(&group, "memory.limit_in_bytes"))
            .or_else(|| Self::number(&self.group("")?, "memory.max"));
        if let Some(limit) = limit.filter(|limit| *limit < NO_LIMIT) {
            metrics.memory.mut_or_insert_default().usage.mut_or_insert_default().limit = limit;
        }
        let cpu = metrics.cpu.mut_or_insert_default();
        if let Some(group) = self.group("cpuacct") {
            let usage = cpu.usage.mut_or_insert_default();
            usage.total = Self::number(&group, "cpuacct.usage").unwrap_or_default();
            let text = fs::read_to_string(group.join("cpuacct.stat")).unwrap_or_default();
            usage.user = named(&text, "user").saturating_mul(IN_TICK);
            usage.kernel = named(&text, "system").saturating_mul(IN_TICK);
        } else {
            let times =
                cpu.usage.as_mut().map(|usage| [&mut usage.total, &mut usage.user, &mut usage.kernel]);
            for time in times.into_iter().flatten() {
                *time = time.saturating_mul(IN_MICROSECOND);
            }
            if let Some(throttling) = cpu.throttling.as_mut() {
                throttling.throttled_time = throttling.throttled_time.saturating_mul(IN_MICROSECOND);
            }
        }
    }
}

/// The number that a line of `text` has after `name`.
fn named(text: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(found, _)| *found == name).and_then(|(_, number)| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(table: &str) -> Groups {
        Groups { table: table.to_owned(), id: "web".to_owned() }
    }

    #[test]
    fn a_group_is_the_containers_own() {
        let first = groups("4:memory:/default/web\n2:cpu,cpuacct:/default/web\n1:name=systemd:/\n0::/\n");
        assert_eq!(first.group("memory"), Some("/sys/fs/cgroup/memory/default/web".into()));
        assert_eq!(first.group("cpuacct"), Some("/sys/fs/cgroup/cpuacct/default/web".into()));
        assert_eq!(first.group("pids"), None);
        assert_eq!(first.group(""), None);
        let second = groups("0::/system.slice/docker-web");
        assert_eq!(second.group(""), Some("/sys/fs/cgroup/system.slice/docker-web".into()));
        for none in ["", "0::/", "0::/other", "0::/../web", "web"] {
            assert_eq!(groups(none).group(""), None, "{none}");
        }
        assert!(groups("4:memory:/\n0::/").processes().is_empty());
    }

    #[test]
    fn times_of_the_second_version_are_microseconds() {
        let mut metrics = Metrics::default();
        metrics.cpu.mut_or_insert_default().usage.mut_or_insert_default().total = 7;
        groups("0::/no/such/web").complete(&mut metrics);
        assert_eq!(metrics.cpu.usage.total, 7_000);
        assert_eq!(metrics.memory.usage.limit, 0);
    }

    #[test]
    fn a_line_has_a_name_and_a_number() {
        assert_eq!(named("user 3\nsystem 4\n", "system"), 4);
        assert_eq!(named("user x\n", "user"), 0);
        assert_eq!(named("", "user"), 0);
    }
}
