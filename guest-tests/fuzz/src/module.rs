//! The guest: an interpreter that makes the calls which it finds in its memory.
//!
//! One module of each dialect serves all seeds, so that nothing is compiled for one.

use std::fmt::Write as _;

use wasock::internals::{CoreType, Function, added_in};

use crate::layout::{
    ANSWERS, CALLED, COUNTS, HEADER, LISTS, MAX_PAGES, OP_SIZE, OTHER, PAGES, READING, REPORT_AT, REPORTED,
    THREAD_LISTS, start,
};
use crate::op::{OWN, Own, function_count, functions, has_other_type};

/// The calls that a guest is written for, and whether it has threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// All there are.
    Wasix,
    /// The first generation of WASIX.
    WasixFirst,
    /// Preview 1 and the snapshot before it.
    Preview1,
    /// The snapshot before preview 1.
    Unstable,
    /// Preview 1 with the sockets of WasmEdge.
    WasmEdge,
    /// The same with the form of `sock_recv_from` that tells the port, by which its guest library imports it.
    WasmEdgePort,
    /// The same of the versions before 0.10.
    WasmEdgeFirst,
    /// Preview 1 with the sockets of WAMR.
    Wamr,
    /// All there are, with threads and a shared memory.
    WasixThreads,
    /// The first generation of WASIX, with threads.
    WasixFirstThreads,
    /// Preview 1 with the threads of wasi-threads.
    Preview1Threads,
    /// The same with the sockets of WAMR.
    WamrThreads,
}

impl Dialect {
    pub(crate) const ALL: [Self; 12] = [
        Self::Wasix,
        Self::WasixFirst,
        Self::Preview1,
        Self::Unstable,
        Self::WasmEdge,
        Self::WasmEdgePort,
        Self::WasmEdgeFirst,
        Self::Wamr,
        Self::WasixThreads,
        Self::WasixFirstThreads,
        Self::Preview1Threads,
        Self::WamrThreads,
    ];

    pub(crate) fn has_threads(self) -> bool {
        matches!(
            self,
            Self::WasixThreads | Self::WasixFirstThreads | Self::Preview1Threads | Self::WamrThreads
        )
    }

    pub(crate) fn is_first(self) -> bool {
        matches!(self, Self::WasixFirst | Self::WasixFirstThreads)
    }

    pub(crate) fn is_wasmedge(self) -> bool {
        matches!(self, Self::WasmEdge | Self::WasmEdgePort | Self::WasmEdgeFirst)
    }

    /// Of two functions of one name, which a linker has once, does a guest of this dialect import this one?
    fn has_type_of(self, function: &Function) -> bool {
        let wanted = match (function.module, function.name, self) {
            ("wasix_32v1", "proc_join", _) => return has_other_type(function) == self.is_first(),
            (_, "sock_recv_from", Self::WasmEdgePort) => 8,
            (_, "sock_recv_from", Self::WasmEdge) => 7,
            (_, "sock_recv_from", Self::WasmEdgeFirst) => 6,
            (_, "sock_send_to", Self::WasmEdgeFirst) => 6,
            (_, "sock_send_to", Self::WasmEdge | Self::WasmEdgePort) => 7,
            _ => return true,
        };
        function.params.len() == wanted
    }

