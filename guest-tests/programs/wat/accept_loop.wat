;; Accepts at the listener that it was handed, for ever, and closes each connection.
(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $next
      (if (i32.eqz (call $accept (i32.const 3) (i32.const 0) (i32.const 8)))
        (then (drop (call $close (i32.load (i32.const 8))))))
      (br $next))))
