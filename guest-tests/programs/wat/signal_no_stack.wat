;; The host does not see the stack of this program, so it does not interrupt code that computes: the
;; handler runs at the next call that may wait.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (import "wasix_32v1" "proc_raise_interval" (func $interval (param i32 i64 i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "handler")
  (global $handled (mut i32) (i32.const 0))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  (func (export "handler") (param $signal i32)
    (global.set $handled (i32.add (global.get $handled) (i32.const 1))))

  (func $time (result i64)
    (call $expect (call $now (i32.const 1) (i64.const 1) (i32.const 0)) (i32.const 0))
    (i64.load (i32.const 0)))

  (func (export "_start") (local $end i64)
    (call $callback_signal (i32.const 16) (i32.const 7))
    (call $expect (call $interval (i32.const 14) (i64.const 1000000) (i32.const 1)) (i32.const 0))
    (local.set $end (i64.add (call $time) (i64.const 100000000)))
    (loop $again (br_if $again (i64.lt_u (call $time) (local.get $end))))
    (call $expect (global.get $handled) (i32.const 0))
    ;; INTR
    (call $expect (call $sleep (i64.const -1)) (i32.const 27))
    (if (i32.eqz (global.get $handled)) (then unreachable))))
