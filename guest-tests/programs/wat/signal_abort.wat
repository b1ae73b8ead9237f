;; The callback of a C library that does default actions by its abort: that raises SIGABRT, and
;; exits with 127 where SIGABRT comes back. The argument says what sends a signal:
;;
;; * o: the operator, while it waits;
;; * t: the program sends itself SIGTERM;
;; * a: it aborts;
;; * p: it writes to a pipe without a reader, twice;
;; * x: it sends itself SIGHUP, whose handler exits with 127;
;; * u: as t, by a library that does not know the number of its first thread, and blocks
;;   signals while it aborts.
(module
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
  (import "wasix_32v1" "thread_signal" (func $to_thread (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_id" (func $thread_id (param i32) (result i32)))
  (import "wasix_32v1" "fd_pipe" (func $pipe (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "handler")
  (data (i32.const 24) "nothing")
  (data (i32.const 32) "\40\00\00\00\08\00\00\00")
  (data (i32.const 64) "waiting\n")
  (global $sp (export "__stack_pointer") (mut i32) (i32.const 8192))

  (func $is (param $holds i32) (if (i32.eqz (local.get $holds)) (then unreachable)))
  (func $raise (param $signal i32)
    (call $is (i32.eqz (call $thread_id (i32.const 96))))
    (call $is (i32.eqz (call $to_thread (i32.load (i32.const 96)) (local.get $signal)))))
  (global $is_unknown (mut i32) (i32.const 0))
  (func $abort
    (if (global.get $is_unknown) (then
      (call $callback_signal (i32.const 24) (i32.const 7))
      (call $is (i32.eqz (call $to_thread (i32.const 0x3fffffff) (i32.const 6))))
      (call $exit (i32.const 127))))
    (call $raise (i32.const 6))
    (call $raise (i32.const 6))
    (call $exit (i32.const 127)))

  (func (export "handler") (param $signal i32)
    (if (i32.eq (local.get $signal) (i32.const 1)) (then (call $exit (i32.const 127))))
    (call $abort))

  (func (export "_start")
    (local $where i32)
    (call $is (i32.eqz (call $args_sizes_get (i32.const 128) (i32.const 132))))
    (call $is (i32.eqz (call $args_get (i32.const 256) (i32.const 512))))
    (local.set $where (i32.load8_u (i32.load (i32.const 260))))
    (call $callback_signal (i32.const 16) (i32.const 7))
    (if (i32.eq (local.get $where) (i32.const 0x75)) (then
      (global.set $is_unknown (i32.const 1))
      (call $raise (i32.const 15))))
    (if (i32.eq (local.get $where) (i32.const 0x74)) (then (call $raise (i32.const 15))))
    (if (i32.eq (local.get $where) (i32.const 0x61)) (then (call $abort)))
    (if (i32.eq (local.get $where) (i32.const 0x78)) (then (call $raise (i32.const 1))))
    (if (i32.eq (local.get $where) (i32.const 0x70)) (then
      (call $is (i32.eqz (call $pipe (i32.const 100) (i32.const 104))))
      (call $is (i32.eqz (call $close (i32.load (i32.const 100)))))
      ;; EPIPE, and the program lives.
      (call $is (i32.eq (call $write (i32.load (i32.const 104)) (i32.const 32) (i32.const 1) (i32.const 48)) (i32.const 64)))
      (call $is (i32.eq (call $write (i32.load (i32.const 104)) (i32.const 32) (i32.const 1) (i32.const 48)) (i32.const 64)))
      ;; Its own signals do what they did.
      (call $raise (i32.const 13))))
    (drop (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 48)))
    (loop $again (drop (call $sleep (i64.const 1000000000))) (br $again))))
