;; A server that the host calls, with a handler for signals: HUP has it tell how many it has had,
;; TERM ends it with 5.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_open" (func $sock_open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind" (func $sock_bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen" (func $sock_listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "callback_signal" (func $callback_signal (param i32 i32)))
  (memory (export "memory") 1)
  ;; 0: the address 127.0.0.1, port 0. 64: the listener. 128: a vector, to the text. 160: how
  ;; much of it was written.
  (data (i32.const 0) "\01\00\00\00\7f\00\00\01")
  (data (i32.const 80) "__wasm_signal")
  (data (i32.const 128) "\a0\00\00\00\08\00\00\00")
  (data (i32.const 160) "handled\0a")

  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

  (func (export "wasock_on_accept") (param $listener i32) (param $fd i32))

  (func (export "__wasm_signal") (param $signal i32)
    (call $must (call $fd_write (i32.const 1) (i32.const 128) (i32.const 1) (i32.const 192)))
    (if (i32.eq (local.get $signal) (i32.const 15)) (then (call $proc_exit (i32.const 5)))))

  (func (export "_start")
    (call $callback_signal (i32.const 80) (i32.const 13))
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 64)))
    (call $must (call $sock_bind (i32.load (i32.const 64)) (i32.const 0)))
    (call $must (call $sock_listen (i32.load (i32.const 64)) (i32.const 16)))))
