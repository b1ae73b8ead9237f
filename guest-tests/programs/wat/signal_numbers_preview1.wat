;; Preview 1 alone: its numbers, and the default actions.
(module
  (import "wasi_snapshot_preview1" "proc_raise" (func $proc_raise (param i32) (result i32)))
  (memory (export "memory") 1)

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  (func (export "_start")
    ;; Nothing, CHLD, CONT, STOP, URG, WINCH: the program goes on.
    (call $expect (call $proc_raise (i32.const 0)) (i32.const 0))
    (call $expect (call $proc_raise (i32.const 16)) (i32.const 0))
    (call $expect (call $proc_raise (i32.const 17)) (i32.const 0))
    (call $expect (call $proc_raise (i32.const 18)) (i32.const 0))
    (call $expect (call $proc_raise (i32.const 22)) (i32.const 0))
    (call $expect (call $proc_raise (i32.const 27)) (i32.const 0))
    (call $expect (call $proc_raise (i32.const 31)) (i32.const 28))
    ;; XCPU ends it: 128 and its number of today, 24.
    (drop (call $proc_raise (i32.const 23)))
    unreachable))
