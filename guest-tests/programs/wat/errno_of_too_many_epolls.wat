;; Makes epolls, each of which watches a socket of its own for a millisecond: the error number
;; of the first call that fails becomes the exit code.
(module
  (import "wasix_32v1" "epoll_create" (func $create (param i32) (result i32)))
  (import "wasix_32v1" "epoll_ctl" (func $ctl (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "epoll_wait" (func $wait (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasix_32v1" "sock_open" (func $open (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  ;; What is watched: to be read (1).
  (data (i32.const 64) "\01\00\00\00")
  (func $must (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func (export "_start")
    (loop $again
      (call $must (call $create (i32.const 0)))
      (call $must (call $open (i32.const 1) (i32.const 1) (i32.const 6) (i32.const 4)))
      (call $must (call $ctl
        (i32.load (i32.const 0)) (i32.const 1) (i32.load (i32.const 4)) (i32.const 64)))
      (call $must (call $wait
        (i32.load (i32.const 0)) (i32.const 256) (i32.const 1) (i64.const 1000000) (i32.const 8)))
      (br $again))))
