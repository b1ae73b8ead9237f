;; The numbers of early 2023: no SIGSTKFLT, so 16 is SIGCHLD and 30 the last. The handler writes
;; down what it gets.
(module
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (import "wasix_32v1" "proc_raise" (func $proc_raise (param i32) (result i32)))
  (import "wasix_32v1" "thread_signal" (func $thread_signal (param i32 i32) (result i32)))
  (import "wasix_32v1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "__wasm_signal")
  (global $got (mut i32) (i32.const 0))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  (func (export "__wasm_signal") (param $signal i32) (global.set $got (local.get $signal)))

  (func (export "_start") (local $signal i32)
    ;; It has no handler yet: SIGCHLD does nothing.
    (call $expect (call $proc_raise (i32.const 16)) (i32.const 0))
    (call $callback_signal (i32.const 16) (i32.const 13))
    (local.set $signal (i32.const 1))
    (loop $next
      ;; SIGKILL and SIGSTOP have no handler.
      (if (i32.and (i32.ne (local.get $signal) (i32.const 9)) (i32.ne (local.get $signal) (i32.const 18)))
        (then
          (call $expect (call $proc_raise (local.get $signal)) (i32.const 0))
          (call $expect (global.get $got) (local.get $signal))))
      (local.set $signal (i32.add (local.get $signal) (i32.const 1)))
      (br_if $next (i32.le_u (local.get $signal) (i32.const 30))))
    ;; INVAL
    (call $expect (call $proc_raise (i32.const 31)) (i32.const 28))
    (call $expect (call $thread_signal (i32.const 1) (i32.const 31)) (i32.const 28))
    (call $expect (global.get $got) (i32.const 30))
    (call $proc_exit (i32.const 0))))
