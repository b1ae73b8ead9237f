//! The status as a page: made here, so that it needs no script, and kept up by one where there may be one.
//!
//! It has nothing from elsewhere, and its policy lets nothing in. Text of guests is escaped twice: what acts
//! on a terminal by the host, what is markup here.

use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use super::shown::{Bytes, Html, Span};
use super::status::{Denial, Generation, Limit, Listener, Status, Worker};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A page, and what a browser may do with it.
pub(super) struct Page {
    pub(super) html: String,
    /// The value of `Content-Security-Policy`.
    pub(super) policy: String,
}

/// The page that shows `status`.
///
/// # Errors
///
/// None that is known.
pub(super) fn render(status: &Status) -> Result<Page, fmt::Error> {
    let nonce = nonce();
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut html = String::with_capacity(16 * 1024);
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>wasock: {module}</title>\n<style nonce=\"{nonce}\">\n{STYLE}</style>\n</head>\n<body>\n",
        module = Html(&status.module)
    )?;
    head(&mut html, status)?;
    html.push_str("<main>\n");
    tiles(&mut html, status)?;
    workers(&mut html, &status.generations)?;
    listeners(&mut html, &status.listeners)?;
    denials(&mut html, &status.denials)?;
    limits(&mut html, &status.limits)?;
    write!(html, "</main>\n<script nonce=\"{nonce}\">\n{SCRIPT}</script>\n</body>\n</html>\n")?;
    Ok(Page { html, policy })
}

/// A word for the style and the script of one answer, which no text in it can know.
fn nonce() -> String {
    // Each has keys of its own.
    let keys = [RandomState::new(), RandomState::new()];
    let [first, second] = keys.map(|keys| keys.hash_one(Instant::now()));
    format!("{first:016x}{second:016x}")
}

fn head(html: &mut String, status: &Status) -> fmt::Result {
    let (state, kind) = match (status.draining, status.ready) {
        (true, _) => ("draining", "bad"),
        (false, true) => ("ready", "good"),
        (false, false) => ("not ready", "bad"),
    };
    writeln!(
        html,
        "<header>\n<h1>wasock</h1>\n<code>{module}</code>\n<span id=\"state\" class=\"state {kind}\">{state}</span>\n\
         <span class=\"dim\" id=\"uptime\">up {uptime}</span>\n<span class=\"dim\">process {pid}, version {version}</span>\n\
         <span id=\"news\" class=\"bad\" role=\"status\"></span>\n</header>",
        module = Html(&status.module),
        uptime = Span(status.uptime_seconds),
        pid = status.pid,
        version = Html(&status.version),
    )
}

fn tiles(html: &mut String, status: &Status) -> fmt::Result {
    let totals = &status.totals;
    let moved = totals.received_bytes.saturating_add(totals.sent_bytes);
    html.push_str("<section aria-label=\"Traffic\" class=\"tiles\">\n");
    for (id, title, value) in [
        ("connections", "open connections", status.open_connections.to_string()),
        ("accepted", "accepted", format!("{} in all", totals.accepted)),
        ("bytes", "received and sent", format!("{} in all", Bytes(moved))),
    ] {
        writeln!(
            html,
            "<div class=\"tile\"><span class=\"dim\">{title}</span><b id=\"{id}\">{value}</b>\
             <svg id=\"plot-{id}\" viewBox=\"0 0 100 30\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{title}, the last minute\"></svg></div>"
        )?;
    }
    html.push_str("</section>\n");
    Ok(())
}

/// Begins a table: its headings, those of numbers with a `#` before them.
fn table(html: &mut String, id: &str, title: &str, headings: &[&str]) -> fmt::Result {
    write!(
        html,
        "<section>\n<h2 id=\"title-{id}\">{title}</h2>\n<table aria-labelledby=\"title-{id}\">\n<thead><tr>"
    )?;
    for heading in headings {
        match heading.strip_prefix('#') {
            Some(heading) => write!(html, "<th scope=\"col\" class=\"n\">{heading}</th>")?,
            None => write!(html, "<th scope=\"col\">{heading}</th>")?,
        }
    }
    writeln!(html, "</tr></thead>\n<tbody id=\"{id}\">")
}

fn end_of_table(html: &mut String, is_empty: bool, none: &str) -> fmt::Result {
    if is_empty {
        writeln!(html, "<tr><td colspan=\"9\">{none}</td></tr>")?;
    }
    writeln!(html, "</tbody>\n</table>\n</section>")
}

