;; A handler that is left by an exception, as a C library's longjmp does: it goes on in the code
;; that was interrupted. The argument says where that is:
;;
;; * r: in a call that sends the signal;
;; * w: in a wait, for a signal of the operator's;
;; * l: in a loop of a function that was called where the exception is caught;
;; * s: in a loop of the very function that would catch it;
;; * n: it is not caught.
(module
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (import "wasix_32v1" "proc_raise_interval" (func $interval (param i32 i64 i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
  (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "handler")
  (data (i32.const 32) "\40\00\00\00\08\00\00\00")
  (data (i32.const 64) "waiting\n")
  (global $sp (export "__stack_pointer") (mut i32) (i32.const 8192))
  (tag $jump (param i32))

  (func $is (param $holds i32) (if (i32.eqz (local.get $holds)) (then unreachable)))

  (func (export "handler") (param $signal i32) (throw $jump (local.get $signal)))

  (func $alarm (call $is (i32.eqz (call $interval (i32.const 14) (i64.const 2000000) (i32.const 0)))))
  (func $compute (loop $again (br $again)))

  (func $interrupted (param $where i32)
    (if (i32.eq (local.get $where) (i32.const 0x72)) (then (drop (call $raise (i32.const 14)))))
    (if (i32.eq (local.get $where) (i32.const 0x77)) (then
      (drop (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 48)))
      (loop $again (drop (call $sleep (i64.const 1000000000))) (br $again))))
    (if (i32.eq (local.get $where) (i32.const 0x6c)) (then (call $alarm) (call $compute)))
    unreachable)

  (func $catches (param $where i32) (result i32)
    (block $caught (result i32)
      (try_table (catch $jump $caught) (call $interrupted (local.get $where)))
      unreachable))

  (func $catches_itself (result i32)
    (block $caught (result i32)
      (try_table (catch $jump $caught) (call $alarm) (loop $again (br $again)))
      unreachable))

  (func (export "_start")
    (local $where i32) (local $signal i32)
    (call $is (i32.eqz (call $args_sizes_get (i32.const 128) (i32.const 132))))
    (call $is (i32.eqz (call $args_get (i32.const 256) (i32.const 512))))
    (local.set $where (i32.load8_u (i32.load (i32.const 260))))
    (call $callback_signal (i32.const 16) (i32.const 7))
    (if (i32.eq (local.get $where) (i32.const 0x6e)) (then (drop (call $raise (i32.const 14)))))
    (if (i32.eq (local.get $where) (i32.const 0x73))
      (then (call $is (i32.eq (call $catches_itself) (i32.const 14))) (return)))
    (local.set $signal (call $catches (local.get $where)))
    (call $is (i32.eq (local.get $signal) (select (i32.const 15) (i32.const 14)
      (i32.eq (local.get $where) (i32.const 0x77)))))
    ;; The stack is where it was, and the next signal comes as the first did.
    (call $is (i32.eq (global.get $sp) (i32.const 8192)))
    (call $is (i32.eq (call $catches (i32.const 0x72)) (i32.const 14)))
    (call $is (i32.eq (call $catches (i32.const 0x6c)) (i32.const 14)))))
