;; A whole echo server: its listener is handed to it, and the host calls. A connection
;; that sends a 0 makes it trap.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (memory (export "memory") 1)

  ;; 32: one vector, to the buffer at 1024. 40: how much was moved.
  (data (i32.const 32) "\00\04\00\00")

  (func (export "wasock_on_accept") (param $listener i32) (param $fd i32)
    (if (i32.ne (local.get $listener) (i32.const 3)) (then unreachable)))

  (func (export "wasock_on_readable") (param $fd i32)
    (i32.store (i32.const 36) (i32.const 4096))
    (if (call $fd_read (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40)) (then (return)))
    (if (i32.load (i32.const 40))
      (then (if (i32.eqz (i32.load8_u (i32.const 1024))) (then unreachable))))
    (i32.store (i32.const 36) (i32.load (i32.const 40)))
    (drop (call $fd_write (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40))))

  (func (export "wasock_on_closed") (param $fd i32)
    (drop (call $fd_close (local.get $fd)))))