fn workers(html: &mut String, generations: &[Generation]) -> fmt::Result {
    let headings = [
        "#Generation",
        "State",
        "#Worker",
        "State",
        "#Restarts",
        "#Age",
        "#Connections",
        "#Memory",
        "#Processor time",
    ];
    table(html, "workers", "Generations and workers", &headings)?;
    for generation in generations {
        if generation.workers.is_empty() {
            row_of_generation(html, generation)?;
        }
        for worker in &generation.workers {
            row_of_worker(html, generation, worker)?;
        }
    }
    end_of_table(html, generations.is_empty(), "none runs")
}

/// One whose instances have one connection each.
fn row_of_generation(html: &mut String, generation: &Generation) -> fmt::Result {
    let left = generation.left_seconds.map_or_else(String::new, |left| format!(", {} left", Span(left)));
    writeln!(
        html,
        "<tr><td class=\"n\">{}</td><td>{}{left}</td><td class=\"n\">–</td><td>{} instances</td><td class=\"n\">–</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">–</td></tr>",
        generation.number,
        generation.state,
        generation.instances,
        Span(generation.age_seconds),
        generation.open_connections,
        Bytes(generation.memory_bytes)
    )
}

fn row_of_worker(html: &mut String, generation: &Generation, worker: &Worker) -> fmt::Result {
    let left = generation.left_seconds.map_or_else(String::new, |left| format!(", {} left", Span(left)));
    write!(
        html,
        "<tr><td class=\"n\">{}</td><td>{}{left}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td>",
        generation.number, generation.state, worker.number, worker.state, worker.restarts
    )?;
    let cells = match &worker.instance {
        Some(it) => [
            Span(it.age_seconds).to_string(),
            it.open_connections.to_string(),
            Bytes(it.memory_bytes).to_string(),
            format!("{:.2} s", it.cpu_seconds),
        ],
        None => [const { "–" }; 4].map(str::to_owned),
    };
    for cell in cells {
        write!(html, "<td class=\"n\">{cell}</td>")?;
    }
    writeln!(html, "</tr>")
}

fn listeners(html: &mut String, listeners: &[Listener]) -> fmt::Result {
    table(
        html,
        "listeners",
        "Listeners",
        &["Address", "Queue", "#Accepted", "#Refused", "Taken by generation"],
    )?;
    for listener in listeners {
        write!(html, "<tr><td><code>{}</code></td><td class=\"queue\">", Html(&listener.address))?;
        match listener.queue_length.zip(listener.queue_capacity) {
            Some((length, capacity)) => {
                let part = 100.0 * f64::from(length.min(capacity)) / f64::from(capacity.max(1));
                write!(
                    html,
                    "<svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
                     <rect class=\"rest\" width=\"100\" height=\"8\"/><rect class=\"fill\" width=\"{part:.1}\" height=\"8\"/></svg>\
                     {length} of {capacity}"
                )?;
            }
            None => html.push_str("unknown"),
        }
        let takers: Vec<_> = listener.generations.iter().map(u32::to_string).collect();
        let takers = if takers.is_empty() { "none".to_owned() } else { takers.join(", ") };
        writeln!(
            html,
            "</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{takers}</td></tr>",
            listener.accepted, listener.refused
        )?;
    }
    end_of_table(html, listeners.is_empty(), "no listener")
}

fn denials(html: &mut String, denials: &[Denial]) -> fmt::Result {
    table(
        html,
        "denials",
        "Denied, the newest first",
        &["Call", "Of", "Why", "What would allow it", "#Times"],
    )?;
    for denial in denials.iter().rev() {
        writeln!(
            html,
            "<tr><td><code>{}</code></td><td><code>{}</code></td><td>{}</td><td><code>{}</code></td><td class=\"n\">{}</td></tr>",
            Html(&denial.call),
            Html(&denial.what),
            Html(&denial.rule),
            Html(denial.flag.as_deref().unwrap_or("none")),
            denial.count
        )?;
    }
    end_of_table(html, denials.is_empty(), "nothing was denied")
}

fn limits(html: &mut String, limits: &[Limit]) -> fmt::Result {
    table(html, "limits", "Limits", &["Limit", "#In use", "#Allowed", "#Reached", "Changeable"])?;
    for limit in limits {
        writeln!(
            html,
            "<tr><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            Html(&limit.name),
            limit.in_use().unwrap_or_else(|| "–".to_owned()),
            Html(&limit.allowed()),
            limit.reached,
            if limit.changeable { "yes" } else { "no" }
        )?;
    }
    end_of_table(html, limits.is_empty(), "none")
}
