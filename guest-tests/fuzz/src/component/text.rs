//! The component: an interpreter that makes the calls which it finds in its memory, as [`crate::module`] is for
//! modules. One serves all seeds.
//!
//! It keeps its handles in words of its memory. A new one takes the place of the one that was there, which is dropped
//! as a program's variable would be, unless the guest is one that leaks such handles. An operation of which a handle is not there
//! is passed over, so that one call that fails does not end the guest; but the operation may be marked as wild, and
//! then it is made with whatever there is.

use std::fmt::Write as _;

use super::layout::{
    ADDRESS_SIZE, ADDRESSES, DATAGRAM_ADDRESS, DATAGRAM_COUNT, DATAGRAM_SIZE, DATAGRAMS, END, HANDLES,
    HANDLES_A_KIND, HEADER, HEAP, LIST, MAX_PAGES, OP_SIZE, OWN_RETURNED, PAGES, PERMITS, POLL_COUNT,
    POLL_LIST, POLL_LIST_SIZE, REPORT, REPORT_BEGINS, address, word,
};
use super::table::{CALLS, Call, Failure, Kind, OPERATIONS, OWN, Own, Value, Word, find};
use crate::module::string;

/// The version that it imports everything in.
const VERSION: &str = "0.2.6";

/// How many answers are reported at once.
const REPORTED: u64 = 64;

/// A word that no handle has, for what may be written by one that is not in a word.
const NO_PERMIT: u64 = 0x900;

/// The types that the functions of an interface have, by the names that [`Call`] calls them.
fn types(interface: &str) -> String {
    let same = |names: &[&str]| -> String {
        names.iter().map(|name| format!("(export \"{name}\" (type ${name} (eq $o-{name})))\n")).collect()
    };
    let own = |name: &str, text: &str| {
        format!("(type ${name}-is {text}) (export \"{name}\" (type ${name} (eq ${name}-is)))\n")
    };
    let resource = |name: &str| format!("(export \"{name}\" (type ${name} (sub resource)))\n");
    match interface {
        "io/error" => resource("error"),
        "io/poll" => resource("pollable"),
        "io/streams" => {
            same(&["error", "pollable"])
                + &resource("input-stream")
                + &resource("output-stream")
                + &own(
                    "stream-error",
                    "(variant (case \"last-operation-failed\" (own $error)) (case \"closed\"))",
                )
        }
        "clocks/monotonic-clock" => same(&["pollable"]),
        "cli/stdin" => same(&["input-stream"]),
        "cli/stdout" | "cli/stderr" => same(&["output-stream"]),
        "sockets/network" => {
            let codes = [
                "unknown",
                "access-denied",
                "not-supported",
                "invalid-argument",
                "out-of-memory",
                "timeout",
                "concurrency-conflict",
                "not-in-progress",
                "would-block",
                "invalid-state",
                "new-socket-limit",
                "address-not-bindable",
                "address-in-use",
                "remote-unreachable",
                "connection-refused",
                "connection-reset",
                "connection-aborted",
                "datagram-too-large",
                "name-unresolvable",
                "temporary-resolver-failure",
                "permanent-resolver-failure",
            ];
            let codes: String = codes.iter().map(|code| format!(" \"{code}\"")).collect();
            same(&["error"])
                + &resource("network")
                + &own("error-code", &format!("(enum{codes})"))
                + &own("ip-address-family", "(enum \"ipv4\" \"ipv6\")")
                + &own("ipv4-address", "(tuple u8 u8 u8 u8)")
                + &own("ipv6-address", "(tuple u16 u16 u16 u16 u16 u16 u16 u16)")
                + &own("ip-address", "(variant (case \"ipv4\" $ipv4-address) (case \"ipv6\" $ipv6-address))")
                + &own(
                    "ipv4-socket-address",
                    "(record (field \"port\" u16) (field \"address\" $ipv4-address))",
                )
                + &own(
                    "ipv6-socket-address",
                    "(record (field \"port\" u16) (field \"flow-info\" u32) (field \"address\" $ipv6-address) \
                     (field \"scope-id\" u32))",
                )
                + &own(
                    "ip-socket-address",
                    "(variant (case \"ipv4\" $ipv4-socket-address) (case \"ipv6\" $ipv6-socket-address))",
                )
        }
        "sockets/instance-network" => same(&["network"]),
        "sockets/ip-name-lookup" => {
            same(&["pollable", "network", "error-code", "ip-address"]) + &resource("resolve-address-stream")
        }
        "sockets/tcp" => {
            same(&[
                "input-stream",
                "output-stream",
                "pollable",
                "network",
                "error-code",
                "ip-socket-address",
                "ip-address-family",
            ]) + &own("shutdown-type", "(enum \"receive\" \"send\" \"both\")")
                + &resource("tcp-socket")
        }
        "sockets/tcp-create-socket" => same(&["error-code", "ip-address-family", "tcp-socket"]),
        "sockets/udp" => {
            same(&["pollable", "network", "error-code", "ip-socket-address", "ip-address-family"])
                + &own(
                    "incoming-datagram",
                    "(record (field \"data\" (list u8)) (field \"remote-address\" $ip-socket-address))",
                )
                + &own(
                    "outgoing-datagram",
                    "(record (field \"data\" (list u8)) (field \"remote-address\" (option $ip-socket-address)))",
                )
                + &resource("udp-socket")
                + &resource("incoming-datagram-stream")
                + &resource("outgoing-datagram-stream")
        }
        "sockets/udp-create-socket" => same(&["error-code", "ip-address-family", "udp-socket"]),
        _ => String::new(),
    }
}

