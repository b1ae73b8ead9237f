;; Echoes what each connection sends, and has no loop at all: the host calls.
(module
  (import "wasix_32v1" "sock_open" (func $sock_open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind" (func $sock_bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen" (func $sock_listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_close" (func $fd_close (param i32) (result i32)))
  (memory (export "memory") 1)

  ;; 0: the address 127.0.0.1, port 0. 16: the listener.
  ;; 32: one vector, to the buffer at 1024. 40: how much was moved.
  (data (i32.const 0) "\01\00\00\00\7f\00\00\01")
  (data (i32.const 32) "\00\04\00\00")

  (func $must (param $errno i32)
    (if (local.get $errno) (then unreachable)))

  (func (export "_initialize")
    (call $must (call $sock_open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 16)))
    (call $must (call $sock_bind (i32.load (i32.const 16)) (i32.const 0)))
    (call $must (call $sock_listen (i32.load (i32.const 16)) (i32.const 128))))

  (func (export "wasock_on_accept") (param $listener i32) (param $fd i32))

  ;; A descriptor blocks, so all that was read is written.
  (func (export "wasock_on_readable") (param $fd i32)
    (i32.store (i32.const 36) (i32.const 4096))
    (if (call $fd_read (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40)) (then (return)))
    (i32.store (i32.const 36) (i32.load (i32.const 40)))
    (drop (call $fd_write (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40))))

  (func (export "wasock_on_closed") (param $fd i32)
    (drop (call $fd_close (local.get $fd)))))
