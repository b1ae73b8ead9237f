;; What a C library makes of socket(AF_UNIX, SOCK_STREAM, 0), of SOCK_DGRAM, and of socketpair:
;; protocols 6 and 17. Exit code: the answers, or-ed.
(module
  (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_pair" (func $pair (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (call $exit (i32.or (i32.or
      (call $open (i32.const 3) (i32.const 1) (i32.const 6) (i32.const 0))
      (call $open (i32.const 3) (i32.const 2) (i32.const 17) (i32.const 0)))
      (call $pair (i32.const 3) (i32.const 1) (i32.const 6) (i32.const 4) (i32.const 8))))))
