;; Echoes one connection by handlers, and never listens: the host has made an instance for it. What it
;; echoes is preceded by a letter, which each instance has for itself: A, then B, and so on.
(module
  (import "wasix_32v1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_close" (func $fd_close (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $letter (mut i32) (i32.const 64))

  ;; 32: one vector, to the buffer at 1024. 40: how much was moved.
  (data (i32.const 32) "\01\04\00\00")

  ;; None of the guest's listeners.
  (func (export "wasock_on_accept") (param $listener i32) (param $fd i32)
    (if (i32.ne (local.get $listener) (i32.const -1)) (then unreachable)))

  (func (export "wasock_on_readable") (param $fd i32)
    (i32.store (i32.const 32) (i32.const 1025))
    (i32.store (i32.const 36) (i32.const 4096))
    (if (call $fd_read (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40)) (then (return)))
    (if (i32.eqz (i32.load (i32.const 40))) (then (return)))
    (global.set $letter (i32.add (global.get $letter) (i32.const 1)))
    (i32.store8 (i32.const 1024) (global.get $letter))
    (i32.store (i32.const 32) (i32.const 1024))
    (i32.store (i32.const 36) (i32.add (i32.load (i32.const 40)) (i32.const 1)))
    (drop (call $fd_write (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40))))

  (func (export "wasock_on_closed") (param $fd i32)
    (drop (call $fd_close (local.get $fd)))))
