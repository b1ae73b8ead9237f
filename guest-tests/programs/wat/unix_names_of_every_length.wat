;; Connects to itself from sockets with names of 1 to 103 letters in /d, which on the host are
;; up to and beyond the longest that a kernel takes, and accepts each.
(module
  (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind" (func $bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_listen" (func $listen (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_connect" (func $connect (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_accept_v2" (func $accept (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "\03\00/d/r\00")
  (data (i32.const 256) "\03\00/d/")
  (func $ok (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func (export "_start") (local $n i32)
    (call $ok (call $open (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 0)))
    (call $ok (call $bind (i32.load (i32.const 0)) (i32.const 64)))
    (call $ok (call $listen (i32.load (i32.const 0)) (i32.const 100)))
    (loop $next
      (i32.store8 (i32.add (i32.const 261) (local.get $n)) (i32.const 97))
      (call $ok (call $open (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 4)))
      (call $ok (call $bind (i32.load (i32.const 4)) (i32.const 256)))
      (call $ok (call $connect (i32.load (i32.const 4)) (i32.const 64)))
      (call $ok (call $accept (i32.load (i32.const 0)) (i32.const 0) (i32.const 8) (i32.const 1024)))
      ;; The host tells a name of the peer in /d: of a long one another, which a kernel takes.
      (if (i32.ne (i32.load8_u (i32.const 1028)) (i32.const 47)) (then (call $exit (i32.const 99))))
      (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 103))))))