    /// May a guest of this dialect import `function`?
    pub(crate) fn has(self, function: &Function) -> bool {
        // What compilers import beside the calls of a host: an end, a line, a seed.
        if function.module == "env" {
            return false;
        }
        match (self, function.added_by) {
            (Self::WasmEdgeFirst, Some("wasmedge")) if function.name.ends_with("_v2") => return false,
            (Self::WasmEdge | Self::WasmEdgePort | Self::WasmEdgeFirst, Some(dialect)) => {
                return dialect == "wasmedge" && self.has_type_of(function);
            }
            (Self::Wamr | Self::WamrThreads, Some(dialect)) => return dialect == "wamr",
            (_, Some(_)) => return false,
            (_, None) => {}
        }
        if !self.has_type_of(function) {
            return false;
        }
        match self {
            // A name has one type here.
            Self::WasmEdge | Self::WasmEdgePort | Self::WasmEdgeFirst => {
                function.module == "wasi_snapshot_preview1" && function.name != "sock_accept"
            }
            Self::Wasix | Self::WasixThreads => true,
            Self::WasixFirst | Self::WasixFirstThreads => {
                function.module == "wasix_32v1"
                    && added_in(function.name).is_none()
                    && !function.name.starts_with("context_")
                    && !SECOND_ONLY.contains(&function.name)
            }
            Self::Preview1 => ["wasi_snapshot_preview1", "wasi_unstable"].contains(&function.module),
            Self::Unstable => function.module == "wasi_unstable",
            Self::Wamr => function.module == "wasi_snapshot_preview1",
            Self::Preview1Threads | Self::WamrThreads => {
                ["wasi_snapshot_preview1", "wasi"].contains(&function.module)
            }
        }
    }

    /// The module whose `fd_read` and `fd_write` it has.
    fn streams(self) -> &'static str {
        match self {
            Self::WasixFirst | Self::WasixFirstThreads => "wasix_32v1",
            Self::Unstable => "wasi_unstable",
            _ => "wasi_snapshot_preview1",
        }
    }
}

/// What makes a program one of WASIX's second generation.
const SECOND_ONLY: [&str; 6] =
    ["thread_spawn_v2", "sock_accept_v2", "proc_exec4", "proc_exit2", "proc_fork_env", "proc_spawn3"];

/// The declaration of the import of `function`.
pub(crate) fn import(function: &Function) -> String {
    let params: String = function.params.iter().map(|ty| format!(" {}", ty.name())).collect();
    let result = function.result.map_or(String::new(), |ty| format!(" (result {})", ty.name()));
    let (module, name) = (function.module, function.name);
    format!("(import \"{module}\" \"{name}\" (func ${module}.{name} (param{params}){result}))")
}

/// Bytes as a string of a module's text.
pub(crate) fn string(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b' '..=b'~' if !b"\"\\".contains(byte) => text.push(char::from(*byte)),
            byte => _ = write!(text, "\\{byte:02x}"),
        }
        text
    })
}

/// Where its memory comes from, and what is in it at the start. A shared one is filled by
/// `$fill`, once: each thread is an instance, and would fill it anew.
pub(crate) fn memory(is_shared: bool, contents: &[(u64, Vec<u8>)]) -> (String, String) {
    let (mut data, mut fill) = (String::new(), String::new());
    for (index, (at, bytes)) in contents.iter().enumerate() {
        let text = string(bytes);
        if is_shared {
            _ = writeln!(data, "(data $d{index} \"{text}\")");
            let len = bytes.len();
            _ = writeln!(fill, "(memory.init $d{index} (i32.const {at:#x}) (i32.const 0) (i32.const {len}))");
        } else {
            _ = writeln!(data, "(data (i32.const {at:#x}) \"{text}\")");
        }
    }
    let memory = if is_shared {
        format!("(import \"env\" \"memory\" (memory {PAGES} {MAX_PAGES} shared))\n")
    } else {
        format!("(memory (export \"memory\") {PAGES} {MAX_PAGES})\n")
    };
    (memory, format!("{data}(func $fill {fill})\n"))
}

/// The interpreter for a dialect.
pub(crate) fn interpreter(dialect: Dialect) -> String {
    let functions = || functions().enumerate().filter(|(_, function)| dialect.has(function));
    let (memory, data) = memory(dialect.has_threads(), &start(Default::default()));
    let mut text = String::from("(module\n");
    for (_, function) in functions() {
        text += &import(function);
        text.push('\n');
    }
    text += &memory;
    text += "(type $op (func (param i32)))\n";
    _ = writeln!(text, "(table {} funcref)", function_count() + OWN.len());
    for (index, function) in functions() {
        _ = writeln!(text, "(elem (i32.const {index}) $op{index})");
        text += &calling(index, function);
    }
    for (at, (own, params)) in OWN.iter().enumerate() {
        let index = function_count() + at;
        _ = writeln!(text, "(elem (i32.const {index}) $op{index})");
        let args = arguments(params);
        let body = match own {
            Own::Store64 => format!("(i64.store {args})"),
            Own::Store32 => format!("(i32.store {args})"),
            Own::Copy => format!("(memory.copy {args})"),
            Own::Grow => format!("(drop (memory.grow {args}))"),
        };
        _ = writeln!(text, "(func $op{index} (param $at i32) {body})");
    }
    text + &data + &running(dialect) + ")"
}

