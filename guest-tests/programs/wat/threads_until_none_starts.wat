;; Starts threads that sleep, until none more starts, and looks `localhost` up then: the
;; error number becomes the exit code.
(module
  (import "env" "memory" (memory 1 1 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
  (import "wasix_32v1" "resolve" (func $resolve (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_exit" (func $exit (param i32)))
  (data (i32.const 16) "localhost")
  (func (export "wasi_thread_start") (param i32 i32)
    (drop (call $sleep (i64.const -1))))
  (func (export "_start")
    (loop $again
      (br_if $again (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0))))
    (call $exit (call $resolve
      (i32.const 16) (i32.const 9) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 8)))))
