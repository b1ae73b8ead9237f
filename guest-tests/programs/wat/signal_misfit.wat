;; Names that are no handlers: of another type, and no functions. Signals are blocked, and a
;; handler gets them when one is named.
(module
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (import "wasix_32v1" "proc_raise" (func $proc_raise (param i32) (result i32)))
  (import "wasix_32v1" "epoll_create" (func $epoll_create (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "handler")
  (data (i32.const 32) "misfit")
  (data (i32.const 48) "memory")
  (global $got (mut i32) (i32.const 0))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  (func (export "handler") (param $signal i32)
    (global.set $got (i32.add (global.get $got) (local.get $signal))))
  (func (export "misfit") (param i32) (result i32) unreachable)

  (func (export "_start")
    (call $callback_signal (i32.const 32) (i32.const 6))
    (call $expect (call $proc_raise (i32.const 15)) (i32.const 0))
    (call $callback_signal (i32.const 48) (i32.const 6))
    (call $expect (call $proc_raise (i32.const 14)) (i32.const 0))
    (call $expect (global.get $got) (i32.const 0))
    (call $callback_signal (i32.const 16) (i32.const 7))
    (call $expect (global.get $got) (i32.const 29))))