/// Where the arguments of the operation at `$at` come from.
fn arguments(params: &[CoreType]) -> String {
    let mut args = String::new();
    for (index, ty) in params.iter().enumerate() {
        let offset = 8 + index * 8;
        let word = ty.name();
        let load = match ty {
            CoreType::I32 => "i32.load",
            CoreType::I64 => "i64.load32_u",
            CoreType::F64 => "f64.load",
        };
        _ = write!(
            args,
            "(if (result {word}) (i32.and (i32.load offset=4 (local.get $at)) (i32.const {})) \
             (then ({load} (i32.load offset={offset} (local.get $at)))) \
             (else ({word}.load offset={offset} (local.get $at))))",
            1_u32 << index
        );
    }
    args
}

/// The operation that calls `function`, and counts its answers.
fn calling(index: usize, function: &Function) -> String {
    let (module, name) = (function.module, function.name);
    let args = arguments(function.params);
    let counts = COUNTS + index as u64 * ANSWERS * 4;
    let called = counts + CALLED * 4;
    let count = |at: &str| format!("(i32.store {at} (i32.add (i32.load {at}) (i32.const 1)))");
    let before = count(&format!("(i32.const {called})"));
    let call = format!("(call ${module}.{name} {args})");
    if function.result.is_none() {
        return format!("(func $op{index} (param $at i32) {before} {call})\n");
    }
    // The one that answers a thread's number has negative error numbers.
    let errno = match module {
        "wasi" => format!(
            "(local.set $errno {call}) (local.set $errno (if (result i32) (i32.lt_s (local.get $errno) \
             (i32.const 0)) (then (i32.sub (i32.const 0) (local.get $errno))) (else (i32.const 0))))"
        ),
        _ => format!("(local.set $errno {call})"),
    };
    let answered = count("(local.get $count)");
    format!(
        "(func $op{index} (param $at i32) (local $errno i32) (local $count i32) {before} {errno} \
         (if (i32.gt_u (local.get $errno) (i32.const {OTHER})) (then (local.set $errno (i32.const {OTHER})))) \
         (local.set $count (i32.add (i32.const {counts}) (i32.shl (local.get $errno) (i32.const 2)))) \
         {answered})\n"
    )
}