/// What later interfaces use of an interface.
fn used(interface: &str) -> &'static [&'static str] {
    match interface {
        "io/error" => &["error"],
        "io/poll" => &["pollable"],
        "io/streams" => &["input-stream", "output-stream"],
        "sockets/network" => {
            &["network", "error-code", "ip-address-family", "ip-address", "ip-socket-address"]
        }
        "sockets/ip-name-lookup" => &["resolve-address-stream"],
        "sockets/tcp" => &["tcp-socket"],
        "sockets/udp" => &["udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"],
        _ => &[],
    }
}

fn identifier(interface: &str) -> String {
    interface.replace('/', "-")
}

fn import(interface: &str, functions: &str) -> String {
    let id = identifier(interface);
    let types = types(interface);
    let mut text = format!("(import \"wasi:{interface}@{VERSION}\" (instance ${id}\n{types}{functions}))\n");
    for name in used(interface) {
        _ = writeln!(text, "(alias export ${id} \"{name}\" (type $o-{name}))");
    }
    text
}

/// What the component imports.
fn imports() -> String {
    let mut text = String::new();
    for calls in CALLS.chunk_by(|one, next| one.interface == next.interface) {
        let mut functions = String::new();
        for call in calls {
            let params: String = call
                .params
                .iter()
                .map(|(name, param)| format!("(param \"{name}\" {}) ", param.text()))
                .collect();
            let result = call.result_text();
            _ = writeln!(functions, "(export \"{}\" (func {params}{result}))", call.name);
        }
        text += &import(calls[0].interface, &functions);
    }
    for (interface, function, stream) in [
        ("cli/stdin", "get-stdin", "input-stream"),
        ("cli/stdout", "get-stdout", "output-stream"),
        ("cli/stderr", "get-stderr", "output-stream"),
    ] {
        text += &import(interface, &format!("(export \"{function}\" (func (result (own ${stream}))))"));
    }
    text
}

