//! What the host says in its log (`docs/log.md`) about the connections that it has ended.

use serde_json::Value;
use std::time::{Duration, SystemTime};

/// A line of the log that the accounts need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) at: SystemTime,
    pub(super) event: Event,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// This generation serves.
    Reloaded { generation: u64 },
    /// An instance has ended with so many connections, and another one takes its place.
    InstanceRestarted { connections: u64 },
    /// So many connections of a generation that drained were ended.
    DrainTimeout { generation: u64, connections: u64, cause: String },
    /// So many clients that waited were reset.
    WaitingReset { connections: u64 },
    /// Messages were dropped: the accounts are not whole.
    Missed,
}

/// The lines of a log that the accounts need. Others, what the guest writes, and a last one that was
/// not finished are left out.
pub(super) fn read(log: &str) -> Vec<Line> {
    log.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let value: Value = serde_json::from_str(text).ok()?;
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let event = match value.get("event")?.as_str()? {
        "reloaded" => Event::Reloaded { generation: number("generation")? },
        "instance_restarted" => Event::InstanceRestarted { connections: number("connections")? },
        "drain_timeout" => Event::DrainTimeout {
            generation: number("generation")?,
            connections: number("connections")?,
            cause: value.get("cause")?.as_str()?.to_owned(),
        },
        "waiting_reset" => Event::WaitingReset { connections: number("connections")? },
        "missed" => Event::Missed,
        "message" if value.get("message")?.as_str()?.contains("messages were dropped") => Event::Missed,
        _ => return None,
    };
    Some(Line { at: time(value.get("time")?.as_str()?)?, event })
}

/// The moment of `2026-11-29T21:00:00.123456Z`.
fn time(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    let micros: u32 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let days = u64::try_from(days_since_1970(year, month, day)).ok()?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, micros * 1_000))
}

/// In the Gregorian calendar, by years that begin in March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_month = (153 * month + 2) / 5;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + days_before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_moment_it_names() {
        let at = |seconds, micros| {
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros))
        };
        assert_eq!(time("1970-01-01T00:00:00Z"), at(0, 0));
        assert_eq!(time("2000-02-29T12:00:00.5Z"), at(951_825_600, 500_000));
        assert_eq!(time("2026-11-29T21:00:00.123456Z"), at(1_795_986_000, 123_456));
        assert_eq!(time("2026-11-29"), None);
    }

    #[test]
    fn lines_that_count_are_read_and_others_left_out() {
        let log = "the guest says {\"event\":\"reloaded\"}\n\
            {\"time\":\"1970-01-01T00:00:01.000000Z\",\"level\":\"notice\",\"event\":\"listening\",\"fd\":3}\n\
            {\"time\":\"1970-01-01T00:00:02.000000Z\",\"level\":\"warn\",\"event\":\"drain_timeout\",\
            \"generation\":1,\"connections\":4,\"cause\":\"drain-timeout\"}\n\
            {\"time\":\"1970-01-01T00:00:03.0000";
        let event = Event::DrainTimeout { generation: 1, connections: 4, cause: "drain-timeout".to_owned() };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(2);
        assert_eq!(read(log), [Line { at, event }]);
    }
}