/// What runs lists of operations: from the start, in threads, as a signal's handler.
fn running(dialect: Dialect) -> String {
    let streams = dialect.streams();
    let first = LISTS + HEADER;
    let last_list = LISTS + 8 + (THREAD_LISTS as u64 - 1) * 8;
    format!(
        r#"
(global $pc (export "pc") (mut i32) (i32.const 0))
(global (export "__stack_pointer") (mut i32) (i32.const 0x60000))
(global $reports (mut i32) (i32.const 0))
(global $depth (mut i32) (i32.const 0))
(global $handled (mut i32) (i32.const 0))
(func $run (export "run") (param $at i32) (param $end i32) (local $calls i32)
  (block $done (loop $next
    (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
    (global.set $pc (local.get $at))
    (call_indirect (type $op) (local.get $at) (i32.load (local.get $at)))
    (local.set $at (i32.add (local.get $at) (i32.const {OP_SIZE})))
    (local.set $calls (i32.add (local.get $calls) (i32.const 1)))
    (if (i32.and (global.get $reports) (i32.eqz (i32.rem_u (local.get $calls) (i32.const {REPORTED}))))
      (then (drop (call ${streams}.fd_write (i32.const 1) (i32.const {REPORT_AT}) (i32.const 1)
        (i32.const {read_to})))))
    (br $next))))
(func $read (local $got i32)
  (i32.store (i32.const {READING}) (i32.const {LISTS}))
  (block $done (loop $more
    (i32.store offset=4 (i32.const {READING}) (i32.const 0x8000))
    (br_if $done (call ${streams}.fd_read (i32.const 0) (i32.const {READING}) (i32.const 1)
      (i32.const {read_to})))
    (local.set $got (i32.load (i32.const {read_to})))
    (br_if $done (i32.eqz (local.get $got)))
    (i32.store (i32.const {READING}) (i32.add (i32.load (i32.const {READING})) (local.get $got)))
    (br $more))))
(func (export "_start") (local $rounds i32)
  (call $fill)
  (call $read)
  (global.set $reports (i32.const 1))
  (local.set $rounds (i32.load offset=4 (i32.const {LISTS})))
  (loop $again
    (call $run (i32.const {first}) (i32.load (i32.const {LISTS})))
    (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
    (br_if $again (i32.gt_s (local.get $rounds) (i32.const 0)))))
(func $thread (param $list i32)
  (global.set $reports (i32.const 1))
  (local.set $list (i32.shl (i32.and (local.get $list) (i32.const 3)) (i32.const 3)))
  (call $run (i32.load offset={lists} (local.get $list)) (i32.load offset={list_ends} (local.get $list))))
(func (export "wasi_thread_start") (param $tid i32) (param $list i32) (call $thread (local.get $list)))
(func (export "_start_thread") (param $low i32) (param $high i32) (call $thread (local.get $low)))
(func (export "__wasm_signal") (param $signal i32) (local $pc i32) (local $at i32)
  (if (i32.gt_u (global.get $depth) (i32.const 2)) (then (return)))
  (local.set $pc (global.get $pc))
  (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
  (local.set $at (i32.add (i32.load (i32.const {last_list}))
    (i32.shl (i32.and (global.get $handled) (i32.const 63)) (i32.const 7))))
  (global.set $handled (i32.add (global.get $handled) (i32.const 1)))
  (if (i32.lt_u (local.get $at) (i32.load offset=4 (i32.const {last_list})))
    (then (call $run (local.get $at) (i32.add (local.get $at) (i32.const {OP_SIZE})))))
  (global.set $depth (i32.sub (global.get $depth) (i32.const 1)))
  (global.set $pc (local.get $pc)))
"#,
        read_to = READING + 16,
        lists = LISTS + 8,
        list_ends = LISTS + 12,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Engine, Module};
    use wasock::inspect::WasixGeneration;
    use wasock::internals::detect;

    #[test]
    fn the_interpreters_are_what_they_are_called() -> wasmtime::Result<()> {
        let engine = Engine::new(&wasock::Guest::engine_config())?;
        for dialect in Dialect::ALL {
            let found = detect(&Module::new(&engine, interpreter(dialect))?);
            let is_wasix = !matches!(
                dialect,
                Dialect::Preview1
                    | Dialect::Unstable
                    | Dialect::Preview1Threads
                    | Dialect::WasmEdge
                    | Dialect::WasmEdgePort
                    | Dialect::WasmEdgeFirst
                    | Dialect::Wamr
                    | Dialect::WamrThreads
            );
            assert_eq!(found.dialect.id() == "wasix", is_wasix, "{dialect:?}");
            let is_wasmedge = dialect.is_wasmedge();
            assert_eq!(found.dialect.id() == "wasmedge", is_wasmedge, "{dialect:?}");
            let is_wamr = matches!(dialect, Dialect::Wamr | Dialect::WamrThreads);
            assert_eq!(found.dialect.id() == "wamr", is_wamr, "{dialect:?}");
            let is_first = matches!(dialect, Dialect::WasixFirst | Dialect::WasixFirstThreads);
            assert_eq!(
                found.generation.is_some_and(WasixGeneration::is_first),
                is_first,
                "{dialect:?} {found:?}"
            );
            assert_eq!(found.threads, dialect.has_threads(), "{dialect:?}");
            assert!(found.stubbed.is_empty() && found.missing.is_empty(), "{dialect:?} {found:?}");
        }
        Ok(())
    }
}
