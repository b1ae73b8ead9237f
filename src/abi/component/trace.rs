//! The call trace of components: a line for each call, as for modules, by WIT's names.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::View;
use crate::observe::{TraceLine, TraceSink, contained};
use crate::process::TraceAnnotation;

/// An error, as the trace names it.
pub(super) trait Named {
    /// WIT's name.
    fn name(&self) -> &'static str;
}

/// A call that has begun. Its line is printed when it ends, with the outcome `?` if it never does.
pub(super) struct Line {
    sink: Arc<TraceSink>,
    name: &'static str,
    arguments: String,
    outcome: &'static str,
    results: String,
    started: Instant,
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = TraceLine {
            pid: None,
            name: self.name,
            arguments: &self.arguments,
            outcome: self.outcome,
            results: &self.results,
            duration: self.started.elapsed(),
        };
        contained("trace sink", || (self.sink)(&line));
    }
}

impl View<'_> {
    /// Makes a call. `arguments` writes what it was given, as `name=value` separated by `, `.
    #[inline]
    pub(super) fn traced<T, E: Named>(
        &mut self,
        name: &'static str,
        arguments: impl FnOnce(&Self) -> String,
        call: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let line = self.begin(name, arguments);
        let outcome = call(self);
        self.end(line, &outcome);
        outcome
    }

    /// Begins the line of a call, which may wait. [`end`](Self::end) is to follow.
    #[inline]
    pub(super) fn begin(
        &mut self,
        name: &'static str,
        arguments: impl FnOnce(&Self) -> String,
    ) -> Option<Box<Line>> {
        if self.trace.is_none() { None } else { self.line(name, arguments) }
    }

    #[cold]
    fn line(&mut self, name: &'static str, arguments: impl FnOnce(&Self) -> String) -> Option<Box<Line>> {
        let sink = Arc::clone(self.trace?);
        crate::account::forget_denials();
        self.results.clear();
        let arguments = arguments(self);
        let (outcome, results) = ("?", String::new());
        Some(Box::new(Line { sink, name, arguments, outcome, results, started: Instant::now() }))
    }

    /// Ends the line of a call.
    #[inline]
    pub(super) fn end<T, E: Named>(&mut self, line: Option<Box<Line>>, outcome: &Result<T, E>) {
        let Some(mut line) = line else { return };
        line.outcome = match outcome {
            Ok(_) => "ok",
            Err(error) => error.name(),
        };
        if let Some(annotation) = self.thread.process().take_denial() {
            self.annotate(annotation);
        }
        line.results = std::mem::take(&mut self.results);
    }

    /// Notes a result for the trace.
    pub(super) fn note(&mut self, name: &str, value: impl std::fmt::Display) {
        if self.trace.is_none() {
            return;
        }
        if !self.results.is_empty() {
            self.results.push(' ');
        }
        _ = write!(self.results, "{name}={value}");
    }

    /// Notes what the guest does not see.
    pub(super) fn annotate(&mut self, annotation: TraceAnnotation) {
        self.note(annotation.name, annotation.value);
    }
}
