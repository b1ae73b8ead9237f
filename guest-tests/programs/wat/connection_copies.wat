;; Is started once, and copied for each connection. What it reads it answers with four letters: how often
;; its start was called, in its memory and in a global, then how often the copy was told that it is one, then
;; how often it has answered.
(module
  (import "wasix_32v1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_close" (func $fd_close (param i32) (result i32)))
  (memory (export "memory") 1 4)
  (global $started (mut i32) (i32.const 48))
  (global $cloned (mut i32) (i32.const 48))
  (global $answered (mut i32) (i32.const 48))

  ;; 32: one vector, to the buffer at 1024. 40: how much was moved.
  (data (i32.const 32) "\00\04\00\00")

  (func (export "_initialize")
    (drop (memory.grow (i32.const 1)))
    (i32.store8 (i32.const 70000) (i32.add (i32.load8_u (i32.const 70000)) (i32.const 49)))
    (global.set $started (i32.add (global.get $started) (i32.const 1))))

  (func (export "wasock_on_clone")
    (global.set $cloned (i32.add (global.get $cloned) (i32.const 1))))

  (func (export "wasock_on_accept") (param $listener i32) (param $fd i32))

  (func (export "wasock_on_readable") (param $fd i32)
    (i32.store (i32.const 36) (i32.const 4096))
    (if (call $fd_read (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40)) (then (return)))
    (if (i32.eqz (i32.load (i32.const 40))) (then (return)))
    (global.set $answered (i32.add (global.get $answered) (i32.const 1)))
    (i32.store8 (i32.const 1024) (i32.load8_u (i32.const 70000)))
    (i32.store8 (i32.const 1025) (global.get $started))
    (i32.store8 (i32.const 1026) (global.get $cloned))
    (i32.store8 (i32.const 1027) (global.get $answered))
    (i32.store (i32.const 36) (i32.const 4))
    (drop (call $fd_write (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40))))

  (func (export "wasock_on_closed") (param $fd i32)
    (drop (call $fd_close (local.get $fd)))))
