;; Starts threads, and has no place where one could begin.
(module
  (import "env" "memory" (memory 8 64 shared))
  (import "wasi_snapshot_preview1" "proc_exit"
    (func $proc_exit (param i32)))
  (import "wasi" "thread-spawn"
    (func $thread_spawn (param i32) (result i32)))
  (import "wasix_32v1" "thread_spawn_v2"
    (func $thread_spawn_v2 (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_spawn"
    (func $thread_spawn_v1 (param i64 i64 i64 i32 i32) (result i32)))

  (func $expect (param $found i32) (param $expected i32)
    (if (i32.ne (local.get $found) (local.get $expected)) (then unreachable)))

  ;; Of another type.
  (func (export "wasi_thread_start") (param i64))

  (func (export "_start")
    (call $expect (call $thread_spawn (i32.const 0)) (i32.const -76))
    (call $expect (call $thread_spawn_v2 (i32.const 0) (i32.const 160)) (i32.const 76))
    (call $expect (call $thread_spawn_v1 (i64.const 0) (i64.const 0) (i64.const 0) (i32.const 0)
      (i32.const 160)) (i32.const 76))
    ;; A thread that the host would call.
    (call $expect (call $thread_spawn_v1 (i64.const 0) (i64.const 0) (i64.const 0) (i32.const 1)
      (i32.const 160)) (i32.const 58))))
