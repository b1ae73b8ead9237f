//! How a service stands, in tables to read.

use crate::admin::{Bytes, Limit, Span, Status};
use crate::report::Lines;

/// Adds how the service stands.
pub(super) fn status(lines: &mut Lines, status: &Status) {
    let state = match (status.draining, status.ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    lines.line(format_args!("{}: {state}, up {}", status.module, Span(status.uptime_seconds)));
    lines.line(format_args!("wasock {}, process {}; wall: {}", status.version, status.pid, status.wall));
    let totals = &status.totals;
    lines.line(format_args!(
        "connections: {} open, {} accepted, {} refused; {} in, {} out",
        status.open_connections,
        totals.accepted,
        totals.refused,
        Bytes(totals.received_bytes),
        Bytes(totals.sent_bytes)
    ));
    lines.line(format_args!(
        "restarts: {}; reloads: {} done, {} failed, {} refused; denied calls: {}",
        totals.restarts,
        totals.reloads_done,
        totals.reloads_failed,
        totals.reloads_refused,
        totals.denied_calls
    ));
    workers(lines, status);
    listeners(lines, status);
    if !status.denials.is_empty() {
        let rows = status.denials.iter().rev().map(|it| {
            let flag = it.flag.clone().unwrap_or_else(|| "nothing".to_owned());
            [it.call.clone(), it.what.clone(), it.count.to_string(), flag]
        });
        table(lines, ["DENIED", "OF", "TIMES", "ALLOWED BY"], rows.collect());
    }
    limits(lines, &status.limits);
}

fn workers(lines: &mut Lines, status: &Status) {
    let mut rows = Vec::new();
    for generation in &status.generations {
        let left = generation.left_seconds.map(|left| format!(", {} left", Span(left))).unwrap_or_default();
        if generation.workers.is_empty() {
            rows.push([
                generation.number.to_string(),
                format!("{}{left}", generation.state),
                "-".to_owned(),
                format!("{} instances", generation.instances),
                "-".to_owned(),
                Span(generation.age_seconds).to_string(),
                generation.open_connections.to_string(),
                Bytes(generation.memory_bytes).to_string(),
                "-".to_owned(),
            ]);
        }
        for worker in &generation.workers {
            let [age, connections, memory, cpu] = match &worker.instance {
                Some(it) => [
                    Span(it.age_seconds).to_string(),
                    it.open_connections.to_string(),
                    Bytes(it.memory_bytes).to_string(),
                    format!("{:.2} s", it.cpu_seconds),
                ],
                None => [const { "-" }; 4].map(str::to_owned),
            };
            rows.push([
                generation.number.to_string(),
                format!("{}{left}", generation.state),
                worker.number.to_string(),
                worker.state.clone(),
                worker.restarts.to_string(),
                age,
                connections,
                memory,
                cpu,
            ]);
        }
    }
    let headings =
        ["GENERATION", "STATE", "WORKER", "STATE", "RESTARTS", "AGE", "CONNECTIONS", "MEMORY", "CPU TIME"];
    table(lines, headings, rows);
}

fn listeners(lines: &mut Lines, status: &Status) {
    let rows = status.listeners.iter().map(|it| {
        let queue = match it.queue_length.zip(it.queue_capacity) {
            Some((length, capacity)) => format!("{length} of {capacity}"),
            None => "unknown".to_owned(),
        };
        let takers: Vec<_> = it.generations.iter().map(u32::to_string).collect();
        [it.address.clone(), queue, it.accepted.to_string(), it.refused.to_string(), takers.join(", ")]
    });
    table(lines, ["LISTENER", "QUEUE", "ACCEPTED", "REFUSED", "GENERATIONS"], rows.collect());
}

/// Adds the limits.
pub(super) fn limits(lines: &mut Lines, limits: &[Limit]) {
    let rows = limits.iter().map(|it| {
        let changeable = if it.changeable { "yes" } else { "no" };
        let used = it.in_use().unwrap_or_else(|| "-".to_owned());
        [it.name.clone(), used, it.allowed(), it.reached.to_string(), changeable.to_owned()]
    });
    table(lines, ["LIMIT", "IN USE", "ALLOWED", "REACHED", "CHANGEABLE"], rows.collect());
}

/// Adds a table after an empty line, its columns two spaces apart.
fn table<const N: usize>(lines: &mut Lines, headings: [&str; N], rows: Vec<[String; N]>) {
    let rows: Vec<[String; N]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    lines.line("");
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        lines.line(line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let mut lines = Lines::default();
        let rows = vec![["ümlaut".to_owned(), "1".to_owned()], ["a".to_owned(), "2\n2".to_owned()]];
        table(&mut lines, ["NAME", "N"], rows);
        assert_eq!(lines.to_string(), "\nNAME    N\nümlaut  1\na       2\\n2\n");
    }
}