/// The memory, and what the host returns lists in. Each operation begins with all of it.
fn libc(contents: &[(u64, Vec<u8>)]) -> String {
    let mut data = String::new();
    for (at, bytes) in contents {
        _ = writeln!(data, "(data (i32.const {at:#x}) \"{}\")", string(bytes));
    }
    let size = END - HEAP;
    format!(
        r#"
(core module $Libc
  (memory (export "memory") {PAGES} {MAX_PAGES})
  {data}
  (global $next (mut i32) (i32.const {HEAP}))
  (global $misplaced (mut i32) (i32.const 0))
  (func (export "begin") (global.set $next (i32.const {HEAP})))
  (func (export "misplace") (param $at i32) (global.set $misplaced (local.get $at)))
  (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (if (global.get $misplaced) (then
      (local.set $at (global.get $misplaced))
      (global.set $misplaced (i32.const 0))
      (return (local.get $at))))
    (local.set $at (i32.and
      (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (if (i32.gt_u (local.get $size) (i32.sub (i32.const {END}) (local.get $at))) (then
      (local.set $at (i32.const {HEAP}))
      (if (i32.gt_u (local.get $size) (i32.const {size})) (then (unreachable)))))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (local.get $at)))
(core instance $libc (instantiate $Libc))
"#
    )
}

/// The functions of the host as core functions.
fn lowered() -> String {
    let options = "(memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\"))";
    let mut text = String::new();
    for (index, call) in CALLS.iter().enumerate() {
        let (id, name) = (identifier(call.interface), call.name);
        _ = writeln!(text, "(core func $f{index} (canon lower (func ${id} \"{name}\") {options}))");
    }
    for kind in Kind::ALL {
        let name = kind.name();
        _ = writeln!(text, "(core func $drop-{name} (canon resource.drop $o-{name}))");
    }
    for stream in ["stdin", "stdout", "stderr"] {
        _ = writeln!(text, "(core func $get-{stream} (canon lower (func $cli-{stream} \"get-{stream}\")))");
    }
    text
}

/// What of these the interpreter is instantiated with.
fn with() -> String {
    let mut text = String::new();
    let names = (0..CALLS.len()).map(|index| format!("f{index}"));
    let drops = Kind::ALL.iter().map(|kind| format!("drop-{}", kind.name()));
    let streams = ["stdin", "stdout", "stderr"].map(|stream| format!("get-{stream}"));
    for name in names.chain(drops).chain(streams) {
        _ = writeln!(text, "(export \"{name}\" (func ${name}))");
    }
    text
}

/// The declarations of the same in the interpreter.
fn core_imports() -> String {
    let mut text = String::new();
    for (index, call) in CALLS.iter().enumerate() {
        let params: String = call.words().map(|word| format!(" {}", word.name())).collect();
        let pointer = if call.has_pointer() { " i32" } else { "" };
        let result = call.returned().map_or(String::new(), |word| format!(" (result {})", word.name()));
        _ = writeln!(text, "(import \"h\" \"f{index}\" (func $f{index} (param{params}{pointer}){result}))");
    }
    for kind in Kind::ALL {
        let name = kind.name();
        _ = writeln!(text, "(import \"h\" \"drop-{name}\" (func $drop-{name} (param i32)))");
    }
    for stream in ["stdin", "stdout", "stderr"] {
        _ = writeln!(text, "(import \"h\" \"get-{stream}\" (func $get-{stream} (result i32)))");
    }
    text
}

/// The component, with `contents` in its memory at the start.
pub(super) fn component(contents: &[(u64, Vec<u8>)]) -> String {
    format!(
        "(component\n{}{}{}(core module $Main\n{}{}{}{})\n(core instance $main (instantiate $Main \
         (with \"libc\" (instance $libc)) (with \"h\" (instance\n{}))))\n\
         (func $run (result (result)) (canon lift (core func $main \"run\")))\n\
         (instance $command (export \"run\" (func $run)))\n\
         (export \"wasi:cli/run@{VERSION}\" (instance $command)))\n",
        imports(),
        libc(contents),
        lowered(),
        core_imports(),
        shared_functions(),
        operations(),
        running(),
        with(),
    )
}

/// What operations have in common.
fn shared_functions() -> String {
    let mut drops = String::new();
    for kind in Kind::ALL {
        _ = writeln!(
            drops,
            "(if (i32.eq (local.get $kind) (i32.const {})) (then (call $drop-{} (local.get $handle))))",
            kind as usize,
            kind.name()
        );
    }
    let learned = address::COUNT - address::FIRST_LEARNED;
    let halves: String = (0..8)
        .map(|at| {
            format!(
                "(i32.store offset={} (local.get $to) (i32.load16_u offset={} (local.get $from)))\n",
                12 + 4 * at,
                12 + 2 * at
            )
        })
        .collect();
    let bytes: String = (0..4)
        .map(|at| {
            format!(
                "(i32.store offset={} (local.get $to) (i32.load8_u offset={} (local.get $from)))\n",
                8 + 4 * at,
                6 + at
            )
        })
        .collect();
    let write = find("output-stream.blocking-write-and-flush").unwrap_or(0);
    let first_with_address = DATAGRAMS + DATAGRAM_COUNT / 2 * DATAGRAM_SIZE + DATAGRAM_ADDRESS;
    format!(
        r#"
(import "libc" "memory" (memory 1))
(import "libc" "begin" (func $begin))
(import "libc" "misplace" (func $misplace (param i32)))
(type $op (func (param i32)))
(table {OPERATIONS} funcref)
(global $leaks (mut i32) (i32.const 0))
(global $stdout (mut i32) (i32.const 0))
(global $reported (mut i32) (i32.const 0))
(func $drop-of (param $kind i32) (param $handle i32)
{drops})
(func $put (param $kind i32) (param $index i32) (param $handle i32) (local $word i32) (local $old i32)
  (local.set $word (i32.add (i32.const {HANDLES}) (i32.shl (i32.add
    (i32.mul (local.get $kind) (i32.const {HANDLES_A_KIND}))
    (i32.rem_u (local.get $index) (i32.const {HANDLES_A_KIND}))) (i32.const 2))))
  (local.set $old (i32.load (local.get $word)))
  (i32.store (local.get $word) (local.get $handle))
  (i32.store offset={PERMITS} (local.get $word) (i32.const 0))
  (if (i32.and (i32.ne (local.get $old) (i32.const 0))
      (i32.eqz (i32.and (i32.shr_u (global.get $leaks) (local.get $kind)) (i32.const 1))))
    (then (call $drop-of (local.get $kind) (local.get $old)))))
(func $learn (param $from i32) (param $index i32) (local $to i32)
  (local.set $index (i32.add (i32.const {first_learned})
    (i32.rem_u (local.get $index) (i32.const {learned}))))
  (local.set $to (i32.add (i32.const {ADDRESSES}) (i32.mul (local.get $index) (i32.const {ADDRESS_SIZE}))))
  (memory.copy
    (i32.add (i32.const {first_with_address}) (i32.mul (local.get $index) (i32.const {DATAGRAM_SIZE})))
    (local.get $from) (i32.const 32))
  (i32.store (local.get $to) (i32.load8_u (local.get $from)))
  (i32.store offset=4 (local.get $to) (i32.load16_u offset=4 (local.get $from)))
  (if (i32.eqz (i32.load8_u (local.get $from))) (then
    {bytes})
  (else
    (i32.store offset=8 (local.get $to) (i32.load offset=8 (local.get $from)))
    {halves}
    (i32.store offset=44 (local.get $to) (i32.load offset=28 (local.get $from))))))
(func $flush
  (if (global.get $reported) (then
    (call $f{write} (global.get $stdout) (i32.const {REPORT})
      (i32.add (i32.const {begins}) (i32.shl (global.get $reported) (i32.const 1))) (i32.const {OWN_RETURNED}))
    (global.set $reported (i32.const 0)))))
(func $answered (param $number i32) (param $answer i32) (local $at i32)
  (local.set $at (i32.add (i32.const {records}) (i32.shl (global.get $reported) (i32.const 1))))
  (i32.store8 (local.get $at) (local.get $number))
  (i32.store8 offset=1 (local.get $at) (local.get $answer))
  (global.set $reported (i32.add (global.get $reported) (i32.const 1)))
  (if (i32.ge_u (global.get $reported) (i32.const {REPORTED})) (then (call $flush))))
"#,
        first_learned = address::FIRST_LEARNED,
        begins = REPORT_BEGINS.len(),
        records = REPORT + REPORT_BEGINS.len() as u64,
    )
}

/// The argument at `index` of the operation at `$at`.
fn argument(index: usize, word: Word) -> String {
    let offset = 8 + index * 8;
    let (ty, load) = match word {
        Word::I32 => ("i32", "i32.load"),
        Word::I64 => ("i64", "i64.load32_u"),
    };
    format!(
        "(if (result {ty}) (i32.and (i32.load offset=4 (local.get $at)) (i32.const {})) \
         (then ({load} (i32.load offset={offset} (local.get $at)))) \
         (else ({ty}.load offset={offset} (local.get $at))))",
        1_u32 << index
    )
}

fn operations() -> String {
    let mut text = String::new();
    for (index, call) in CALLS.iter().enumerate() {
        text += &calling(index, call);
    }
    for (kind, index) in Kind::ALL.into_iter().zip(CALLS.len()..) {
        let handle = argument(0, Word::I32);
        _ = writeln!(
            text,
            "(func $op{index} (param $at i32) (local $handle i32) (local.set $handle {handle}) \
             (if (i32.eqz (i32.and (i32.load8_u offset=2 (local.get $at)) (i32.const 1))) (then \
             (if (i32.eqz (local.get $handle)) (then (return))) \
             (i32.store (i32.load offset=8 (local.get $at)) (i32.const 0)))) \
             (call $drop-{} (local.get $handle)) (call $answered (i32.const {index}) (i32.const 0)))",
            kind.name()
        );
    }
    for ((own, _, words), index) in OWN.into_iter().zip(CALLS.len() + Kind::ALL.len()..) {
        let args: String = words.iter().enumerate().map(|(at, word)| argument(at, *word)).collect();
        let body = match own {
            Own::Store => format!("(i32.store {args})"),
            Own::Copy => format!("(memory.copy {args})"),
            Own::Gather => format!("(call $gather {args})"),
            Own::Misplace => format!("(call $misplace {args})"),
            Own::Grow => format!("(drop (memory.grow {args}))"),
        };
        _ = writeln!(text, "(func $op{index} (param $at i32) {body})");
    }
    for index in 0..OPERATIONS {
        _ = writeln!(text, "(elem (i32.const {index}) $op{index})");
    }
    text
}

/// The operation that makes a call.
fn calling(index: usize, call: &Call) -> String {
    let mut text =
        format!("(func $op{index} (param $at i32) (local $wild i32) (local $answer i32) (local $out i32)\n");
    let mut words: Vec<Word> = call.words().collect();
    if call.has_pointer() {
        words.push(Word::I32);
    }
    for (at, word) in words.iter().enumerate() {
        _ = writeln!(text, "(local $p{at} {})", word.name());
    }
    text += "(local $permit i32) (local $value i32)\n\
             (local.set $wild (i32.and (i32.load8_u offset=2 (local.get $at)) (i32.const 1)))\n\
             (local.set $out (i32.load8_u offset=1 (local.get $at)))\n";
    for (at, word) in words.iter().enumerate() {
        _ = writeln!(text, "(local.set $p{at} {})", argument(at, *word));
    }
    text += &guards(call);
    let args: String = (0..words.len()).map(|at| format!(" (local.get $p{at})")).collect();
    let made = format!("(call $f{index}{args})");
    match (call.returned(), call.value) {
        (Some(_), Value::Handles([kind])) => {
            _ = writeln!(text, "(call $put (i32.const {}) (local.get $out) {made})", *kind as usize);
        }
        (Some(_), _) => _ = writeln!(text, "(drop {made})"),
        (None, _) => _ = writeln!(text, "{made}"),
    }
    if call.has_pointer() {
        text += &answer(call, words.len() - 1);
    }
    _ = writeln!(text, "(call $answered (i32.const {index}) (local.get $answer)))");
    text
}

/// What keeps an operation that is not wild from a trap.
fn guards(call: &Call) -> String {
    let mut text = String::new();
    let mut at = 0;
    for (_, param) in call.params {
        if let super::table::Param::Handle(_) = param {
            _ = writeln!(
                text,
                "(if (i32.and (i32.eqz (local.get $wild)) (i32.eqz (local.get $p{at}))) (then (return)))"
            );
        }
        at += param.words().len();
    }
    let permitted = matches!(
        call.short_name(),
        "output-stream.write"
            | "output-stream.write-zeroes"
            | "output-stream.check-write"
            | "outgoing-datagram-stream.check-send"
            | "outgoing-datagram-stream.send"
    );
    let spends = call.short_name().starts_with("output-stream.")
        && call.failure.is_some()
        && call.short_name() != "output-stream.flush";
    if permitted || spends {
        _ = writeln!(
            text,
            "(local.set $permit (if (result i32) (i32.and (i32.load offset=4 (local.get $at)) (i32.const 1)) \
             (then (i32.add (i32.load offset=8 (local.get $at)) (i32.const {PERMITS}))) \
             (else (i32.const {NO_PERMIT}))))"
        );
    }
    let limit = |text: &mut String, at: usize, is_wide: bool| {
        let (ty, permit) = if is_wide {
            ("i64", "(i64.extend_i32_u (i32.load (local.get $permit)))")
        } else {
            ("i32", "(i32.load (local.get $permit))")
        };
        _ = writeln!(
            text,
            "(if (i32.eqz (local.get $wild)) (then \
             (if (i32.eqz (i32.load (local.get $permit))) (then (return))) \
             (if ({ty}.gt_u (local.get $p{at}) {permit}) (then (local.set $p{at} {permit})))))"
        );
    };
    match call.short_name() {
        "output-stream.write" | "outgoing-datagram-stream.send" => limit(&mut text, 2, false),
        "output-stream.write-zeroes" => limit(&mut text, 1, true),
        "poll" => {
            text += "(if (i32.and (i32.eqz (local.get $wild)) (i32.eqz (local.get $p1))) (then (return)))\n";
        }
        "udp-socket.stream" => {
            // There may be one pair of streams.
            text += "(if (i32.eqz (local.get $wild)) (then\n";
            for kind in [Kind::Incoming, Kind::Outgoing] {
                let kind = kind as usize;
                _ = writeln!(text, "(call $take (i32.const {kind}) (local.get $out))");
            }
            text += "))\n";
        }
        _ => {}
    }
    if spends || call.short_name() == "outgoing-datagram-stream.send" {
        text += "(i32.store (local.get $permit) (i32.const 0))\n";
    }
    text
}

/// Takes in what a call has written where its parameter `pointer` points.
fn answer(call: &Call, pointer: usize) -> String {
    let at = format!("(local.get $p{pointer})");
    let payload = call.payload();
    let value = value(call, &at, if call.failure.is_some() { payload } else { 0 });
    let failure = match call.failure {
        None => return value,
        Some(Failure::Code) => {
            format!("(local.set $answer (i32.add (i32.const 1) (i32.load8_u offset={payload} {at})))")
        }
        Some(Failure::Stream) => format!(
            "(local.set $answer (i32.add (i32.const 1) (i32.load8_u offset={payload} {at}))) \
             (if (i32.eq (local.get $answer) (i32.const 1)) (then (call $put (i32.const {}) (local.get $out) \
             (i32.load offset={} {at}))))",
            Kind::Error as usize,
            payload + 4
        ),
    };
    format!("(if (i32.load8_u {at}) (then {failure}) (else {value}))\n")
}

/// Takes in a value that lies so far behind `at`.
fn value(call: &Call, at: &str, offset: u64) -> String {
    match call.value {
        Value::Handles(kinds) => kinds
            .iter()
            .zip(0..)
            .map(|(kind, index)| {
                let offset = offset + 4 * index;
                format!(
                    "(call $put (i32.const {}) (local.get $out) (i32.load offset={offset} {at}))\n",
                    *kind as usize
                )
            })
            .collect(),
        Value::Address => {
            format!("(call $learn (i32.add {at} (i32.const {offset})) (local.get $out))")
        }
        Value::Datagrams => format!(
            "(if (i32.load offset={} {at}) (then (call $learn (i32.add (i32.load offset={offset} {at}) (i32.const 8)) \
             (local.get $out))))",
            offset + 4
        ),
        Value::U64
            if call.short_name().starts_with("output-stream.check")
                || call.short_name().starts_with("outgoing-datagram-stream.check") =>
        {
            format!("(i32.store (local.get $permit) (i32.load offset={offset} {at}))")
        }
        _ => String::new(),
    }
}

/// What runs the list of operations.
fn running() -> String {
    let first = LIST + HEADER;
    let read = find("input-stream.blocking-read").unwrap_or(0);
    let pollables = word(Kind::Pollable, 0);
    let end_of_list = POLL_LIST + POLL_LIST_SIZE;
    let (input, output) = (Kind::Input as usize, Kind::Output as usize);
    let last = HANDLES_A_KIND - 1;
    format!(
        r#"
(func $take (param $kind i32) (param $index i32) (local $word i32) (local $old i32)
  (local.set $word (i32.add (i32.const {HANDLES}) (i32.shl (i32.add
    (i32.mul (local.get $kind) (i32.const {HANDLES_A_KIND}))
    (i32.rem_u (local.get $index) (i32.const {HANDLES_A_KIND}))) (i32.const 2))))
  (local.set $old (i32.load (local.get $word)))
  (i32.store (local.get $word) (i32.const 0))
  (if (local.get $old) (then (call $drop-of (local.get $kind) (local.get $old)))))
(func $gather (param $mask i32) (param $times i32) (local $at i32) (local $index i32) (local $handle i32)
  (local.set $at (i32.const {POLL_LIST}))
  (block $done (loop $again
    (br_if $done (i32.eqz (local.get $times)))
    (local.set $times (i32.sub (local.get $times) (i32.const 1)))
    (local.set $index (i32.const 0))
    (loop $next
      (local.set $handle (i32.load (i32.add (i32.const {pollables})
        (i32.shl (local.get $index) (i32.const 2)))))
      (if (i32.and (i32.ne (local.get $handle) (i32.const 0))
          (i32.and (i32.shr_u (local.get $mask) (local.get $index)) (i32.const 1))) (then
        (br_if $done (i32.ge_u (local.get $at) (i32.const {end_of_list})))
        (i32.store (local.get $at) (local.get $handle))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $index) (i32.const {HANDLES_A_KIND}))))
    (br $again)))
  (i32.store (i32.const {POLL_COUNT})
    (i32.shr_u (i32.sub (local.get $at) (i32.const {POLL_LIST})) (i32.const 2))))
(func $read (local $stdin i32) (local $to i32) (local $length i32)
  (local.set $stdin (call $get-stdin))
  (call $put (i32.const {input}) (i32.const {last}) (local.get $stdin))
  (if (i32.load (i32.const {LIST})) (then (return)))
  (local.set $to (i32.const {LIST}))
  (block $done (loop $more
    (call $begin)
    (call $f{read} (local.get $stdin) (i64.const 0x8000) (i32.const {OWN_RETURNED}))
    (br_if $done (i32.load8_u (i32.const {OWN_RETURNED})))
    (local.set $length (i32.load offset=8 (i32.const {OWN_RETURNED})))
    (memory.copy (local.get $to) (i32.load offset=4 (i32.const {OWN_RETURNED})) (local.get $length))
    (local.set $to (i32.add (local.get $to) (local.get $length)))
    (br $more))))
(func (export "run") (result i32) (local $rounds i32) (local $at i32)
  (global.set $stdout (call $get-stdout))
  (call $read)
  (call $put (i32.const {output}) (i32.const {last}) (call $get-stderr))
  (local.set $rounds (i32.load offset=4 (i32.const {LIST})))
  (global.set $leaks (i32.load offset=8 (i32.const {LIST})))
  (loop $again
    (local.set $at (i32.const {first}))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (i32.load (i32.const {LIST}))))
      (call $begin)
      (call_indirect (type $op) (local.get $at) (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const {OP_SIZE})))
      (br $next)))
    (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
    (br_if $again (i32.gt_s (local.get $rounds) (i32.const 0))))
  (call $flush)
  (i32.const 0))
"#
    )
}

#[cfg(test)]
mod tests {
    use super::super::layout::start;
    use super::*;
    use crate::layout::PeerPorts;
    use wasmtime::{Engine, component::Component};

    #[test]
    fn the_interpreter_is_a_component() -> wasmtime::Result<()> {
        let engine = Engine::new(&wasock::Guest::engine_config())?;
        Component::new(&engine, component(&start(PeerPorts::default(), 0)))?;
        Ok(())
    }
}
