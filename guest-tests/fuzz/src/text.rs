//! A guest as a module of its own: its calls in a straight line.

use std::fmt::Write as _;

use crate::case::Case;
use crate::layout::{PeerPorts, start};
use crate::module::{import, memory};
use crate::op::{Op, functions};

/// The module, with `fault` and what the guest needs as a comment.
pub(crate) fn wat(case: &Case, fault: &str) -> String {
    let mut text = String::new();
    let ops = || case.lists.iter().flatten();
    for line in fault.lines() {
        _ = writeln!(text, ";; {line}");
    }
    _ = writeln!(text, ";; {} ({:?}, run by {:?})", case.command(), case.dialect, case.way);
    _ = writeln!(text, ";; {:?}", case.terms);
    text += "(module\n";
    for (index, function) in functions().enumerate() {
        if ops().any(|op| usize::from(op.number) == index) {
            _ = writeln!(text, "  {}", import(function));
        }
    }
    let (memory, data) = memory(case.dialect.has_threads(), &start(PeerPorts::default()));
    text += &memory;
    text += &data;
    for (index, list) in case.lists.iter().enumerate().skip(1) {
        _ = writeln!(text, "  (func $list{}\n{})", index - 1, lines(list));
    }
    let first = case.lists.first().map_or_else(String::new, |list| lines(list));
    _ = writeln!(
        text,
        "  (func (export \"_start\") (local $rounds i32)\n    (call $fill)\n    (loop $again\n{first}\n      \
         (local.set $rounds (i32.add (local.get $rounds) (i32.const 1)))\n      \
         (br_if $again (i32.lt_u (local.get $rounds) (i32.const {})))))",
        case.rounds
    );
    text += &entries(case);
    text + ")\n"
}

fn lines(list: &[Op]) -> String {
    list.iter().map(|op| format!("    {}\n", op.to_wat())).collect()
}

/// Where threads begin and signals arrive, as far as there is anything to do.
fn entries(case: &Case) -> String {
    let mut text = String::new();
    let (mut threads, mut is_needed) = (String::new(), false);
    for (index, list) in case.lists.iter().skip(1).enumerate() {
        is_needed |= !list.is_empty();
        _ = write!(
            threads,
            "(if (i32.eq (i32.and (local.get $list) (i32.const 3)) (i32.const {index})) (then (call $list{index})))"
        );
    }
    if case.dialect.has_threads() {
        _ = writeln!(text, "  (func $thread (param $list i32) {threads})");
        text += "  (func (export \"wasi_thread_start\") (param i32) (param $list i32) (call $thread (local.get $list)))\n";
        text += "  (func (export \"_start_thread\") (param $list i32) (param i32) (call $thread (local.get $list)))\n";
    }
    if is_needed {
        text += "  (func (export \"__wasm_signal\") (param i32) (call $list3))\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Engine, Module};

    #[test]
    fn every_guest_can_be_written_as_a_module() -> wasmtime::Result<()> {
        let engine = Engine::new(&wasock::Guest::engine_config())?;
        for index in 0..20 {
            Module::new(&engine, wat(&Case::new(3, index), "none"))?;
        }
        Ok(())
    }
}
